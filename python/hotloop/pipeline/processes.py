"""Processes for tools that compute: they use other processors, and can be stopped."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from ..errors import ToolError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from ..tools import Tool

__all__ = ["Processes", "Ticket"]


class _Process:
    """A process that runs one call at a time. It is a daemon: it ends with this one."""

    def __init__(self) -> None:
        # spawned: a fork would copy the locks of threads that it does not copy
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        from .process_worker import serve

        self._process: BaseProcess = context.Process(target=serve, args=(theirs,), name="hotloop-tool", daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pipe(self) -> Connection:
        return self._ours

    def is_alive(self) -> bool:
        """Whether it can take a call."""
        return self._process.is_alive()

    def stop(self) -> None:
        """Kill it; its pipe then ends."""
        self._process.kill()

    def end(self) -> int | None:
        """Kill it, wait for its end, and return its exit code."""
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        self._ours.close()
        self._process.close()
        return code


class Ticket:
    """Stands for a call in a process; `kill` may come from another thread than the one that waits for it."""

    __slots__ = ("killed", "process")

    def __init__(self) -> None:
        self.process: _Process | None = None
        self.killed = False


class Processes:
    """As many processes as there are calls at once; each is used again for the next call.

    A function is found by its module and name, arguments and results cross as JSON: nothing is pickled but the name of
    the process's own main function.
    """

    def __init__(self) -> None:
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._lock = threading.Lock()  # of the tickets: a process is killed only while it works for its own
        self.killed = 0
        self._closed = False

    @property
    def live(self) -> int:
        """How many are alive."""
        return len(self._idle) + len(self._busy)

    def run(self, tool: Tool, args: Any, ticket: Ticket) -> tuple[Any, str]:
        """Run a call in a process, and return its value in its JSON form and what it printed; blocks.

        Raises:
            ToolError: the call failed, or its process ended.
        """
        request = _request(tool, args)
        if ticket.killed or self._closed:
            raise ToolError(f"{tool.name} was cancelled before its process started")
        process = self._take()
        with self._lock:
            ticket.process = process
        try:
            if ticket.killed:
                process.stop()
            process.pipe.send_bytes(request)
            answer = orjson.loads(process.pipe.recv_bytes())
        except (EOFError, OSError):
            self._lost(tool.name, process, ticket)
        with self._lock:
            ticket.process = None
        self._busy.discard(process)
        if self._closed:
            process.end()
        else:
            self._idle.append(process)
        if "error" in answer:
            raise ToolError(answer["error"])
        return answer["value"], answer["printed"]

    def _take(self) -> _Process:
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                process = _Process()
            if process.is_alive():
                self._busy.add(process)
                return process
            process.end()  # somebody killed it while it was idle

    def _lost(self, name: str, process: _Process, ticket: Ticket) -> NoReturn:
        with self._lock:
            ticket.process = None
        self._busy.discard(process)
        code = process.end()
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        raise ToolError(
            f"{name} failed: its process ended {how}. A program that starts processes needs "
            '`if __name__ == "__main__":` around its start'
        )

    def kill(self, ticket: Ticket) -> None:
        """End the process of a call; the thread that waits for it returns then."""
        ticket.killed = True
        with self._lock:
            if ticket.process is not None:
                self.killed += 1
                ticket.process.stop()

    def close(self) -> None:
        """End the idle processes; those that still work end after their work."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()


def _request(tool: Tool, args: Any) -> bytes:
    """Return the call as JSON.

    Raises:
        ToolError: another process cannot find the function, or the arguments have no JSON form.
    """
    func = tool.func
    module, path = func.__module__, func.__qualname__
    found = getattr(sys.modules.get(module), path, None)
    if getattr(found, "func", found) is not func:
        raise ToolError(
            f'{tool.name}: where="process" needs a function that a process can import, and {module}.{path} is another'
        )
    try:
        return orjson.dumps({"module": module, "name": path, "args": args, "path": sys.path})
    except (TypeError, ValueError) as error:
        raise ToolError(f"{tool.name}: its arguments cannot be handed to a process as JSON: {error}") from error
