"""What a run tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

    from ..llm import Usage
    from ..observe.events import CacheState
    from ..pipeline import ToolResult
    from ..toolcall import ToolCall
    from ..tools.approval import Decision
    from .conversation import Conversation

__all__ = [
    "AgentEvent",
    "ApprovalNeeded",
    "RunFinished",
    "RunResult",
    "ToolFinished",
    "ToolStarted",
    "TurnFinished",
    "TurnStarted",
]

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


@dataclass(frozen=True, slots=True, eq=False)
class ApprovalNeeded:
    """A tool call waits for a person: answer it with `approve`, `refuse` or `edit`; the first answer counts.

    Attributes:
        turn: the turn that asks for the call.
        call: the call, with its arguments validated, as JSON values by name.
        reason: why the tool asks; empty where it does not say.
    """

    turn: int
    call: ToolCall
    reason: str
    answer: asyncio.Future[Decision] = field(repr=False)

    @property
    def answered(self) -> bool:
        """Whether there is an answer, or nobody waits for one any more."""
        return self.answer.done()

    def approve(self) -> None:
        """Let the call run."""
        self._set(True)

    def refuse(self, reason: str = "") -> None:
        """Do not let it run; the model is told the reason."""
        self._set(reason or False)

    def edit(self, args: dict[str, Any]) -> None:
        """Let it run with these arguments, by name, instead of its own; the model is told."""
        self._set(dict(args))

    def _set(self, decision: Decision) -> None:
        if not self.answer.done():
            self.answer.set_result(decision)


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


AgentEvent = TurnStarted | TurnFinished | ToolStarted | ApprovalNeeded | ToolFinished | RunFinished
