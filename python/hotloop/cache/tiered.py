"""Several tiers behind one face: the nearest that has a record answers, and those above it are filled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import CacheError
from .base import Leasing, Nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .base import Cache, Hit, Record, TierStats

__all__ = ["TieredCache", "leasing_of"]


class TieredCache:
    """Tiers from the nearest to the farthest.

    Args:
        tiers: the tiers, nearest first; at least one.
        epoch: gives the time in seconds since the epoch; replaced in tests.

    Raises:
        ValueError: there is no tier.
    """

    def __init__(self, tiers: Sequence[Cache], *, epoch: Callable[[], float] = time.time) -> None:
        if not tiers:
            raise ValueError("a tiered cache needs at least one tier")
        self.tiers = tuple(tiers)
        self._epoch = epoch

    async def get(self, key: bytes) -> Hit | None:
        """Return the nearest live record under `key`, or None; the tiers above the one that had it get it too."""
        for depth, tier in enumerate(self.tiers):
            hit = await tier.get(key)
            if hit is None:
                continue
            if depth:
                expires = hit.record.expires
                left = None if expires is None else expires - self._epoch()
                if left is None or left > 0:
                    for above in self.tiers[:depth]:
                        await above.put(key, hit.record, left)
            return hit
        return None

    def peek(self, key: bytes) -> Hit | None:
        """Return the live record under `key` where the nearest tier has it at hand."""
        return self.tiers[0].peek(key) if isinstance(self.tiers[0], Nearest) else None

    async def put(self, key: bytes, record: Record, ttl: float | None = None) -> None:
        """Store `record` in every tier."""
        for tier in self.tiers:
            await tier.put(key, record, ttl)

    async def delete(self, key: bytes) -> None:
        """Forget `key` in every tier, the farthest first, so that no tier is filled again from one below."""
        for tier in reversed(self.tiers):
            await tier.delete(key)

    async def clear(self, namespace: str | None = None) -> None:
        """Forget one namespace, or all, in every tier, the farthest first.

        Raises:
            CacheError: a tier could not be cleared; the others were.
        """
        failed = None
        for tier in reversed(self.tiers):
            try:
                await tier.clear(namespace)
            except CacheError as error:
                failed = error
        if failed is not None:
            raise failed

    def stats(self) -> tuple[TierStats, ...]:
        """Return the counters of every tier, the nearest first."""
        return tuple(row for tier in self.tiers for row in tier.stats())

    async def aclose(self) -> None:
        """Close every tier."""
        for tier in self.tiers:
            await tier.aclose()


def leasing_of(cache: Cache | None) -> Leasing | None:
    """Return the tier of `cache` that other processes share and that gives leases, or None where there is none."""
    tiers: tuple[object, ...] = cache.tiers if isinstance(cache, TieredCache) else (cache,)
    return next((tier for tier in tiers if isinstance(tier, Leasing)), None)
