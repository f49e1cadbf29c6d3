"""Asking a person, before anything is planned or run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..errors import ToolError, ToolRefusedError
from ..tools.content import words_of

if TYPE_CHECKING:
    from ..tools.approval import Approver, Question

__all__ = ["decide"]


async def decide(question: Question, approver: Approver | None) -> dict[str, Any] | None:
    """Return None where a call may run as it is, or the arguments to run it with instead.

    Raises:
        ToolRefusedError: it must not run: a person said no, or there is nobody to ask.
        ToolError: the approver failed, or gave no decision.
    """
    name = question.call.name
    why = f" ({question.reason})" if question.reason else ""
    if approver is None:
        raise ToolRefusedError(f"{name} was not run: it needs a person's approval{why}, and nobody can give it here")
    try:
        answer = approver(question)
        decision = await answer if inspect.isawaitable(answer) else answer
    except ToolError:
        raise
    except Exception as error:
        raise ToolError(f"{name} was not run: asking for approval failed: {words_of(error)}") from error
    if decision is True:
        return None
    if isinstance(decision, dict):
        return decision
    if decision is False or isinstance(decision, str):
        said = f": {decision}" if decision else ""
        raise ToolRefusedError(f"{name} was not run: a person refused it{said}")
    raise ToolError(
        f"{name} was not run: the approver gave {type(decision).__name__}; it must give True, False, a reason to "
        "refuse, or a dict of other arguments"
    )
