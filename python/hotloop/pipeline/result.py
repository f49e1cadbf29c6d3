"""What a call of a tool comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..errors import ToolError
    from ..toolcall import ToolCall

__all__ = ["PipelineMetrics", "ToolResult"]


class ToolResult(NamedTuple):
    """The result of one call: a value or an error, never both.

    Attributes:
        call: the call as it was asked for.
        value: what the tool returned, or None with an error. From a cache: its JSON form.
        content: what a model reads: the value as text or JSON, or what went wrong.
        error: why there is no value; the tool's own exception is its `__cause__`.
        cached: whether it came from a cache tier.
        seconds: from the submission of the call to its result.
    """

    call: ToolCall
    value: Any
    content: str
    error: ToolError | None
    cached: bool
    seconds: float


class PipelineMetrics(NamedTuple):
    """Counters of a pipeline since it was made, and what it does now.

    Attributes:
        calls: results given.
        failed: those with an error, time-outs among them.
        timeouts: calls that took too long.
        cancelled: calls whose caller was cancelled.
        hits: results from a cache tier.
        joined: results of identical work in flight.
        running: calls at work now.
        waiting: calls that wait for a place now.
        peak: the most that ran at once.
        threads: threads alive now.
        abandoned: threads that run on for nobody now, because a thread cannot be stopped.
    """

    calls: int
    failed: int
    timeouts: int
    cancelled: int
    hits: int
    joined: int
    running: int
    waiting: int
    peak: int
    threads: int
    abandoned: int
