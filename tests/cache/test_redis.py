"""The shared tier: a real server that may be slow, gone, or full of other people's keys."""

import asyncio
import logging
import subprocess
import sys
import threading

import pytest
import redis

from hotloop.cache import Lease, MemoryCache, Record, RedisCache, TieredCache, open_cache
from hotloop.cache.tiered import leasing_of
from hotloop.config import Config
from hotloop.errors import CacheError, ConfigError

OWNER, OTHER = b"o" * 16, b"p" * 16


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
async def cache(redis_server):
    made = RedisCache(redis_server.url)
    yield made
    await made.aclose()
    await made.aclose()


async def test_a_record_comes_back_as_it_was(cache, redis_server):
    record = Record(b"\x00payload\xff", 12.5, namespace="nämespace", meta={"status": "200"})
    await cache.put(key(1), record)
    hit = await cache.get(key(1))
    assert hit is not None
    assert hit.tier == "redis"
    assert (hit.record.payload, hit.record.created, hit.record.namespace, hit.record.meta) == (
        record.payload,
        12.5,
        "nämespace",
        {"status": "200"},
    )
    assert await cache.get(key(2)) is None
    assert cache.stats()[0][:5] == ("redis", 1, 1, 1, 0)
    stored = redis_server.client.get(b"hotloop:r:" + key(1))
    assert len(stored) == 31 + len("nämespace".encode()) + len(b'{"status":"200"}') + len(record.payload)


async def test_every_record_has_an_end(redis_server):
    cache = RedisCache(redis_server.url, max_ttl=100, epoch=lambda: 1000.0)
    for number, ttl in enumerate([None, 10.0, 1e9]):
        await cache.put(key(number), Record(b"x", 0.0), ttl)
    left = [redis_server.client.pttl(b"hotloop:r:" + key(n)) / 1000 for n in range(3)]
    assert [round(seconds, -1) for seconds in left] == [100, 10, 100]
    assert 1000.0 < (await cache.get(key(1))).record.expires <= 1010.0
    await cache.put(key(4), Record(b"x", 0.0), 0.0)
    assert await cache.get(key(4)) is None
    assert all(redis_server.client.pttl(name) > 0 for name in redis_server.client.scan_iter())
    await cache.aclose()


async def test_clear_forgets_one_namespace_or_all_and_nothing_else_on_the_server(cache, redis_server):
    redis_server.client.set("somebody", "else")
    for number, namespace in enumerate(["a", "a", "b", ""]):
        await cache.put(key(number), Record(b"x", 0.0, namespace=namespace))

    async def live() -> list[int]:
        return [n for n in range(4) if await cache.get(key(n)) is not None]

    await cache.clear("a")
    assert await live() == [2, 3]
    await cache.put(key(0), Record(b"anew", 0.0, namespace="a"))
    assert await live() == [0, 2, 3]
    await cache.clear("")
    assert await live() == [0, 2]
    await cache.clear()
    assert await live() == []
    assert redis_server.client.get("somebody") == b"else"


async def test_marks_that_the_server_lost_bring_no_record_back(cache, redis_server):
    await cache.put(key(1), Record(b"old", 0.0))
    await cache.clear()
    await cache.put(key(2), Record(b"new", 0.0))
    redis_server.client.delete(*redis_server.client.keys("hotloop:m:*"))
    assert [await cache.get(key(1)), await cache.get(key(2))] == [None, None]


async def test_clear_does_not_depend_on_how_much_the_server_holds(cache, redis_server):
    await cache.put(key(1), Record(b"x", 0.0))
    redis_server.client.config_resetstat()
    await cache.clear()
    calls = redis_server.client.info("commandstats")
    assert {name for name in calls if "config" not in name and "info" not in name} == {"cmdstat_del"}


async def test_deleted_replaced_and_too_large(redis_server):
    cache = RedisCache(redis_server.url, max_record=1000)
    await cache.put(key(1), Record(b"one", 0.0))
    await cache.put(key(1), Record(b"two", 0.0))
    assert (await cache.get(key(1))).record.payload == b"two"
    await cache.delete(key(1))
    await cache.delete(key(1))
    await cache.put(key(2), Record(bytes(1000), 0.0))
    await cache.put(key(3), Record(b"x", 0.0, namespace="n" * 70_000))
    assert [await cache.get(key(n)) for n in (1, 2, 3)] == [None] * 3
    assert cache.stats()[0].errors == 0
    await cache.aclose()


@pytest.mark.parametrize("value", [b"", b"short", bytes(16) + b"\x63" + bytes(40), b"x" * 500])
async def test_a_value_that_is_not_ours_is_a_miss(cache, redis_server, value):
    redis_server.client.set(b"hotloop:r:" + key(1), value)
    assert await cache.get(key(1)) is None
    await cache.put(key(1), Record(b"good", 0.0))
    assert await cache.get(key(1)) is not None


async def test_a_value_of_a_later_version_is_a_miss_and_an_error(cache, redis_server):
    await cache.put(key(1), Record(b"x", 0.0))
    name = b"hotloop:r:" + key(1)
    value = redis_server.client.get(name)
    redis_server.client.set(name, value[:16] + b"\x02" + value[17:], ex=10)
    assert await cache.get(key(1)) is None
    assert cache.stats()[0].errors == 1


def test_several_event_loops_and_threads_use_one_cache(redis_server):
    cache = RedisCache(redis_server.url)
    found = []

    def use(number: int) -> None:
        async def work() -> None:
            await asyncio.gather(*(cache.put(key(number * 10 + n), Record(b"x", 0.0)) for n in range(10)))
            found.extend([await cache.get(key(number * 10 + n)) for n in range(10)])

        asyncio.run(work())

    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    use(5)
    assert len([hit for hit in found if hit is not None]) == 50
    asyncio.run(cache.aclose())


# -- a server that fails


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_server_that_stands_still_costs_one_timeout_and_is_a_miss(own_redis):
    cache = RedisCache(own_redis.url, timeout=0.05, pause=60.0)
    ticks = cache._link._monotonic = Ticks()
    await cache.put(key(1), Record(b"x", 0.0))
    asked = []
    submit = cache._link._pool.submit
    cache._link._pool.submit = lambda *work: asked.append(submit(*work)) or asked[-1]
    own_redis.pause()
    assert await cache.get(key(1)) is None
    assert len(asked) == 1
    for _ in range(50):  # left alone: nothing is sent, nothing is waited for
        assert await cache.get(key(1)) is None
        await cache.put(key(2), Record(b"x", 0.0))
    assert (len(asked), cache.stats()[0].errors) == (1, 101)
    ticks.now = 61.0  # of those who come now, one tries
    assert await asyncio.gather(*(cache.get(key(1)) for _ in range(20))) == [None] * 20
    assert len(asked) == 2
    await asyncio.gather(
        *map(asyncio.wrap_future, asked), return_exceptions=True
    )  # or the last one's thread might yet hear an answer
    own_redis.resume()
    assert await cache.get(key(1)) is None
    ticks.now = 200.0
    assert (await cache.get(key(1))).record.payload == b"x"
    assert (await cache.get(key(1))).record.payload == b"x"
    await cache.aclose()


async def test_a_crowd_waits_for_a_server_that_stands_still_no_longer_than_one(own_redis):
    cache = RedisCache(own_redis.url, timeout=0.1, pause=60.0)
    own_redis.pause()
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await asyncio.gather(*(cache.get(key(n)) for n in range(200))) == [None] * 200
    # Two timeouts are allowed for, not 200 / 4 threads * 0.1 s = 5 s: a bound and no measurement.
    assert loop.time() - start < 2.0
    await cache.aclose()


async def test_a_killed_server_is_a_miss_and_comes_back_empty(own_redis):
    cache = RedisCache(own_redis.url, pause=0.0)
    await cache.put(key(1), Record(b"x", 0.0))
    own_redis.kill()
    assert await cache.get(key(1)) is None
    await cache.put(key(1), Record(b"x", 0.0))
    with pytest.raises(CacheError, match="not cleared"):
        await cache.clear()
    own_redis.start()
    assert await cache.get(key(1)) is None
    await cache.put(key(1), Record(b"y", 0.0))
    assert (await cache.get(key(1))).record.payload == b"y"
    await cache.aclose()


async def test_a_full_server_refuses_the_record_and_goes_on_serving(own_redis):
    cache = RedisCache(own_redis.url, pause=60.0)
    await cache.put(key(1), Record(b"x", 0.0))
    own_redis.client.config_set("maxmemory", "1")
    await cache.put(key(2), Record(b"y", 0.0))
    assert cache.stats()[0].errors == 1
    own_redis.client.config_set("maxmemory", "0")
    assert await cache.get(key(1)) is not None
    await cache.aclose()


async def test_the_password_is_shown_nowhere(own_redis, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = own_redis.url.replace("hunter2", "wrong-hunter2")
    told = []
    for url in (own_redis.url, wrong, "redis://user:hunter2-secret@localhost:1/0"):
        cache = RedisCache(url, pause=0.0)
        told += [repr(cache), str(cache), repr(cache._link), str(cache.stats())]
        if url != own_redis.url:
            with pytest.raises(CacheError) as raised:
                await cache.clear()
            told += [str(raised.value), repr(raised.value.__cause__), repr(raised.value.__context__)]
        await cache.aclose()
    for url in (
        "http://:hunter2-secret@host",
        "redis://:hunter2-secret@host:port",
        "redis://:hunter2-secret@h?nonsense=1",
    ):
        with pytest.raises(CacheError, match="cannot be read") as raised:
            RedisCache(url)
        told += [str(raised.value), repr(raised.value.__cause__)]
    config = Config().replace(response_cache={"redis_url": own_redis.url})
    told += [repr(config), str(config.response_cache)]
    with pytest.raises(ConfigError) as refused:
        Config().replace(response_cache={"redis_url": "hunter2-secret\0"})
    told += [str(refused.value)]
    assert "hunter2" not in "\n".join(told) + caplog.text
    assert "redis.sock" in told[0]


async def test_options_in_the_url_do_not_change_the_bytes_or_the_bounds(redis_server):
    cache = RedisCache(f"{redis_server.url}?decode_responses=true&socket_timeout=100&db=0", timeout=0.5)
    await cache.put(key(1), Record(b"\xff", 0.0))
    assert (await cache.get(key(1))).record.payload == b"\xff"
    options = cache._link._client.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.5, 0.5)
    await cache.aclose()


# -- tiers and configuration


async def test_a_hit_below_fills_the_tiers_above_with_the_life_it_has_left(redis_server):
    near, far = MemoryCache(10), RedisCache(redis_server.url)
    tiers = TieredCache([near, far])
    await far.put(key(1), Record(b"x", 0.0), ttl=50.0)
    assert (await tiers.get(key(1))).tier == "redis"
    hit = await tiers.get(key(1))
    assert hit.tier == "memory"
    assert hit.record.expires is not None
    assert leasing_of(tiers) is far
    assert leasing_of(near) is None
    assert leasing_of(None) is None
    await tiers.aclose()


async def test_the_configuration_opens_it_behind_memory_and_disk(redis_server, tmp_path):
    settings = {"redis_url": redis_server.url, "path": str(tmp_path / "c.db"), "ttl": 60.0}
    cache = open_cache(Config().replace(response_cache=settings))
    await cache.put(key(1), Record(b"x", 0.0))
    assert [row.tier for row in cache.stats()] == ["memory", "sqlite", "redis"]
    assert [row.writes for row in cache.stats()] == [1, 1, 1]
    assert redis_server.client.ttl(b"hotloop:r:" + key(1)) in (59, 60)
    await cache.aclose()


# -- leases


async def test_a_lease_has_one_owner_until_it_is_given_back_or_runs_out(cache, redis_server):
    assert await cache.lease(key(1), OWNER, 10.0) is Lease.MINE
    assert await cache.lease(key(1), OTHER, 10.0) is Lease.TAKEN
    assert await cache.renew(key(1), OTHER, 10.0) is False
    await cache.release(key(1), OTHER)
    assert await cache.lease(key(1), OTHER, 10.0) is Lease.TAKEN
    assert await cache.renew(key(1), OWNER, 50.0) is True
    assert redis_server.client.pttl(b"hotloop:l:" + key(1)) > 40_000
    await cache.release(key(1), OWNER)
    assert await cache.lease(key(1), OTHER, 0.001) is Lease.MINE
    while redis_server.client.exists(b"hotloop:l:" + key(1)):
        pass
    assert await cache.renew(key(1), OTHER, 10.0) is False
    assert await cache.lease(key(1), OWNER, 10.0) is Lease.MINE


async def test_nobody_waits_for_what_is_stored_or_leaves_no_record(cache):
    assert await cache.lease(key(1), OWNER, 10.0) is Lease.MINE
    await cache.release(key(1), OWNER, void=True)
    assert await cache.lease(key(1), OTHER, 10.0) is Lease.NONE
    await cache.put(key(2), Record(b"x", 0.0))
    assert await cache.lease(key(2), OWNER, 10.0) is Lease.STORED
    assert await cache.lease(key(2), OWNER, 10.0, unless_stored=False) is Lease.MINE


async def test_a_server_that_is_away_gives_no_leases(own_redis):
    cache = RedisCache(own_redis.url, timeout=0.05)
    own_redis.pause()
    assert await cache.lease(key(1), OWNER, 10.0) is Lease.NONE
    assert await cache.renew(key(1), OWNER, 10.0) is False
    await cache.release(key(1), OWNER)
    await cache.aclose()


def test_a_process_forked_from_one_that_used_the_cache_can_use_it_too(redis_server):
    code = """
import asyncio, os, sys
from hotloop.cache import Record, RedisCache
cache = RedisCache(sys.argv[1], timeout=5.0)
async def use(number):
    await cache.put(bytes([number]) * 32, Record(b"x", 0.0))
    assert await cache.get(bytes([number]) * 32) is not None, cache.stats()
asyncio.run(use(1))
child = os.fork()
asyncio.run(use(2))
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code, redis_server.url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_without_the_extra_it_says_what_to_install():
    code = """
import sys
sys.modules["redis"] = None
from hotloop import MissingExtraError, RedisCache
try:
    RedisCache("redis://localhost")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "hotloop[redis]"' in done.stdout, done.stderr


def test_redis_is_the_real_thing(redis_server):
    assert isinstance(redis_server.client, redis.Redis)
    assert redis_server.client.info("server")["redis_version"]
