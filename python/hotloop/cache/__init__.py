"""Cache tiers: what they hold, and where."""

from __future__ import annotations

from .base import Cache, Hit, Record, TierStats
from .memory import MemoryCache
from .opening import default_path, open_cache
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
    "default_path",
    "open_cache",
]
