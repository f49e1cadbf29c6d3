"""What a streamed answer consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..toolcall import ToolCall
from .usage import Usage

if TYPE_CHECKING:
    from .messages import Reply

__all__ = ["Done", "StreamEvent", "TextDelta", "ToolCallDelta", "ToolCallEnd", "ToolCallStart", "Usage"]


class TextDelta(NamedTuple):
    """A piece of the answer's text."""

    text: str


class ToolCallStart(NamedTuple):
    """The model begins call number `index` of the answer; its arguments follow."""

    index: int
    id: str | None
    name: str


class ToolCallDelta(NamedTuple):
    """A piece of the JSON text of a call's arguments."""

    index: int
    arguments: str


class ToolCallEnd(NamedTuple):
    """A call is whole."""

    index: int
    call: ToolCall


class Done(NamedTuple):
    """The answer is whole; always the last event."""

    finish_reason: str | None
    reply: Reply


StreamEvent = TextDelta | ToolCallStart | ToolCallDelta | ToolCallEnd | Usage | Done
