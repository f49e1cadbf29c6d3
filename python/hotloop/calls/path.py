"""The one path that every keyed call takes.

    key → cache tiers → single flight → retry → limiter → run → record → events

The limiter stands inside the retry, because each attempt counts and a call that waits for its next attempt must not
hold a place.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ..cache.base import Cache, Record
from ..errors import CacheError
from ..observe.events import CacheState, CallFinished, CallKind, CallRetried, CallStarted, Observer
from .limits import Limiter, Limits
from .retry import Retry
from .singleflight import Flights, Tape, abandon

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

__all__ = ["Call", "CallPath", "Clock", "Mode", "Outcome", "Policy", "StreamCall", "StreamOutcome"]

T = TypeVar("T")

Mode = Literal["use", "refresh", "bypass", "only"]
"""use: serve and store; refresh: store anew; bypass: neither; only: serve, and fail where nothing is stored."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which parts of the path apply to a call.

    Attributes:
        cache: whether it may be served from a tier and stored in one.
        join: whether it may share the execution of an identical call in flight; callers that want independent samples
            say False.
        mode: how the tiers are used, where `cache` allows them.
        ttl: how long its record lives, in seconds; None for the tier's own time to live.
        namespace: the group that its record can be cleared with.
    """

    cache: bool = True
    join: bool = True
    mode: Mode = "use"
    ttl: float | None = None
    namespace: str = ""


@dataclass(slots=True)  # frozen, it takes three times as long to make, and one is made for each call
class Call(Generic[T]):
    """A call that gives one value.

    Attributes:
        kind: what is called.
        name: the model or the tool.
        key: the 32-byte key of everything that can change the answer; None for a call that is neither stored nor
            joined.
        run: does the work, once for each attempt.
        encode: gives the bytes to store, or None for a value that must not be stored.
        decode: gives the value back from such bytes; raises ValueError where they are damaged.
        policy: which parts of the path apply.
        id: the caller's name for this call, handed on to the events.
    """

    kind: CallKind
    name: str
    key: bytes | None
    run: Callable[[], Awaitable[T]]
    encode: Callable[[T], bytes | None]
    decode: Callable[[bytes], T]
    policy: Policy = field(default_factory=Policy)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class StreamCall:
    """A call that gives bytes piece by piece.

    Attributes:
        open: enters the work and gives its chunks; entered once for each attempt. An attempt is repeated only before
            its first chunk.
        complete: whether the bytes of a stream that ended are whole and may be stored.
        kind, name, key, policy, id: as in `Call`.
    """

    kind: CallKind
    name: str
    key: bytes | None
    open: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]
    complete: Callable[[bytes], bool]
    policy: Policy = field(default_factory=Policy)
    id: str | None = None


@dataclass(slots=True)  # as Call
class Outcome(Generic[T]):
    """A value and where it came from; `age` is the seconds since a stored value was made, else 0."""

    value: T
    cache: CacheState
    tier: str | None = None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """Chunks and where they come from."""

    chunks: AsyncIterator[bytes]
    cache: CacheState
    tier: str | None = None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, injected: `monotonic` for durations, `epoch` for ages, `sleep` for waits; all in seconds."""

    monotonic: Callable[[], float] = time.perf_counter
    epoch: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class CallPath:
    """Walks calls along the path.

    Args:
        cache: the tiers; None for none.
        limits: what may be in flight.
        retry: whether failed attempts are made again.
        observer: hears the events.
        single_flight: whether identical calls in flight are joined at all.
        clock: time.
    """

    def __init__(
        self,
        *,
        cache: Cache | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        observer: Observer | None = None,
        single_flight: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.cache = cache
        self.observer = observer
        self._limiter = Limiter(limits or Limits())
        self._retry = retry or Retry(attempts=1)
        self._single_flight = single_flight
        self._clock = clock or Clock()
        self._flights: Flights[Any] = Flights()
        self._tapes: dict[tuple[asyncio.AbstractEventLoop, bytes], tuple[Tape, asyncio.Task[None]]] = {}

    # -- one value -----------------------------------------------------------------------------------------------

    async def run(self, call: Call[T]) -> Outcome[T]:
        """Return the value of `call`, from the nearest place that has it.

        Raises:
            CacheError: the mode is "only" and nothing is stored.
            Exception: what the work raised on its last attempt.
        """
        start = self._clock.monotonic()
        self._begin(call)
        state: CacheState = "miss" if self._caches(call) else "bypass"
        try:
            outcome = await self._stored(call, call.decode) if self._reads(call) else None
            if outcome is None:
                if call.key is not None and call.policy.join and self._single_flight:
                    value, joined = await self._flights.share(call.key, lambda: self._execute(call))
                    state = "joined" if joined else state
                else:
                    value = await self._execute(call)
                outcome = Outcome(value, state)
        except BaseException as error:
            self._end(call, start, state, error=error)
            raise
        self._end(call, start, outcome.cache, outcome.tier)
        return outcome

    async def _execute(self, call: Call[T]) -> T:
        value = await self._attempts(call, call.run)
        if self._writes(call):
            payload = call.encode(value)
            if payload is not None:
                await self._store(call, payload)
        return value

    async def _attempts(self, call: Call[Any] | StreamCall, run: Callable[[], Awaitable[T]]) -> T:
        attempt = 1
        while True:
            try:
                async with self._limiter.slot():
                    return await run()
            except Exception as error:
                delay = self._retry.delay(error, attempt)
                if delay is None:
                    raise
                if self.observer is not None:
                    self.observer(CallRetried(call.kind, call.name, attempt, delay, _brief(error), call.id))
            await self._clock.sleep(delay)
            attempt += 1

    # -- a stream ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def stream(self, call: StreamCall) -> AsyncGenerator[StreamOutcome]:
        """Give the chunks of `call` while they come in, from the nearest place that has them.

        Entering waits for the first chunk, so that an error before it is raised there. Leaving early ends the work
        when nobody else reads it; only streams that ended whole are stored.

        Raises:
            CacheError: the mode is "only" and nothing is stored.
            Exception: what the work raised, when entering or while reading.
        """
        start = self._clock.monotonic()
        self._begin(call)
        state: CacheState = "miss" if self._caches(call) else "bypass"
        tier = None
        try:
            stored = await self._stored(call, bytes) if self._reads(call) else None
            if stored is not None:
                state, tier = stored.cache, stored.tier
                yield StreamOutcome(_once(stored.value), state, tier, stored.age)
            else:
                async with self._tape(call) as (tape, joined):
                    state = "joined" if joined else state
                    await tape.started()
                    async with aclosing(tape.read()) as chunks:
                        yield StreamOutcome(chunks, state)
        except BaseException as error:
            self._end(call, start, state, tier, error)
            raise
        self._end(call, start, state, tier)

    @asynccontextmanager
    async def _tape(self, call: StreamCall) -> AsyncGenerator[tuple[Tape, bool]]:
        loop = asyncio.get_running_loop()
        place = (loop, call.key) if call.key is not None and call.policy.join and self._single_flight else None
        found = self._tapes.get(place) if place is not None else None
        if found is None:
            tape = Tape()
            task = loop.create_task(self._record(call, tape))
            if place is not None:
                self._tapes[place] = tape, task
                task.add_done_callback(lambda _: self._lift(place, tape))
        else:
            tape, task = found
        tape.readers += 1
        try:
            yield tape, found is not None
        finally:
            tape.readers -= 1
            if not tape.readers:
                if place is not None:
                    self._lift(place, tape)
                if tape.ended:
                    await asyncio.wait([task])  # its record is being written
                else:
                    await abandon(task)

    def _lift(self, place: tuple[asyncio.AbstractEventLoop, bytes], tape: Tape) -> None:
        if (found := self._tapes.get(place)) is not None and found[0] is tape:
            del self._tapes[place]

    async def _record(self, call: StreamCall, tape: Tape) -> None:
        """Write the stream of `call` on `tape`, and into the tiers when it ended whole."""

        async def attempt() -> None:
            async with call.open() as chunks:
                try:
                    async for chunk in chunks:
                        tape.append(chunk)
                except Exception as error:
                    if not tape.chunks:
                        raise
                    tape.end(error)  # what was read cannot be taken back: no other attempt

        try:
            await self._attempts(call, attempt)
        except BaseException as error:
            if not tape.ended:
                tape.end(error)
            if not isinstance(error, Exception):
                raise
            return
        if tape.ended:
            return
        tape.end()
        if self._writes(call) and call.complete(payload := b"".join(tape.chunks)):
            await self._store(call, payload)

    # -- tiers and events ----------------------------------------------------------------------------------------

    def _caches(self, call: Call[Any] | StreamCall) -> bool:
        return self.cache is not None and call.key is not None and call.policy.cache and call.policy.mode != "bypass"

    def _reads(self, call: Call[Any] | StreamCall) -> bool:
        return call.policy.mode == "only" or (self._caches(call) and call.policy.mode == "use")

    def _writes(self, call: Call[Any] | StreamCall) -> bool:
        return self._caches(call)

    async def _stored(self, call: Call[Any] | StreamCall, decode: Callable[[bytes], T]) -> Outcome[T] | None:
        if self._caches(call) and self.cache is not None and call.key is not None:
            hit = await self.cache.get(call.key)
            if hit is not None:
                try:
                    value = decode(hit.record.payload)
                except ValueError:
                    await self.cache.delete(call.key)  # damaged: the work is done again
                else:
                    return Outcome(value, "hit", hit.tier, max(0.0, self._clock.epoch() - hit.record.created))
        if call.policy.mode == "only":
            raise CacheError(f'{call.kind} call of {call.name}: the mode is "only" and nothing is stored for it')
        return None

    async def _store(self, call: Call[Any] | StreamCall, payload: bytes) -> None:
        if self.cache is not None and call.key is not None:
            record = Record(payload, self._clock.epoch(), namespace=call.policy.namespace)
            await self.cache.put(call.key, record, call.policy.ttl)

    def _begin(self, call: Call[Any] | StreamCall) -> None:
        if self.observer is not None:
            self.observer(CallStarted(call.kind, call.name, call.id))

    def _end(
        self,
        call: Call[Any] | StreamCall,
        start: float,
        cache: CacheState,
        tier: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        if self.observer is not None:
            seconds = self._clock.monotonic() - start
            brief = None if error is None else _brief(error)
            self.observer(CallFinished(call.kind, call.name, cache, seconds, tier, brief, call.id))


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _once(payload: bytes) -> AsyncIterator[bytes]:
    yield payload
