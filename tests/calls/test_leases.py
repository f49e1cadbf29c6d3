"""Single flight across processes: real processes, a real server between them."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from hotloop.cache import Lease, MemoryCache, Record, RedisCache, TieredCache
from hotloop.calls import Call, CallPath, Clock, Opened, Policy, StreamCall
from hotloop.calls.leases import Leases

KEY = b"k" * 32


async def naps(seconds: float) -> None:
    """Waits no longer than it takes to let others run."""
    await asyncio.sleep(0.001)


def path_of(cache: RedisCache) -> CallPath:
    """A path of its own, as in another process: nothing but the server is shared."""
    return CallPath(cache=TieredCache([MemoryCache(10), cache]), clock=Clock(sleep=naps))


@pytest.fixture
async def paths(redis_server):
    caches = [RedisCache(redis_server.url, timeout=5.0) for _ in range(4)]
    yield [path_of(cache) for cache in caches]
    for cache in caches:
        await cache.aclose()


class Work:
    def __init__(self, gate: asyncio.Event, result: object = "value") -> None:
        self.gate, self.result, self.runs, self.began = gate, result, 0, asyncio.Event()

    async def __call__(self) -> str:
        self.runs += 1
        self.began.set()
        await self.gate.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def call(work, encode=str.encode, **policy) -> Call[str]:
    return Call("llm", "m", KEY, work, encode, bytes.decode, Policy(**policy))


async def test_one_of_several_works_and_the_others_take_its_record(paths):
    work = Work(asyncio.Event())
    first = asyncio.create_task(paths[0].run(call(work)))
    await work.began.wait()
    others = [asyncio.create_task(path.run(call(work))) for path in paths[1:] for _ in range(3)]
    await asyncio.sleep(0.05)  # they may look as often as they like
    work.gate.set()
    outcomes = [await first, *await asyncio.gather(*others)]
    assert work.runs == 1
    assert [outcome.value for outcome in outcomes] == ["value"] * 10
    assert [outcome.cache for outcome in outcomes] == ["miss"] + ["joined"] * 9


@pytest.mark.parametrize("how", ["error", "nothing to store"])
async def test_work_that_leaves_no_record_is_not_waited_for_twice(paths, how):
    gate = asyncio.Event()
    failing = Work(gate, ValueError("no") if how == "error" else "value")
    encode = str.encode if how == "error" else (lambda _: None)
    first = asyncio.create_task(paths[0].run(call(failing, encode)))
    await failing.began.wait()
    works = [Work(asyncio.Event()) for _ in paths[1:]]
    others = [asyncio.create_task(path.run(call(work))) for path, work in zip(paths[1:], works, strict=True)]
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.wait([first])
    assert (first.exception() is not None) == (how == "error")
    await asyncio.gather(*(work.began.wait() for work in works))  # all at once, and not one after another
    for work in works:
        work.gate.set()
    assert [outcome.value for outcome in await asyncio.gather(*others)] == ["value"] * 3


async def test_a_cancelled_owner_is_succeeded_at_once(paths):
    never, work = Work(asyncio.Event()), Work(asyncio.Event())
    first = asyncio.create_task(paths[0].run(call(never)))
    await never.began.wait()
    second = asyncio.create_task(paths[1].run(call(work)))
    third = asyncio.create_task(paths[2].run(call(work)))
    await asyncio.sleep(0.01)
    first.cancel()
    await work.began.wait()
    work.gate.set()
    assert [(await task).value for task in (second, third)] == ["value"] * 2
    assert work.runs == 1


@pytest.mark.parametrize("mode", ["refresh", "bypass"])
async def test_who_does_not_want_a_stored_answer_waits_for_nobody(paths, mode):
    never, work = Work(asyncio.Event()), Work(asyncio.Event())
    first = asyncio.create_task(paths[0].run(call(never)))
    await never.began.wait()
    work.gate.set()
    assert (await paths[1].run(call(work, mode=mode))).value == "value"
    first.cancel()
    await asyncio.wait([first])


async def test_a_stream_is_replayed_from_the_record_of_the_process_that_read_it(paths):
    gate, opened = asyncio.Event(), []

    @asynccontextmanager
    async def work():
        opened.append(1)

        async def chunks():
            yield b"a"
            await gate.wait()
            yield b"b."

        yield Opened(chunks(), {"status": "200"})

    async def read(path):
        stream = StreamCall("llm", "m", KEY, work, lambda payload, _: payload.endswith(b"."))
        async with path.stream(stream) as outcome:
            return outcome.cache, b"".join([chunk async for chunk in outcome.chunks]), outcome.meta.get("status")

    first = asyncio.create_task(read(paths[0]))
    while not opened:  # noqa: ASYNC110 -- the path says nothing of it
        await asyncio.sleep(0)
    others = [asyncio.create_task(read(path)) for path in (paths[1], paths[1], paths[2])]
    await asyncio.sleep(0.02)
    gate.set()
    assert await first == ("miss", b"ab.", "200")
    assert await asyncio.gather(*others) == [("joined", b"ab.", "200")] * 3
    assert len(opened) == 1


async def test_patience_has_an_end(redis_server):
    cache, slept = RedisCache(redis_server.url, timeout=5.0), []
    assert await cache.lease(KEY, b"o" * 16, 60.0) is Lease.MINE

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with Leases(cache, sleep, patience=3.0).turn(KEY) as turn:
        assert not turn.stored
    assert 3.0 <= sum(slept) < 3.5
    assert max(slept) <= 0.25
    await cache.aclose()


async def test_an_owner_that_works_on_keeps_its_lease(redis_server):
    cache = RedisCache(redis_server.url, timeout=5.0)
    beats = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        assert seconds == pytest.approx(20.0)
        await beats.acquire()

    async with Leases(cache, sleep, seconds=60.0).turn(KEY):
        redis_server.client.pexpire(b"hotloop:l:" + KEY, 10_000)
        beats.release()
        while redis_server.client.pttl(b"hotloop:l:" + KEY) <= 10_000:  # noqa: ASYNC110 -- the server's to tell
            await asyncio.sleep(0)
    assert await cache.lease(KEY, b"p" * 16, 60.0) is Lease.NONE  # it left no record
    await cache.aclose()


async def test_a_server_that_is_away_makes_everyone_work_for_himself(own_redis):
    cache = RedisCache(own_redis.url, timeout=0.05, pause=60.0)
    own_redis.pause()
    work = Work(asyncio.Event())
    work.gate.set()
    assert (await path_of(cache).run(call(work))).value == "value"
    await cache.aclose()


_OWNER = """
import asyncio, sys
from hotloop.cache import RedisCache
from hotloop.calls.leases import Leases
async def main():
    async with Leases(RedisCache(sys.argv[1], timeout=5.0), asyncio.sleep, seconds=60.0).turn(b"k" * 32):
        print("mine", flush=True)
        await asyncio.sleep(3600)
asyncio.run(main())
"""


async def test_a_killed_owner_strands_nobody(redis_server, paths):
    owner = subprocess.Popen(  # noqa: ASYNC220 -- read before anything else runs
        [sys.executable, "-c", _OWNER, redis_server.url], stdout=subprocess.PIPE
    )
    assert owner.stdout.readline() == b"mine\n"
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    work = Work(asyncio.Event())
    work.gate.set()
    waiting = asyncio.create_task(paths[0].run(call(work)))
    await asyncio.sleep(0.02)
    assert work.runs == 0
    redis_server.client.pexpire(b"hotloop:l:" + KEY, 1)  # as if the lease had run out by now
    assert (await waiting).value == "value"
    assert await RedisCacheReader(redis_server.url).has(KEY)


class RedisCacheReader:
    """Reads with a connection of its own, as another machine would."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def has(self, key: bytes) -> bool:
        cache = RedisCache(self.url)
        hit = await cache.get(key)
        await cache.aclose()
        return hit is not None and isinstance(hit.record, Record)
