"""Time that passes only when everybody waits for it."""

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from typing import Any

from hotloop.calls import Clock


class VirtualTime:
    """A clock whose sleepers wake in order, without real time passing."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, epoch=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._count), future))
        await future

    async def settle(self) -> None:
        """Let everybody run until all of them wait."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            if not loop._ready:
                return

    async def run(self, work: Coroutine[Any, Any, Any], until: float = float("inf")) -> Any:
        """Return what `work` gives, letting time pass whenever all wait for it; None when `until` has come first."""
        task = asyncio.ensure_future(work)
        while True:
            await self.settle()
            if task.done():
                return task.result()
            assert self._sleepers, "everybody waits, and nobody for time to pass"
            at, _, future = heapq.heappop(self._sleepers)
            if at > until:
                task.cancel()
                await asyncio.wait([task])
                return None
            self.now = max(self.now, at)
            if not future.done():
                future.set_result(None)
