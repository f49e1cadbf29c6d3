"""Which tiers a configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from .base import Cache
from .memory import MemoryCache
from .sqlite import SqliteCache
from .tiered import TieredCache

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["default_path", "open_cache"]


def default_path() -> Path:
    """Return where the disk tier lives when nobody says: in the user's cache folder."""
    return user_cache_path("hotloop") / "responses.db"


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
    path = Path(settings.path).expanduser() if settings.path else default_path()
    return TieredCache([memory, SqliteCache(path, ttl=settings.ttl, max_bytes=settings.disk_bytes)])
