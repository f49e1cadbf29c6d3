"""Which call goes next: places for a fixed number, limits of their own for some, priorities with ageing."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from time import perf_counter

__all__ = ["Limit", "Limits", "Places", "Priority"]


class Priority(IntEnum):
    """How urgent a call is among those that wait."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


PATIENCE = 8
"""How many calls may start before the first waiting one of a lower priority, before it has a turn of its own."""


class Limit:
    """How many calls of one tool, or on one resource, may run at once."""

    __slots__ = ("count", "free")

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"a limit of {count} calls at once would let none run; it must be at least 1")
        self.count = count
        self.free = count

    def resize(self, count: int) -> None:
        """Change the number; calls above a smaller one end in their own time."""
        self.free += count - self.count
        self.count = count


Limits = tuple[Limit, ...]
"""The limits that a call is under, beside the number of places."""

_Turn = tuple[int, "asyncio.Future[None]"]


class Places:
    """A number of places; calls that find none wait in the order of their priority, then of their coming.

    A call may be under further limits; while one of them is reached, others pass it. A priority that was passed over
    `PATIENCE` times has the next turn, so that a stream of urgent calls cannot starve the others. Ageing counts turns
    rather than seconds: the order depends on nothing but the calls.

    Args:
        count: how many calls may run at once.

    Attributes:
        peak: the most that ran at once.
        waiting: how many wait.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"max_concurrency is {count}; it must be at least 1")
        self.count = count
        self.free = count
        self.peak = 0
        self.waiting = 0
        # of places, and of the time in which any was taken: the sum of all ends less the sum of all beginnings
        self._held = self._busy = 0.0
        self._number = 0
        # a queue for each priority and set of limits: who is first in it goes as soon as any of it can
        self._lanes: tuple[dict[Limits, deque[_Turn]], ...] = tuple({} for _ in Priority)
        self._passed = [0] * len(Priority)

    def try_take(self, limits: Limits, now: float) -> bool:
        """Take a place if one is free; whoever waits then, waits for a limit that is reached.

        Args:
            limits: what else the call is under.
            now: the time by `perf_counter`, which callers have a use for too.
        """
        if self.free <= 0:
            return False
        if limits:
            for limit in limits:
                if limit.free <= 0:
                    return False
            for limit in limits:
                limit.free -= 1
        self._held -= now
        if self.free == self.count:
            self._busy -= now
        self.free -= 1
        if self.count - self.free > self.peak:
            self.peak = self.count - self.free
        return True

    async def take(self, priority: Priority, limits: Limits = ()) -> None:
        """Take a place, after waiting for one."""
        if self.try_take(limits, perf_counter()):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        self._lanes[priority].setdefault(limits, deque()).append((self._number, turn))
        self.waiting += 1
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give(limits, perf_counter())  # the turn had come, but nobody is there to use it
            raise
        finally:
            self.waiting -= 1

    def give(self, limits: Limits, now: float) -> None:
        """Give a place back: to the next that waits and may go, or to nobody. The arguments are those of `try_take`."""
        self._held += now
        self.free += 1
        if self.free == self.count:
            self._busy += now
        for limit in limits:
            limit.free += 1
        if self.waiting:
            self._call(now)

    @property
    def mean(self) -> float:
        """How many places were taken, in the mean over the time in which any was; 0 where none ever was."""
        taken, now = self.count - self.free, perf_counter()
        busy = self._busy + (now if taken else 0.0)
        return (self._held + taken * now) / busy if busy else 0.0

    def resize(self, count: int) -> None:
        """Change the number of places; calls above a smaller one end in their own time."""
        self.free += count - self.count
        self.count = count
        self._call(perf_counter())

    def _call(self, now: float) -> None:
        while self.free > 0 and (found := self._next()) is not None:
            limits, turn = found
            self.try_take(limits, now)
            turn.set_result(None)

    def _next(self) -> tuple[Limits, asyncio.Future[None]] | None:
        ready = {priority: limits for priority in _URGENT_FIRST if (limits := self._first(priority)) is not None}
        if not ready:
            return None
        chosen = max(ready, key=self._passed.__getitem__)
        if self._passed[chosen] < PATIENCE:
            chosen = next(iter(ready))
        self._passed[chosen] = 0
        for priority in ready:
            if priority < chosen:
                self._passed[priority] += 1
        limits = ready[chosen]
        return limits, self._lanes[chosen][limits].popleft()[1]

    def _first(self, priority: Priority) -> Limits | None:
        """Return the limits of the call of this priority that came first, of those that may go."""
        lanes, found, earliest = self._lanes[priority], None, self._number + 1
        for limits, lane in list(lanes.items()):
            while lane and lane[0][1].done():
                lane.popleft()  # cancelled while it waited
            if not lane:
                del lanes[limits]
            elif lane[0][0] < earliest and all(limit.free > 0 for limit in limits):
                found, earliest = limits, lane[0][0]
        return found


_URGENT_FIRST = tuple(reversed(Priority))
