"""Cache tiers: what they hold, and where."""

from __future__ import annotations

from .base import Cache, Hit, Lease, Leasing, Record, TierStats
from .memory import MemoryCache
from .opening import open_cache
from .redis import RedisCache
from .sqlite import SqliteCache
from .tiered import TieredCache

__all__ = [
    "Cache",
    "Hit",
    "Lease",
    "Leasing",
    "MemoryCache",
    "Record",
    "RedisCache",
    "SqliteCache",
    "TierStats",
    "TieredCache",
    "open_cache",
]
