"""Waiting in line: a number of places, priorities with ageing, any event loop and any thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from threading import Lock

__all__ = ["PATIENCE", "PRIORITIES", "Line"]

PRIORITIES = 4
PATIENCE = 8
"""How many calls may go before the first waiting one of a lower priority, before that has a turn of its own."""


class _Waiter:
    __slots__ = ("called", "future", "gone", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.called = self.gone = False

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Line:
    """A number of places; those who find none wait in the order of their priority, then of their coming.

    A priority that was passed over `PATIENCE` times has the next turn, so that urgent calls cannot starve the others.
    Ageing counts turns and no seconds: the order depends on nothing but the calls.

    Args:
        places: how many may be in at once.
    """

    __slots__ = ("_free", "_lanes", "_lock", "_passed", "waiting")

    def __init__(self, places: int = 1) -> None:
        self._free = places
        self.waiting = 0
        self._lock = Lock()
        self._lanes: tuple[deque[_Waiter], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._passed = [0] * PRIORITIES

    def try_enter(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        with self._lock:
            if self.waiting or not self._free:
                return False
            self._free -= 1
            return True

    async def enter(self, priority: int) -> None:
        """Take a place, after waiting for one."""
        waiter = _Waiter()
        with self._lock:
            if self._free and not self.waiting:
                self._free -= 1
                return
            self._lanes[priority].append(waiter)
            self.waiting += 1
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                called = waiter.called
                if not called:
                    waiter.gone = True
                    self.waiting -= 1
            if called:
                self.leave()  # the turn had come, but nobody is there to use it
            raise

    def leave(self) -> None:
        """Give a place back: to the next that waits, or to nobody."""
        while True:
            with self._lock:
                waiter = self._next()
                if waiter is None:
                    self._free += 1
                    return
                self.waiting -= 1
                waiter.called = True
            with contextlib.suppress(RuntimeError):  # its event loop was closed under it: the next one
                waiter.loop.call_soon_threadsafe(waiter.wake)
                return

    def _next(self) -> _Waiter | None:
        for lane in self._lanes:
            while lane and lane[0].gone:
                lane.popleft()
        filled = [priority for priority in reversed(range(PRIORITIES)) if self._lanes[priority]]
        if not filled:
            return None
        chosen = max(filled, key=lambda priority: self._passed[priority])
        if self._passed[chosen] < PATIENCE:
            chosen = filled[0]
        self._passed[chosen] = 0
        for priority in filled:
            if priority < chosen:
                self._passed[priority] += 1
        return self._lanes[chosen].popleft()
