"""What a call of a tool comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..errors import ToolError
    from ..toolcall import ToolCall

__all__ = ["ToolResult"]


class ToolResult(NamedTuple):
    """The result of one call: a value or an error, never both.

    Attributes:
        call: the call as it was asked for.
        value: what the tool returned, or None with an error. From a cache or a process: its JSON form.
        content: what a model reads: the value as text or JSON, and what the tool printed; or what went wrong.
        error: why there is no value; the tool's own exception is its `__cause__`, where it ran in this process.
        cached: whether it came from a cache tier.
        seconds: from the submission of the call to its result.
    """

    call: ToolCall
    value: Any
    content: str
    error: ToolError | None
    cached: bool
    seconds: float
