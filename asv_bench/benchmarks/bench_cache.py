"""The hot cache: hits, misses, evictions, and what an entry weighs."""

from __future__ import annotations

import time

import hotloop

from .workload import digests, fresh, resident

BATCH = 10_000
VALUE = b"a record" * 16


class Cache:
    """Batches of 10,000 operations on a full cache, with digest keys and a TTL."""

    timer = time.process_time
    number = 1  # so that each batch has new key objects
    params = (10_000, 1_000_000)
    param_names = ("entries",)

    def setup(self, entries: int) -> None:
        self.cache = hotloop.HotCache(entries, ttl=3600.0)
        keys = digests(entries)
        for key in keys:
            self.cache.put(key, VALUE)
        self.known = fresh(keys[:: max(1, entries // BATCH)][:BATCH])
        self.unknown = digests(BATCH, first=entries)

    def time_get_hit(self, _entries: int) -> None:
        get = self.cache.get
        for key in self.known:
            get(key)

    def time_get_miss(self, _entries: int) -> None:
        get = self.cache.get
        for key in self.unknown:
            get(key)

    def time_put_and_evict(self, _entries: int) -> None:
        put = self.cache.put
        for key in self.unknown:
            put(key, VALUE)


def track_bytes_an_entry() -> float:
    """Growth of the process by each of a million entries, key included."""
    count = 1_000_000
    cache = hotloop.HotCache(count)
    before = resident()
    for n in range(count):
        cache.put(n.to_bytes(32, "little"), VALUE)
    return (resident() - before) / count


track_bytes_an_entry.unit = "bytes"  # type: ignore[attr-defined]
