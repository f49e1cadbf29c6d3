"""The nearest tier: the native hot cache."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .._core import HotCache
from .base import Hit, Record, TierStats

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryCache"]

_OVERHEAD = 300  # bytes of the objects around a payload, roughly


class _Namespace:
    """Marks the records of one namespace; clearing it kills them all at once, wherever they stand."""

    __slots__ = ("live",)

    def __init__(self) -> None:
        self.live = True


class MemoryCache:
    """Records in this process, in the native hot cache.

    Args:
        capacity: records at most.
        max_bytes: bytes of records at most; None for no limit.
        ttl: seconds a record lives when its call does not say; None for ever.
        epoch: gives the time in seconds since the epoch; replaced in tests.
    """

    def __init__(
        self,
        capacity: int = 10_000,
        *,
        max_bytes: int | None = 64 << 20,
        ttl: float | None = None,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.ttl = ttl
        self._epoch = epoch
        self._hot = HotCache(capacity, max_bytes=max_bytes)
        self._namespaces: dict[str, _Namespace] = {}
        self._writes = 0
        self._dead = 0

    async def get(self, key: bytes) -> Hit | None:
        """Return the live record under `key`, or None."""
        return self.look(key)

    def peek(self, key: bytes) -> Hit | None:
        """Return the live record under `key`, or None, which counts as no miss."""
        return self.look(key) if key in self._hot else None

    def look(self, key: bytes) -> Hit | None:
        """Return the live record under `key`, or None, as `get` does."""
        entry: tuple[Hit, _Namespace] | None = self._hot.get(key)
        if entry is None:
            return None
        hit, namespace = entry
        expires = hit.record.expires
        if not namespace.live or (expires is not None and expires <= self._epoch()):
            self._hot.pop(key)
            self._dead += 1
            return None
        return hit

    async def put(self, key: bytes, record: Record, ttl: float | None = None) -> None:
        """Store `record` under `key` for `ttl` seconds, or for the tier's time to live when None."""
        self.keep(key, record, ttl)

    def keep(self, key: bytes, record: Record, ttl: float | None = None) -> None:
        """Store `record` as `put` does."""
        ttl = self.ttl if ttl is None else ttl
        if ttl is not None:
            record = replace(record, expires=self._epoch() + ttl)
        namespace = self._namespaces.get(record.namespace)
        if namespace is None:
            namespace = self._namespaces[record.namespace] = _Namespace()
        self._hot.put(key, (Hit(record, "memory"), namespace), ttl=ttl, size=len(record.payload) + _OVERHEAD)
        self._writes += 1

    async def delete(self, key: bytes) -> None:
        """Forget `key`."""
        self._hot.pop(key)

    async def clear(self, namespace: str | None = None) -> None:
        """Forget the records of one namespace, or all when None.

        A namespace is forgotten at once; the memory of its records comes back as they are asked for or pushed out.
        """
        if namespace is None:
            self._namespaces.clear()
            self._hot.clear()
        elif (marked := self._namespaces.pop(namespace, None)) is not None:
            marked.live = False

    def stats(self) -> tuple[TierStats, ...]:
        """Return the counters of this tier."""
        hot = self._hot.stats()
        hits, misses = hot.hits - self._dead, hot.misses + self._dead
        return (TierStats("memory", hits, misses, self._writes, 0, hot.size, hot.bytes),)

    async def aclose(self) -> None:
        """Forget all."""
        await self.clear()
