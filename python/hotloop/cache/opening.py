"""Which tiers a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory import MemoryCache
from .redis import RedisCache
from .sqlite import SqliteCache
from .tiered import TieredCache

if TYPE_CHECKING:
    from ..config import Config
    from .base import Cache

__all__ = ["open_cache"]


def open_cache(config: Config) -> Cache | None:
    """Return the tiers that `config.response_cache` asks for, or None when it is turned off.

    Raises:
        CacheError: the disk tier's file cannot be used, or the Redis URL cannot be read.
        MissingExtraError: a Redis URL is set, and the extra ``redis`` is not installed.
    """
    settings = config.response_cache
    if not settings.enabled:
        return None
    memory = MemoryCache(settings.memory_entries, max_bytes=settings.memory_bytes, ttl=settings.ttl)
    tiers: list[Cache] = [memory]
    if settings.redis_url is not None:
        tiers.append(RedisCache(settings.redis_url, ttl=settings.ttl))
    if settings.disk:
        disk = SqliteCache(settings.location(), ttl=settings.ttl, max_bytes=settings.disk_bytes)
        tiers.insert(1, disk)
    return tiers[0] if len(tiers) == 1 else TieredCache(tiers)
