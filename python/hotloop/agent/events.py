"""What a run tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from ..llm import Usage
    from ..observe.events import CacheState
    from ..pipeline import ToolResult
    from ..toolcall import ToolCall
    from .conversation import Conversation

__all__ = ["AgentEvent", "RunFinished", "RunResult", "ToolFinished", "ToolStarted", "TurnFinished", "TurnStarted"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The model is asked; turns count from 1."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The model has answered, after `seconds`; `cache` and `tier` tell from where."""

    turn: int
    cache: CacheState
    tier: str | None
    seconds: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call is handed to the pipeline."""

    turn: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has its result, which may be an error."""

    turn: int
    result: ToolResult


@dataclass(frozen=True, slots=True)
class RunResult(Generic[T]):
    """What a run came to.

    Attributes:
        output: the answer, of the agent's output type.
        conversation: all that was said, ready to be continued with another task.
        usage: the tokens of the run's model calls, summed; calls that were answered from a cache count as they did
            when they were made.
        turns: how often the model was asked.
        events: what happened, in order; empty where `profiling.events` is off.
    """

    output: T
    conversation: Conversation
    usage: Usage
    turns: int
    events: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run has ended with an answer."""

    result: RunResult[Any]


AgentEvent = TurnStarted | TurnFinished | ToolStarted | ToolFinished | RunFinished
