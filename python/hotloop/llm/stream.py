"""What a streamed answer consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .usage import Usage

if TYPE_CHECKING:
    from ..toolcall import ToolCall
    from .messages import Reply

__all__ = ["Done", "StreamEvent", "TextDelta", "ToolCallDelta", "ToolCallEnd", "ToolCallStart", "Usage"]


@dataclass(slots=True, unsafe_hash=True)  # frozen, it takes three times as long to make, and there are very many
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model begins call number `index` of the answer; its arguments follow."""

    index: int
    id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the JSON text of a call's arguments."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """A call is whole."""

    index: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is whole; always the last event."""

    finish_reason: str | None
    reply: Reply


StreamEvent = TextDelta | ToolCallStart | ToolCallDelta | ToolCallEnd | Usage | Done
