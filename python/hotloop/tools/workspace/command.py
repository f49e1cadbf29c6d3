"""The tool that runs commands in a workspace."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...errors import WorkspaceError
from ..tool import Tool, tool
from .sandbox import environment, sandboxed

if TYPE_CHECKING:
    from ..approval import Approval
    from .place import Place

__all__ = ["commanding"]

_MAX_OUTPUT = 32 * 1024
"""Bytes of output that are returned: half from its beginning, half from its end."""
_MAX_SECONDS = 3600
_SHELL = "/bin/sh"


class _Output(asyncio.Protocol):
    """Keeps the beginning and the end of what comes in."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.left_out = 0
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        room = _MAX_OUTPUT // 2 - len(self.head)
        self.head += data[:room]
        self.tail += data[room:] if room > 0 else data
        if (over := len(self.tail) - _MAX_OUTPUT // 2) > 0:
            del self.tail[:over]
            self.left_out += over

    def connection_lost(self, _: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def text(self) -> str:
        if not self.left_out:
            return (self.head + self.tail).decode(errors="replace")
        mark = f"\n[… {self.left_out} bytes are left out here …]\n"
        return self.head.decode(errors="replace") + mark + self.tail.decode(errors="replace")


def commanding(place: Place, approval: Approval, *, network: bool) -> list[Tool]:
    """Return run_command for a workspace."""
    root = str(place.base)

    @tool(effect="external", approval=approval, timeout=_MAX_SECONDS + 60)
    async def run_command(
        command: Annotated[str, Field(min_length=1, description="Command line for the shell")],
        timeout: Annotated[float, Field(gt=0, le=_MAX_SECONDS, description="Seconds after which it is killed")] = 120,  # noqa: ASYNC109
    ) -> str:
        """Run a shell command in the workspace. Gives its output, and its exit status where that is not 0.

        What it leaves running in the background is killed when it ends.
        """
        if "\0" in command:
            raise WorkspaceError("the command holds a NUL character, which no command line can")
        line = [_SHELL, "-c", command]
        inside = await asyncio.to_thread(sandboxed, line, root, network=network)  # which tries it out, once
        text, ending = await _run(inside or line, root, timeout)
        notes = [ending] if ending else []
        if inside is None:
            notes.append("not sandboxed: bubblewrap does not work here")
        if not text and not ending:
            notes.insert(0, "no output")
        if notes:
            text += ("" if text.endswith("\n") or not text else "\n") + f"[{'; '.join(notes)}]"
        return text

    return [run_command]


async def _run(line: list[str], root: str, timeout: float) -> tuple[str, str]:  # noqa: ASYNC109
    """Run a command in a process group of its own; return its output, and how it ended if not well."""
    loop = asyncio.get_running_loop()
    ours, theirs = os.pipe()
    reader, output = await loop.connect_read_pipe(_Output, os.fdopen(ours, "rb", 0))
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *line,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                cwd=root,
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise WorkspaceError(f"the command cannot be started: {error.strerror or error}") from error
        finally:
            os.close(theirs)
        late = False
        try:
            async with asyncio.timeout(timeout):
                await process.wait()
        except TimeoutError:
            late = True
        finally:
            with suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
        with suppress(TimeoutError):  # a process that left the group may hold the pipe open
            async with asyncio.timeout(1):
                await asyncio.shield(output.ended)
    finally:
        reader.close()
    if late:
        return output.text(), f"killed: it ran longer than {timeout:g} s"
    code = process.returncode or 0
    if code < 0:
        return output.text(), f"ended by signal {-code}"
    return output.text(), f"exit status {code}" if code else ""
