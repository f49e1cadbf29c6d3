"""Identical calls in flight share one execution."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .call import Opened

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine, Hashable

    from .call import Call, StreamCall, StreamOutcome

__all__ = ["LONGEST", "Flights", "Place", "Reader", "Tape", "abandon", "forget_closed", "place_of"]

T = TypeVar("T")

LONGEST = 16 << 20  # bytes of a stream that is stored, and that runs ahead of its readers
Place = tuple[Any, ...]
"""What work is in flight, hashable: its event loop, then its name."""


def place_of(
    loop: asyncio.AbstractEventLoop, call: Call[Any] | StreamCall, taken: Container[Place], *more: Hashable
) -> Place:
    """Where `call` is joined: those who want a new answer do not join who takes a stored one, but may be joined."""
    place = (loop, call.key, call.policy.mode, *more)
    if call.policy.mode == "use" and (renewed := (*place[:2], "refresh", *more)) in taken:
        return renewed
    return place


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
        self._flights: dict[Place, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, place: object) -> bool:
        return place in self._flights

    async def share(self, place: Place, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """Return the value of the call in flight at `place`, starting `work` when there is none.

        Args:
            place: names the running loop and the work; equal places must mean equal work.
            work: makes the coroutine to run; called only when nothing is in flight at `place`.

        Returns:
            The value, and whether it came from work that was in flight already.

        Raises:
            Exception: what the work raised, to everyone who waits for it.
        """
        flight = self._flights.get(place)
        joined = flight is not None
        if flight is None:
            forget_closed(self._flights)
            flight = self._flights[place] = _Flight(asyncio.get_running_loop().create_task(work()))
            flight.task.add_done_callback(lambda _: self._land(place, flight))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._land(place, flight)  # whoever asks from now on starts anew
                await abandon(flight.task)

    def _land(self, place: Place, flight: _Flight[T]) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # seen, also when the last waiter has just been cancelled


def forget_closed(places: dict[Place, Any]) -> None:
    """Forget what was under way in event loops that were closed over it: no callback of theirs will."""
    for place in [place for place in places.copy() if place[0].is_closed()]:
        places.pop(place, None)


async def abandon(task: asyncio.Future[Any]) -> None:
    """Cancel `task` and return when it has ended, so that nothing runs on behind a cancelled caller."""
    if not task.get_loop().is_closed():  # else nothing runs any more
        task.cancel()
        await asyncio.wait([task])


class Tape:
    """The chunks of one stream while it comes in, for any number of readers: each gets all, in order.

    One that grows too long is neither stored nor joined any more; it comes in no faster than it is read, and what its
    only reader has read is forgotten.

    Args:
        call: as whose call the stream is stored.
    """

    __slots__ = (
        "_demand",
        "_error",
        "_size",
        "_waiting",
        "call",
        "chunks",
        "ended",
        "opened",
        "readers",
        "stored",
        "task",
    )

    def __init__(self, call: StreamCall) -> None:
        self.call = call
        self.task: asyncio.Future[None]  # done when the tape is written
        self.opened: Opened | None = None
        self.stored: StreamOutcome | None = None
        self.chunks: list[bytes] = []
        self.readers = 0
        self._size = 0
        self.ended = False
        self._error: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._demand: asyncio.Future[None] | None = None

    @property
    def brief(self) -> bool:
        """Whether readers are woken once, when all of it is there."""
        return self.opened is not None and self.opened.brief

    def begin(self, opened: Opened) -> None:
        """Say that the stream is there, before any chunk."""
        self.opened = opened
        if not opened.brief:
            self._wake()

    def replay(self, stored: StreamOutcome) -> None:
        """Give the readers a stored stream instead."""
        self.stored, self.ended = stored, True
        self.begin(Opened(stored.chunks, stored.meta))

    def append(self, chunk: bytes) -> None:
        """Add a chunk and wake the readers."""
        self.chunks.append(chunk)
        self._size += len(chunk)
        if not self.brief:
            self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Close the tape; readers that reach the end see `error`, or the end of the stream when None."""
        self.ended, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def started(self) -> Opened:
        """Return what the stream opened with, when it is there; raise what ended it before."""
        while self.opened is None:
            if self.ended:
                raise self._failure()
            await self._change()
        return self.opened

    @property
    def too_long(self) -> bool:
        """Whether it has more bytes than are kept."""
        return self._size > LONGEST

    @property
    def good(self) -> bool:
        """Whether the stream has ended, and not with an error."""
        return self.ended and self._error is None

    def read(self) -> Reader:
        """Give the chunks from the first on, then those that still come."""
        return Reader(self)

    async def next(self, position: int) -> bytes:
        """Return the chunk at `position`, when it is there.

        Raises:
            StopAsyncIteration: the stream ended before it.
            BaseException: what else ended the stream.
        """
        while position >= len(self.chunks):
            if self.ended:
                raise StopAsyncIteration if self._error is None else self._failure()
            await self._change()
        return self.take(position)

    def take(self, position: int) -> bytes:
        """Return the chunk at `position`, which is there."""
        chunk = self.chunks[position]
        if self.readers == 1 and self.too_long:
            self.chunks[position] = b""
        return chunk

    def _failure(self) -> BaseException:
        """What ended the stream, for one reader: a raised exception gathers what its raiser and catchers add to it."""
        error = self._error
        if error is None:
            return RuntimeError("the stream ended before it began")
        if self.readers > 1:
            with suppress(TypeError):  # an exception that cannot be made from its own arguments
                twin = copy(error)
                twin.__cause__, twin.__suppress_context__ = error.__cause__, error.__suppress_context__
                return twin
        return error

    async def wanted(self) -> None:
        """Return when a reader waits for the next chunk."""
        while not self._waiting:
            self._demand = asyncio.get_running_loop().create_future()
            await self._demand

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._demand is not None and not self._demand.done():
            self._demand.set_result(None)
        try:
            await future
        except asyncio.CancelledError:
            if future in self._waiting:
                self._waiting.remove(future)
            raise


class Reader:
    """One reader of a tape. It is no generator, so it survives being cancelled, and need not be closed.

    `at_hand` and `settled` may be used in any thread, the rest only in the tape's event loop.
    """

    __slots__ = ("_position", "_tape")

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._position = 0

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._tape.next(self._position)
        self._position += 1
        return chunk

    def rest(self) -> bytes | None:
        """Return all that is left where the stream has come to its good end, or None."""
        if not self._tape.good:
            return None
        position, self._position = self._position, len(self._tape.chunks)
        return b"".join(self._tape.chunks[position:])

    def at_hand(self) -> bytes | None:
        """Return the next chunk where it is there already, or None."""
        if self._position == len(self._tape.chunks):
            return None
        self._position += 1
        return self._tape.take(self._position - 1)

    @property
    def settled(self) -> bool:
        """Whether the stream is read to its good end, and its record, where it has one, is written."""
        return self._tape.good and self._position == len(self._tape.chunks) and self._tape.task.done()
