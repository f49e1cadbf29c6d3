"""The memory tier, tiers behind one face, and which tiers a configuration asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop.cache import Cache, MemoryCache, Record, SqliteCache, TieredCache, open_cache
from hotloop.config import Config


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Epoch:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_memory_keeps_and_forgets():
    cache = MemoryCache(10)
    record = Record(b"payload", 1.0, namespace="n", meta={"a": "b"})
    await cache.put(key(1), record)
    assert (await cache.get(key(1))).record == record
    assert await cache.get(key(2)) is None
    await cache.delete(key(1))
    assert await cache.get(key(1)) is None
    (stats,) = cache.stats()
    assert (stats.tier, stats.hits, stats.misses, stats.writes, stats.errors) == ("memory", 1, 2, 1, 0)


async def test_memory_holds_no_more_than_its_capacity():
    cache = MemoryCache(5)
    for number in range(50):
        await cache.put(key(number), Record(b"x", 0.0))
    assert cache.stats()[0].entries == 5


async def test_a_record_in_memory_dies_with_its_time_to_live():
    epoch = Epoch()
    cache = MemoryCache(10, ttl=60, epoch=epoch)
    await cache.put(key(1), Record(b"x", 0.0))
    await cache.put(key(2), Record(b"x", 0.0), ttl=10)
    epoch.now += 10
    assert await cache.get(key(2)) is None
    assert await cache.get(key(1)) is not None
    epoch.now += 50
    assert await cache.get(key(1)) is None


@given(st.lists(st.tuples(st.sampled_from("pgc"), st.integers(0, 5), st.sampled_from(["a", "b"]))))
async def test_clearing_a_namespace_forgets_just_its_records(steps):
    cache, model = MemoryCache(100), {}
    for what, number, namespace in steps:
        if what == "p":
            await cache.put(key(number), Record(b"x", 0.0, namespace=namespace))
            model[number] = namespace
        elif what == "c":
            await cache.clear(namespace)
            model = {n: space for n, space in model.items() if space != namespace}
        else:
            assert (await cache.get(key(number)) is not None) == (number in model)


async def test_a_hit_below_fills_the_tiers_above_with_the_time_it_has_left(tmp_path):
    epoch = Epoch()
    memory, disk = MemoryCache(10, epoch=epoch), SqliteCache(tmp_path / "c.db", epoch=epoch)
    tiers = TieredCache([memory, disk], epoch=epoch)
    await disk.put(key(1), Record(b"x", 0.0), ttl=60)
    epoch.now += 20
    assert (await tiers.get(key(1))).tier == "sqlite"
    assert (await tiers.get(key(1))).tier == "memory"
    epoch.now += 40
    assert await tiers.get(key(1)) is None
    await tiers.aclose()


async def test_tiers_are_written_cleared_and_deleted_together(tmp_path):
    tiers = TieredCache([MemoryCache(10), SqliteCache(tmp_path / "c.db")])
    for number in (1, 2, 3):
        await tiers.put(key(number), Record(b"x", 0.0, namespace=str(number)))
    await tiers.delete(key(1))
    await tiers.clear("2")
    assert [await tiers.get(key(n)) is not None for n in (1, 2, 3)] == [False, False, True]
    await tiers.clear()
    assert [row.entries for row in tiers.stats()] == [0, 0]
    await tiers.aclose()


def test_a_tiered_cache_needs_a_tier():
    with pytest.raises(ValueError, match="at least one"):
        TieredCache([])


async def test_the_configuration_chooses_the_tiers(tmp_path):
    config = Config().replace(response_cache={"path": str(tmp_path / "deep" / "c.db"), "disk": True})
    cache = open_cache(config)
    assert [row.tier for row in cache.stats()] == ["memory", "sqlite"]
    assert isinstance(cache, Cache)
    await cache.aclose()
    assert [row.tier for row in open_cache(config.replace(response_cache={"disk": False})).stats()] == ["memory"]
    assert open_cache(config.replace(response_cache={"enabled": False})) is None
