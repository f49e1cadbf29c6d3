"""The one path that every keyed call takes.

    key → cache tiers → single flight → retry → limiter → run → record → events

The limiter stands inside the retry, because each attempt counts and a call that waits for its next attempt must not
hold a place.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..observe.events import CacheState, CallFinished, CallStarted, Event, Observer
from .attempts import Attempts, brief
from .breaker import Breaking
from .call import Call, Clock, Opened, Outcome, StreamCall, StreamOutcome
from .chunks import chain, once
from .forgiven import Forgiven
from .gate import Gate, Passage
from .leases import Leases
from .limits import Limits
from .loop import running_loop
from .records import Records
from .retry import Retry
from .singleflight import LONGEST, Flights, Place, Tape, abandon, forget_closed, place_of
from .tapes import Lead, Tapes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from ..cache.base import Cache

__all__ = ["CallPath"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Done(Generic[T]):
    """What work gave: whether its value is stored, and whether another process did it."""

    value: T
    recorded: bool
    elsewhere: bool = False


class CallPath:
    """Walks calls along the path.

    Args:
        cache: the tiers; None for none.
        limits: what may be in flight.
        retry: whether failed attempts are made again.
        breaking: when a server that keeps failing is left alone.
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
        breaking: Breaking | None = None,
        observer: Observer | None = None,
        single_flight: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.cache = cache
        self.observer = observer
        self._single_flight = single_flight
        self._clock = clock = clock or Clock()
        self._forgiven = Forgiven()
        self._records = Records(cache, clock, self._forgiven)
        self._caches, self._reads = self._records.caches, self._records.reads
        self._attempts = Attempts(retry or Retry(attempts=1), clock.sleep, self._tell)
        self._gate = Gate(limits or Limits(), breaking or Breaking(), clock)
        self._leases = Leases.of(cache, clock.sleep, self._forgiven) if single_flight else None
        self._flights: Flights[Any] = Flights()
        self._tapes = Tapes()
        self._renewals: dict[Place, asyncio.Task[None]] = {}

    # -- one value -----------------------------------------------------------------------------------------------

    async def run(self, call: Call[T]) -> Outcome[T]:
        """Return the value of `call`, from the nearest place that has it.

        Raises:
            CacheError: the mode is "only" and nothing is stored.
            Exception: what the work raised on its last attempt.
        """
        if self.free(call):
            return Outcome(await self._attempts.first(call, partial(self._gate.run, call)), "bypass")
        observed, start = self.observer is not None, 0.0
        if observed:
            start = self._clock.monotonic()
            self._begin(call)
        policy = call.policy
        state: CacheState = "miss" if self._caches(call) else "bypass"
        try:
            reads = policy.mode == "only" or (policy.mode == "use" and state == "miss")
            outcome = await self._records.find(call, call.decode) if reads else None
            if outcome is None:
                if call.key is not None and policy.join and self._single_flight:
                    value, joined = await self._shared(call)
                    outcome = Outcome(value, "joined" if joined else state)
                else:
                    outcome = Outcome((await self._execute(call)).value, state)
            elif outcome.stale:
                self._renew(call)
        except BaseException as error:
            if observed:
                self._end(call, start, state, error=error)
            raise
        if observed:
            self._end(call, start, outcome.cache, outcome.tier)
        return outcome

    async def _shared(self, call: Call[T]) -> tuple[T, bool]:
        place = place_of(running_loop(), call, self._flights)
        done, joined = await self._flights.share(place, lambda: self._leased(call))
        if not done.recorded and self._caches(call):  # joined a call that stores nothing
            done.recorded = True
            await self._encoded(call, done.value)
        return done.value, joined or done.elsewhere

    async def _leased(self, call: Call[T]) -> _Done[T]:
        if self._leases is None or call.key is None or not self._reads(call):
            return await self._execute(call)
        async with self._leases.turn(call.key) as turn:
            if turn.stored and (found := await self._records.find(call, call.decode)) is not None:
                return _Done(found.value, recorded=True, elsewhere=True)
            done = await self._execute(call)
            turn.recorded = done.recorded
            return done

    async def _execute(self, call: Call[T]) -> _Done[T]:
        value = await self._attempts.first(call, partial(self._gate.run, call))
        return _Done(value, self._caches(call) and await self._encoded(call, value))

    async def _encoded(self, call: Call[T], value: T) -> bool:
        """Store `value` and say whether there was something to store; work that is done is never lost for this."""
        try:
            payload = call.encode(value)
        except Exception as error:  # noqa: BLE001 - whatever a codec may raise
            self._forgiven("what a call gave could not be stored", error)
            return False
        if payload is not None:
            await self._records.store(call, payload, {})
        return payload is not None

    # -- a stream ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def stream(self, call: StreamCall) -> AsyncGenerator[StreamOutcome]:
        """Give the chunks of `call` while they come in, from the nearest place that has them.

        Entering waits for the first chunk (or, for a prompt call, until the work is entered), so that an error before
        it is raised there. Leaving early ends the work when nobody else reads it; only whole streams are stored.

        Raises:
            CacheError: the mode is "only" and nothing is stored.
            Exception: what the work raised, when entering or while reading.
        """
        start = self._clock.monotonic()
        self._begin(call)
        state: CacheState = "miss" if self._caches(call) else "bypass"
        tier = None
        try:
            stored = await self._records.find(call, bytes) if self._reads(call) else None
            if stored is not None:
                state, tier = stored.cache, stored.tier
                if stored.stale:
                    self._renew(call)
                yield stored
            elif self._shares(call) or self._caches(call):
                place, tape, joined = self._board(call)
                try:
                    state = "joined" if joined else state
                    opened = await tape.started()
                    if (found := tape.stored) is not None:
                        state, tier = "joined", found.tier
                        yield replace(found, chunks=once(found.payload or b""), cache=state)
                    else:
                        yield StreamOutcome(tape.read(), state, meta=opened.meta, head=opened.head)
                finally:
                    await self._leave(place, tape)
            else:
                async with AsyncExitStack() as stack:
                    opened = await self.attempt(call, lambda: stack.enter_async_context(self._live(call)))
                    yield StreamOutcome(opened.chunks, state, meta=opened.meta, head=opened.head)
        except BaseException as error:
            self._end(call, start, state, tier, error)
            raise
        self._end(call, start, state, tier)

    def peek(self, call: StreamCall) -> StreamOutcome | None:
        """Return the stored stream of `call` where it is in this process's memory already, without waiting."""
        start = self._clock.monotonic()
        found = self._records.peek(call)
        if found is not None:
            self._begin(call)
            self._end(call, start, found.cache, found.tier)
        return found

    def free(self, call: Call[Any] | StreamCall) -> bool:
        """Whether `call` has no tier to be in, nobody to share with and nobody who hears of it.

        The caller may then do the work itself, within `attempt` and a `passage`.
        """
        return call.key is None and call.policy.mode != "only" and self.observer is None

    def lead(self, call: StreamCall, loop: asyncio.AbstractEventLoop) -> Lead | None:
        """Let the calling thread do the work of `call`, within `attempt` and a `passage`; others join it in `loop`.

        None where that cannot be, because somebody is at it already, a tier has to be waited for, or it takes long.
        """
        waits = call.lasting or not self._records.prompt or self._leases is not None or self.observer is not None
        if waits or call.policy.mode != "use" or not self._shares(call):
            return None
        place = place_of(loop, call, self._tapes, call.share)
        state: CacheState = "miss" if self._caches(call) else "bypass"
        return self._tapes.lead(Lead(self._tapes, place, Tape(call), state, self._record), self._records.look)

    def passage(self, call: StreamCall) -> Passage:
        """Return what an attempt at `call` enters before it starts, and leaves when it has ended."""
        return self._gate.passage(call.demand)

    async def attempt(
        self,
        call: Call[Any] | StreamCall,
        work: Callable[[], Awaitable[T]],
        *,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> T:
        """Return what `work` gives, on the first attempt that succeeds; `sleep` waits between them."""
        return await self._attempts.first(call, work, sleep)

    @asynccontextmanager
    async def _live(self, call: StreamCall) -> AsyncGenerator[Opened]:
        """One attempt; entered when the caller may have the stream."""
        async with self._gate.passage(call.demand), call.open() as opened:
            if call.prompt:
                yield opened
                return
            first = await anext(opened.chunks, None)
            yield opened._replace(chunks=chain(first, opened.chunks))

    def _board(self, call: StreamCall) -> tuple[Place | None, Tape, bool]:
        """Find the tape of `call`, or start one; say where it is, and whether it was there."""
        loop = running_loop()
        place = place_of(loop, call, self._tapes, call.share) if self._shares(call) else None
        tape, joined = self._tapes.board(place, call)
        if not joined:
            tape.task = loop.create_task(self._record(call, place, tape))
        elif self._caches(call) and not self._caches(tape.call):
            tape.call = call  # joined a call that stores nothing
        return place, tape, joined

    async def _leave(self, place: Place | None, tape: Tape) -> None:
        if self._tapes.leave(place, tape):  # whoever asks from now on starts anew
            if not tape.ended:
                await abandon(tape.task)
                await self._keep(tape)  # readers that know the end mark go before the end
            elif not tape.task.done():
                await asyncio.wait([tape.task])  # its record is being written

    async def _record(self, call: StreamCall, place: Place | None, tape: Tape) -> None:
        """Write the stream of `call` on `tape`: from the work, or from the record that another process has made."""
        try:
            if self._leases is None or call.key is None or not self._reads(call):
                await self._write(call, tape)
                return
            async with self._leases.turn(call.key) as turn:
                found = await self._records.find(call, bytes) if turn.stored else None
                if found is None:
                    turn.recorded = await self._write(call, tape)
                else:
                    tape.replay(found)
        finally:
            self._tapes.lift(place, tape)

    async def _write(self, call: StreamCall, tape: Tape) -> bool:
        """Write the work of `call` on `tape`, and into the tiers when it ended whole; say whether it is there."""

        async def attempt() -> None:
            async with self._gate.passage(call.demand), call.open() as opened:
                if not call.prompt and (first := await anext(opened.chunks, None)) is not None:
                    tape.append(first)
                tape.begin(opened)
                try:
                    if opened.lazy:
                        await tape.wanted()
                    async for chunk in opened.chunks:
                        tape.append(chunk)
                        if opened.lazy or tape.too_long:
                            await tape.wanted()
                except Exception as error:  # noqa: BLE001 - the readers raise it
                    tape.end(error)  # what was given cannot be taken back: no other attempt

        try:
            await self.attempt(call, attempt)
        except BaseException as error:
            if not tape.ended:
                tape.end(error)
            if not isinstance(error, Exception):
                raise
            return False
        if tape.ended:
            return False
        if not tape.brief:  # else its readers wait for all of it, and need not wait again
            tape.end()
        kept = await self._keep(tape)
        tape.end()
        return kept

    async def _keep(self, tape: Tape) -> bool:
        call, opened = tape.call, tape.opened
        if opened is None or tape.too_long:
            return False
        payload = b"".join(tape.chunks)
        complete = self._complete(call, payload, opened.meta)
        if complete:
            await self._records.store(call, payload, opened.meta)
        return complete

    def keep(self, call: StreamCall, payload: bytes, meta: Mapping[str, str]) -> None:
        """Store what came of a call that was led, where it is a whole answer that may be stored."""
        if len(payload) <= LONGEST and self._complete(call, payload, meta):
            self._records.keep(call, payload, meta)

    def _complete(self, call: StreamCall, payload: bytes, meta: Mapping[str, str]) -> bool:
        try:
            return self._caches(call) and call.complete(payload, meta)
        except Exception as error:  # noqa: BLE001 - whatever a codec may raise
            self._forgiven("a stream could not be stored", error)
            return False

    # -- stale records -------------------------------------------------------------------------------------------

    def _renew(self, call: Call[Any] | StreamCall) -> None:
        """Make the record of `call` anew behind the caller's back, once at a time."""
        place = (loop := asyncio.get_running_loop(), call.key)
        if place not in self._renewals:
            forget_closed(self._renewals)
            task = self._renewals[place] = loop.create_task(self.renew(call))
            task.add_done_callback(lambda _: self._renewals.pop(place, None))

    async def renew(self, call: Call[Any] | StreamCall) -> None:
        """Make the record of `call` anew, or share the work of whoever does; one that fails leaves the old record."""
        policy = replace(call.policy, mode="refresh")
        try:
            if isinstance(call, StreamCall):
                async with self.stream(replace(call, policy=policy)) as outcome:
                    async for _ in outcome.chunks:
                        pass
            else:
                await self.run(replace(call, policy=policy))
        except Exception as error:  # noqa: BLE001 - nobody waits for it
            _log.info("a stale answer could not be renewed: %s", brief(error))

    # -- tiers and events ----------------------------------------------------------------------------------------

    def _shares(self, call: StreamCall) -> bool:
        return call.key is not None and call.policy.join and self._single_flight

    def _tell(self, event: Event) -> None:
        if self.observer is not None:
            try:
                self.observer(event)
            except Exception as error:  # noqa: BLE001 - whatever an observer may raise
                self._forgiven("an observer failed", error)

    def _begin(self, call: Call[Any] | StreamCall) -> None:
        if self.observer is not None:
            self._tell(CallStarted(call.kind, call.name, call.id))

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
            said = None if error is None else brief(error)
            self._tell(CallFinished(call.kind, call.name, cache, seconds, tier, said, call.id))
