"""Asking on the terminal whether a call may run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import termios
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..errors import ToolRefusedError
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ..tools import Decision, Question

__all__ = ["Terminal"]

_SHOWN = 2000
"""Characters of an argument that are shown at once: half from its beginning, half from its end."""
_MAX_LINE = 1 << 16

_CHOICES = "Run it? y: yes, n: no, e: other arguments, s: show all; anything else is told to the model as your reason: "


class Terminal:
    """Asks the person at the terminal, one question after the other.

    What the model wrote is shown as JSON in ASCII: nothing in it steers the terminal, passes for another letter, or is
    left out without a word. What was typed before a question does not answer it; an empty line is a no.

    Args:
        alone: gives a block in which nothing else is shown.
    """

    def __init__(self, alone: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._alone = alone
        self._turn = asyncio.Lock()

    async def __call__(self, question: Question) -> Decision:
        """Return what the person says.

        Raises:
            ToolRefusedError: there is no terminal to ask on, or it was closed.
        """
        name = question.call.name
        if sys.stdin is None or not sys.stdin.isatty():
            raise ToolRefusedError(
                f"{name} was not run: it needs a person's approval, and standard input is no terminal; "
                "with --yes nobody is asked"
            )
        async with self._turn:
            with self._alone():
                return await self._asked(question)

    async def _asked(self, question: Question) -> Decision:
        name = question.call.name
        _say(f"\n{printable(name)} wants to run{f' ({printable(question.reason)})' if question.reason else ''}:\n")
        limit: int | None = _SHOWN
        while True:
            if limit is not None:
                _say(_shown(question.call.args, limit))
            said = await self._line(_CHOICES, name)
            match said.lower():
                case "y" | "yes":
                    return True
                case "" | "n" | "no":
                    return False
                case "s" | "show":
                    _say(_shown(question.call.args, sys.maxsize))
                    limit = None
                case "e" | "edit":
                    edited = await self._edited(name)
                    if edited is not None:
                        return edited
                    limit = None
                case _:
                    return said

    async def _edited(self, name: str) -> dict[str, Any] | None:
        said = await self._line("The arguments, as a JSON object in one line: ", name)
        try:
            args = json.loads(said)
        except ValueError as error:
            _say(f"That is not JSON: {error}\n")
            return None
        if not isinstance(args, dict):
            _say("That is no JSON object.\n")
            return None
        return args

    async def _line(self, prompt: str, name: str) -> str:
        """Return the next line; the event loop goes on meanwhile, and Ctrl-C ends the wait."""
        loop, handle = asyncio.get_running_loop(), sys.stdin.fileno()
        read: asyncio.Future[bytes] = loop.create_future()

        def readable() -> None:
            loop.remove_reader(handle)
            try:
                read.set_result(os.read(handle, _MAX_LINE))
            except OSError:  # the terminal is gone
                read.set_result(b"")

        termios.tcflush(handle, termios.TCIFLUSH)
        _say(prompt)
        loop.add_reader(handle, readable)
        try:
            line = await read
        finally:
            loop.remove_reader(handle)
        if not line:
            _say("\n")
            raise ToolRefusedError(f"{name} was not run: the terminal was closed before anybody answered")
        return line.decode(errors="replace").strip()


def _shown(args: dict[str, Any] | str, limit: int) -> str:
    items = args.items() if isinstance(args, dict) else [("arguments", args)]
    lines = []
    for name, value in items:
        text = json.dumps(value)
        if len(text) > limit:
            half = limit // 2
            text = f"{text[:half]} [{len(text) - 2 * half} characters are not shown] {text[-half:]}"
        lines.append(f"  {json.dumps(name)[1:-1]} = {text}\n")
    return "".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
