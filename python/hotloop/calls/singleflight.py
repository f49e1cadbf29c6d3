"""Identical calls in flight share one execution."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

__all__ = ["Flights", "Tape", "abandon"]

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiters = 0


class Flights(Generic[T]):
    """The calls in flight, by key.

    The work runs in a task of its own, so nobody who waits for it owns it: a waiter that is cancelled takes no other
    with it, and the work is cancelled only when nobody waits any more. Event loops do not share work.
    """

    def __init__(self) -> None:
        self._flights: dict[tuple[asyncio.AbstractEventLoop, bytes], _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def share(self, key: bytes, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """Return the value of the call in flight under `key`, starting `work` when there is none.

        Args:
            key: names the work; equal keys must mean equal work.
            work: makes the coroutine to run; called only when nothing is in flight under `key`.

        Returns:
            The value, and whether it came from work that was in flight already.

        Raises:
            Exception: what the work raised, to everyone who waits for it.
        """
        loop = asyncio.get_running_loop()
        place = (loop, key)
        flight = self._flights.get(place)
        joined = flight is not None
        if flight is None:
            flight = self._flights[place] = _Flight(loop.create_task(work()))
            flight.task.add_done_callback(lambda _: self._land(place, flight))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._land(place, flight)  # whoever asks from now on starts anew
                await abandon(flight.task)

    def _land(self, place: tuple[asyncio.AbstractEventLoop, bytes], flight: _Flight[T]) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # seen, also when the last waiter has just been cancelled


async def abandon(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and return when it has ended, so that nothing runs on behind a cancelled caller."""
    task.cancel()
    await asyncio.wait([task])


class Tape:
    """The chunks of one stream while it comes in, for any number of readers: each gets all, in order."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.readers = 0
        self.ended = False
        self._error: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def append(self, chunk: bytes) -> None:
        """Add a chunk and wake the readers."""
        self.chunks.append(chunk)
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Close the tape; readers that reach the end see `error`, or the end of the stream when None."""
        self.ended, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def started(self) -> None:
        """Return when the first chunk is there or the stream has ended; raise what ended it before any chunk."""
        while not self.chunks and not self.ended:
            await self._change()
        if not self.chunks and self._error is not None:
            raise self._error

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the chunks from the first on, then those that still come."""
        position = 0
        while True:
            while position < len(self.chunks):
                yield self.chunks[position]
                position += 1
            if self.ended:
                if self._error is not None:
                    raise self._error
                return
            await self._change()

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future
