"""What the path reads from the tiers and writes into them. A tier never fails a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..cache.base import Cache, Hit, Nearest, Record
from ..cache.memory import MemoryCache
from ..errors import CacheError
from .call import Clock, Outcome, StreamCall, StreamOutcome
from .chunks import once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .call import Call
    from .forgiven import Forgiven

__all__ = ["Records"]

T = TypeVar("T")

_FAILED = "a cache tier failed, which counts as a miss"
_FRESH_UNTIL = "fresh-until"  # in a record's meta: when it turns stale, in seconds since the epoch


class Records:
    """The records of calls.

    Args:
        cache: the tiers; None for none.
        clock: time.
        forgiven: hears of tiers that raise.
    """

    def __init__(self, cache: Cache | None, clock: Clock, forgiven: Forgiven) -> None:
        self.cache = cache
        self._nearest = cache if isinstance(cache, Nearest) else None
        self._prompt = cache if type(cache) is MemoryCache else None  # a class above it may wait, and do anything
        self.prompt = cache is None or self._prompt is not None  # whether nothing here has to be waited for
        self._clock = clock
        self._forgiven = forgiven

    def caches(self, call: Call[Any] | StreamCall) -> bool:
        """Whether `call` may be stored."""
        return self.cache is not None and call.key is not None and call.policy.cache and call.policy.mode != "bypass"

    def reads(self, call: Call[Any] | StreamCall) -> bool:
        """Whether `call` may be served from a tier."""
        return call.policy.mode == "only" or (call.policy.mode == "use" and self.caches(call))

    def peek(self, call: StreamCall) -> StreamOutcome | None:
        """Return the stored stream of `call` where it is in this process's memory already, without waiting."""
        return None if self._nearest is None else self._here(call, self._nearest.peek)

    def look(self, call: StreamCall) -> StreamOutcome | None:
        """Do what `find` does for a stream, where nothing has to be waited for."""
        return None if self._prompt is None else self._here(call, self._prompt.look)

    def _here(self, call: StreamCall, look: Callable[[bytes], Hit | None]) -> StreamOutcome | None:
        if call.key is None or not (self.reads(call) and self.caches(call)):
            return None
        try:
            hit = look(call.key)
            return None if hit is None else self._found(call, hit, bytes)
        except Exception as error:  # noqa: BLE001 - whatever a tier of a user's own may raise
            self._forgiven(_FAILED, error)
            return None

    async def find(self, call: Call[Any] | StreamCall, decode: Callable[[bytes], T]) -> Any:
        """Return the stored outcome of `call`, or None.

        Raises:
            CacheError: the mode is "only" and nothing is stored.
        """
        if self.cache is not None and call.key is not None and self.caches(call):
            try:
                hit = await self.cache.get(call.key)
                found = None if hit is None else self._found(call, hit, decode)
                if found is not None:
                    return found
            except Exception as error:  # noqa: BLE001 - as above
                self._forgiven(_FAILED, error)
        if call.policy.mode == "only":
            raise CacheError(f'{call.kind} call of {call.name}: the mode is "only" and nothing is stored for it')
        return None

    def _found(self, call: Call[Any] | StreamCall, hit: Hit, decode: Callable[[bytes], T]) -> Any:
        """Return the outcome that a record stands for, or None where it cannot serve this call."""
        meta, now = hit.record.meta, self._clock.epoch()
        over = now - float(meta[_FRESH_UNTIL]) if _FRESH_UNTIL in meta else 0.0
        if over > (call.policy.stale or 0.0):
            return None
        age, stale = max(0.0, now - hit.record.created), over > 0
        if isinstance(call, StreamCall):
            if call.fits is not None and not call.fits(meta):
                return None
            payload = hit.record.payload
            return StreamOutcome(once(payload), "hit", hit.tier, age, stale, meta, payload=payload)
        try:
            return Outcome(decode(hit.record.payload), "hit", hit.tier, age, stale)
        except ValueError:  # damaged: the work is done again, and its record replaces this one
            return None

    async def store(self, call: Call[Any] | StreamCall, payload: bytes, meta: Mapping[str, str]) -> None:
        """Store the outcome of `call`."""
        if self.cache is None or call.key is None:
            return
        try:
            await self.cache.put(call.key, *self._record(call, payload, meta))
        except Exception as error:  # noqa: BLE001 - as above
            self._forgiven(_FAILED, error)

    def keep(self, call: StreamCall, payload: bytes, meta: Mapping[str, str]) -> None:
        """Do what `store` does, where nothing has to be waited for."""
        if self._prompt is None or call.key is None:
            return
        try:
            self._prompt.keep(call.key, *self._record(call, payload, meta))
        except Exception as error:  # noqa: BLE001 - as above
            self._forgiven(_FAILED, error)

    def _record(
        self, call: Call[Any] | StreamCall, payload: bytes, meta: Mapping[str, str]
    ) -> tuple[Record, float | None]:
        """Return the record of an outcome, and how long it is kept."""
        now, ttl = self._clock.epoch(), call.policy.ttl
        if ttl is not None and call.policy.stale:
            meta = {**meta, _FRESH_UNTIL: repr(now + ttl)}
            ttl += call.policy.stale
        return Record(payload, now, namespace=call.policy.namespace, meta=meta), ttl
