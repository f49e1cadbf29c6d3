"""Which tiers a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory import MemoryCache
from .sqlite import SqliteCache
from .tiered import TieredCache

if TYPE_CHECKING:
    from ..config import Config
    from .base import Cache

__all__ = ["open_cache"]


def open_cache(config: Config) -> Cache | None:
    """Return the tiers that `config.response_cache` asks for, or None when it is turned off.

    Raises:
        CacheError: the disk tier's file cannot be used.
    """
    settings = config.response_cache
    if not settings.enabled:
        return None
    memory = MemoryCache(settings.memory_entries, max_bytes=settings.memory_bytes, ttl=settings.ttl)
    if not settings.disk:
        return memory
    disk = SqliteCache(settings.location(), ttl=settings.ttl, max_bytes=settings.disk_bytes)
    return TieredCache([memory, disk])
