"""Cache tiers: what they hold, and where."""

from __future__ import annotations

from .base import Cache, Hit, Record, TierStats
from .memory import MemoryCache
from .opening import open_cache
from .sqlite import SqliteCache
from .tiered import TieredCache

__all__ = [
    "Cache",
    "Hit",
    "MemoryCache",
    "Record",
    "SqliteCache",
    "TierStats",
    "TieredCache",
    "open_cache",
]
