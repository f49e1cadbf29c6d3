"""Threads for tools that block, so that the event loop never does."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Threads"]

Ended = tuple[Any, BaseException | None]
"""What a function returned, or what it raised."""


class Late(Protocol):
    """Whoever wants to know about a thread that runs on."""

    abandoned: bool
    """Whether it does."""

    def late(self) -> None:
        """Hear that it has ended after all."""


class _Job:
    __slots__ = ("abandoned", "caller", "context", "ended", "func", "loop", "over", "owner")

    def __init__(
        self, func: Callable[[], Any], loop: asyncio.AbstractEventLoop, owner: Threads, caller: Late | None
    ) -> None:
        self.func = func
        self.caller = caller
        self.loop = loop
        self.owner = owner
        self.abandoned = False
        self.over = False
        self.context = contextvars.copy_context()
        self.ended: asyncio.Future[Ended] = loop.create_future()


class _Worker:
    """A thread and its one-place inbox. It is a daemon: a tool that never returns does not keep the process."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=self._work, name="hotloop-tool", daemon=True).start()

    def _work(self) -> None:
        while (job := self.inbox.get()) is not None:
            ended: Ended = None, None
            try:
                if not job.abandoned:
                    ended = job.context.run(job.func), None
            except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its caller's to hear
                ended = None, error
            try:
                job.loop.call_soon_threadsafe(job.owner.finished, self, job, ended)
            except RuntimeError:  # the loop is closed: nobody waits
                return
            del job, ended  # hold nothing while idle


class Threads:
    """As many threads as there are calls at once; their state changes on the event loop only.

    A thread cannot be stopped. One whose caller has gone is abandoned: it is counted, replaced, and taken back when
    its work ends after all; what it gives then is dropped.

    Args:
        max_abandoned: how many may run on at once before new work is refused.
    """

    def __init__(self, max_abandoned: int) -> None:
        self.abandoned = 0
        self.live = 0
        self.max_abandoned = max_abandoned
        self._idle: list[_Worker] = []
        self._closed = False

    async def run(self, func: Callable[[], Any], caller: Late | None = None) -> Ended:
        """Run `func` in a thread, in a copy of the current context, and return how it ended.

        Args:
            func: what to run.
            caller: is told where the thread must be abandoned, and when it ends then.

        Raises:
            ToolError: too many threads that cannot be stopped are still running.
        """
        if self.abandoned >= self.max_abandoned:
            raise ToolError(
                f"{self.abandoned} calls that ran out of time or were cancelled still hold their threads, which cannot "
                "be stopped; no more are started until one of them ends"
            )
        job = _Job(func, asyncio.get_running_loop(), self, caller)
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = _Worker()
            self.live += 1
        worker.inbox.put(job)
        try:
            return await job.ended
        except asyncio.CancelledError:
            if job.over:  # its work ended between the cancellation and this turn
                raise
            job.abandoned = True  # where its thread has not come to it yet, it never starts
            self.abandoned += 1
            if caller is not None:
                caller.abandoned = True
            raise

    def finished(self, worker: _Worker, job: _Job, ended: Ended) -> None:
        """Take a thread back; called on the loop of its job."""
        if job.abandoned:
            self.abandoned -= 1
            if job.caller is not None:
                job.caller.late()
        elif not job.ended.cancelled():
            job.ended.set_result(ended)
        job.over = True
        if self._closed:
            self._release(worker)
        else:
            self._idle.append(worker)

    def close(self) -> None:
        """End the idle threads; those that still work end after their work."""
        self._closed = True
        while self._idle:
            self._release(self._idle.pop())

    def _release(self, worker: _Worker) -> None:
        worker.inbox.put(None)
        self.live -= 1
