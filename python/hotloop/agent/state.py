"""The states of a run and the transitions between them."""

from __future__ import annotations

from enum import Enum

from ..errors import StateError

__all__ = ["RunState", "State"]


class State(Enum):
    """Where a run stands."""

    READY = "ready"
    """Not started."""
    MODEL = "model"
    """Waits for the model's answer."""
    APPROVAL = "approval"
    """Waits for a person to say yes or no to calls that the model asked for; none of the turn's calls runs yet."""
    TOOLS = "tools"
    """Runs the calls that the model asked for."""
    DONE = "done"
    """Ended with an answer."""
    FAILED = "failed"
    """Ended by an error."""
    CANCELLED = "cancelled"
    """Ended by its caller."""


_LEGAL: dict[State, frozenset[State]] = {
    State.READY: frozenset({State.MODEL, State.FAILED, State.CANCELLED}),
    State.MODEL: frozenset({State.MODEL, State.TOOLS, State.DONE, State.FAILED, State.CANCELLED}),
    State.TOOLS: frozenset({State.MODEL, State.APPROVAL, State.FAILED, State.CANCELLED}),
    State.APPROVAL: frozenset({State.TOOLS, State.FAILED, State.CANCELLED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


class RunState:
    """The state of one run; it changes only along a legal transition.

    Attributes:
        now: the state.
        turn: how often the model was asked.
    """

    def __init__(self) -> None:
        self.now = State.READY
        self.turn = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen."""
        return not _LEGAL[self.now]

    def to(self, state: State) -> None:
        """Go over into `state`.

        Raises:
            StateError: the present state does not allow it.
        """
        if state not in _LEGAL[self.now]:
            allowed = ", ".join(sorted(legal.value for legal in _LEGAL[self.now])) or "nothing: it has ended"
            raise StateError(f"a run that is {self.now.value} cannot become {state.value}; allowed: {allowed}")
        self.now = state
