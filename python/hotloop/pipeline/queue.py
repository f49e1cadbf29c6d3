"""Which call goes next: places for a fixed number, priorities with ageing."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum

__all__ = ["Places", "Priority"]


class Priority(IntEnum):
    """How urgent a call is among those that wait."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


PATIENCE = 8
"""How many calls may start before the first waiting one of a lower priority, before it has a turn of its own."""


class Places:
    """A number of places; calls that find none wait in the order of their priority, then of their coming.

    A priority that was passed over `PATIENCE` times has the next turn, so that a stream of urgent calls cannot starve
    the others. Ageing counts turns rather than seconds: the order depends on nothing but the calls.

    Args:
        count: how many calls may run at once.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"max_concurrency is {count}; it must be at least 1")
        self.count = count
        self.free = count
        self.waiting = 0
        self._lanes: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in Priority)
        self._passed = [0] * len(Priority)

    def try_take(self) -> bool:
        """Take a place if one is free; nobody waits then, for a place that is given back goes to who waits."""
        if self.free:
            self.free -= 1
            return True
        return False

    async def take(self, priority: Priority) -> None:
        """Take a place, after waiting for one."""
        if self.try_take():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes[priority].append(turn)
        self.waiting += 1
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give()  # the turn had come, but nobody is there to use it
            raise
        finally:
            self.waiting -= 1

    def give(self) -> None:
        """Give a place back: to the next that waits, or to nobody."""
        turn = self._next()
        if turn is None:
            self.free += 1
        else:
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        if not self.waiting:
            return None
        for lane in self._lanes:
            while lane and lane[0].done():
                lane.popleft()  # cancelled while it waited
        filled = [priority for priority in _URGENT_FIRST if self._lanes[priority]]
        if not filled:
            return None
        chosen = max(filled, key=self._passed.__getitem__)
        if self._passed[chosen] < PATIENCE:
            chosen = filled[0]
        self._passed[chosen] = 0
        for priority in filled:
            if priority < chosen:
                self._passed[priority] += 1
        return self._lanes[chosen].popleft()


_URGENT_FIRST = tuple(reversed(Priority))
