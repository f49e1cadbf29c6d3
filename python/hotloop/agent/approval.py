"""Where the calls of one run wait for a person."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from .events import AgentEvent, ApprovalNeeded
from .state import RunState, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tools.approval import Approver, Decision, Question

__all__ = ["Desk"]


class Desk:
    """Asks a person about calls, and keeps the run in the state of one that waits until all are answered.

    Args:
        state: the run's.
        emit: hears of each question, as an event that can be answered too.
        approver: who is asked; None where only the events are answered.
    """

    def __init__(self, state: RunState, emit: Callable[[AgentEvent], None], approver: Approver | None) -> None:
        self._state = state
        self._emit = emit
        self._approver = approver
        self._waiting = 0

    async def ask(self, question: Question) -> Decision:
        """Return the first answer to a question."""
        event = ApprovalNeeded(
            self._state.turn, question.call, question.reason, asyncio.get_running_loop().create_future()
        )
        self._waiting += 1
        if self._waiting == 1:
            self._state.to(State.APPROVAL)
        self._emit(event)
        asking = None if self._approver is None else asyncio.create_task(_ask(self._approver, question, event.answer))
        try:
            return await event.answer
        finally:
            event.answer.cancel()  # where the run was cancelled: too late for an answer
            if asking is not None:
                asking.cancel()
                await asyncio.wait([asking])
            self._waiting -= 1
            if not self._waiting:
                self._state.to(State.TOOLS)


async def _ask(approver: Approver, question: Question, answer: asyncio.Future[Decision]) -> None:
    try:
        said = approver(question)
        decision = await said if inspect.isawaitable(said) else said
    except Exception as error:  # noqa: BLE001 - handed on to who waits for the answer
        if not answer.done():
            answer.set_exception(error)
        return
    if not answer.done():
        answer.set_result(decision)
