"""Whether a person is asked before a call is run, and what the person says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ToolError
from ..toolcall import ToolCall
from .content import words_of

__all__ = ["Approval", "Approver", "Decision", "Question", "reason_to_ask"]

Approval = Literal["never", "always"] | Callable[[ToolCall[dict[str, Any]]], bool | str]
"""Whether a call needs a yes: never, always, or as a function of the call says: False for no, True for yes, or a text
that tells the person why. The function gets the arguments validated, as JSON values by name."""

Decision = bool | str | dict[str, Any]
"""What a person says to a call: True to run it, False to refuse it, a text to refuse it for that reason, which the
model is told, or other arguments to run it with."""


@dataclass(frozen=True, slots=True)
class Question:
    """A call that needs a yes.

    Attributes:
        call: the call, with its arguments validated, as JSON values by name.
        reason: why it needs one, in the words of the tool's approval function; empty where there are none.
    """

    call: ToolCall[dict[str, Any]]
    reason: str = ""


Approver = Callable[[Question], Decision | Awaitable[Decision]]
"""Answers a question, at once or when it is awaited. It runs on the event loop and must not block it."""


def reason_to_ask(approval: Approval, call: ToolCall[dict[str, Any]]) -> str | None:
    """Return why a call needs a yes ("" for no particular reason), or None where it needs none.

    Raises:
        ToolError: the approval function failed, or gave something else; the call must then not run.
    """
    if isinstance(approval, str):
        return "" if approval == "always" else None
    try:
        needed = approval(call)
    except (Exception, SystemExit) as error:
        raise ToolError(
            f"{call.name} was not run: the check whether it needs approval failed: {words_of(error)}"
        ) from error
    if needed is True or needed is False:
        return "" if needed else None
    if isinstance(needed, str):
        return needed
    raise ToolError(
        f"{call.name} was not run: the check whether it needs approval gave {type(needed).__name__}, not bool or str"
    )
