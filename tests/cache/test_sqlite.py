"""The disk tier: a real file, several processes, and files that are not ours."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from hotloop.cache.base import Record
from hotloop.cache.sqlite import SqliteCache
from hotloop.errors import CacheError


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Epoch:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def cache(tmp_path):
    made = SqliteCache(tmp_path / "deep" / "cache.db")
    yield made
    await made.aclose()


async def test_a_record_comes_back_as_it_was_also_after_reopening(tmp_path):
    record = Record(b"\x00payload\xff", 12.5, namespace="n", meta={"status": "200"})
    first = SqliteCache(tmp_path / "c.db")
    await first.put(key(1), record)
    await first.aclose()
    second = SqliteCache(tmp_path / "c.db")
    hit = await second.get(key(1))
    assert hit is not None
    assert (hit.record, hit.tier) == (record, "sqlite")
    assert await second.get(key(2)) is None
    (stats,) = second.stats()
    assert (stats.hits, stats.misses, stats.entries) == (1, 1, 1)
    await second.aclose()
    await second.aclose()


async def test_a_record_dies_with_its_time_to_live(tmp_path):
    epoch = Epoch()
    cache = SqliteCache(tmp_path / "c.db", ttl=60, epoch=epoch)
    await cache.put(key(1), Record(b"default", epoch.now))
    await cache.put(key(2), Record(b"short", epoch.now), ttl=10)
    epoch.now += 10
    assert await cache.get(key(2)) is None
    assert (await cache.get(key(1))).record.payload == b"default"
    epoch.now += 50
    assert await cache.get(key(1)) is None
    await cache.aclose()


async def test_clear_forgets_one_namespace_or_all(cache):
    for number, namespace in enumerate(["a", "a", "b"]):
        await cache.put(key(number), Record(b"x", 0.0, namespace=namespace))
    await cache.clear("a")
    assert [await cache.get(key(n)) is not None for n in range(3)] == [False, False, True]
    await cache.clear()
    assert cache.stats()[0].entries == 0


async def test_it_stays_within_its_bytes_and_drops_what_was_used_longest_ago(tmp_path):
    epoch = Epoch()
    cache = SqliteCache(tmp_path / "c.db", max_bytes=100_000, epoch=epoch)
    for number in range(200):
        epoch.now += 1
        await cache.put(key(number), Record(bytes(1000), epoch.now))
        assert cache.stats()[0].bytes <= 100_000
    assert await cache.get(key(199)) is not None
    assert await cache.get(key(0)) is None
    await cache.put(key(500), Record(bytes(200_000), epoch.now))
    assert await cache.get(key(500)) is None
    await cache.aclose()


async def test_a_replaced_record_is_counted_once(cache):
    for size in (10, 1000, 10):
        await cache.put(key(1), Record(bytes(size), 0.0))
    assert (cache.stats()[0].entries, cache.stats()[0].bytes) == (1, 210)


@pytest.mark.parametrize("content", [b"not a database, whatever it is" * 100, None])
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_was(tmp_path, content):
    path = tmp_path / "other.db"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE precious (x)")
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(CacheError, match=r"other\.db"):
        SqliteCache(path)
    assert path.read_bytes() == before


def test_a_file_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "c.db"
    asyncio.run(SqliteCache(path).aclose())
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(CacheError, match="version 99"):
        SqliteCache(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"cannot be opened: .*response_cache\.disk = false"):
        SqliteCache(tmp_path / "file" / "c.db")


def test_a_full_disk_is_said_with_the_way_out():
    with pytest.raises(CacheError, match=r"response_cache\.disk = false") as caught:
        SqliteCache("/dev/full")
    assert "not a cache of hotloop's" not in str(caught.value)


def test_a_file_that_is_no_database_is_told_to_be_moved_away(tmp_path):
    (tmp_path / "c.db").write_text("not a cache at all, but precious")
    with pytest.raises(CacheError, match=r"not a cache of hotloop's and is left untouched\. Move it away"):
        SqliteCache(tmp_path / "c.db")
    assert (tmp_path / "c.db").read_text() == "not a cache at all, but precious"


async def test_a_locked_file_is_a_miss_and_an_error_and_not_a_failure(tmp_path):
    cache = SqliteCache(tmp_path / "c.db", timeout=0.01)
    other = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await cache.put(key(1), Record(b"x", 0.0))
    other.execute("ROLLBACK")
    other.close()
    assert await cache.get(key(1)) is None
    assert cache.stats()[0].errors == 1
    await cache.aclose()


@pytest.mark.parametrize("damage", ["meta = '{bad'", "expires = 'soon'", "used = 'once'"])
async def test_a_row_that_another_program_wrote_is_a_miss_and_an_error(cache, damage):
    await cache.put(key(1), Record(b"x", 0.0))
    with contextlib.closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute(f"UPDATE records SET {damage}")
    assert await cache.get(key(1)) is None
    assert cache.stats()[0].errors == 1
    await cache.put(key(1), Record(b"y", 0.0))
    assert (await cache.get(key(1))).record.payload == b"y"


async def test_a_tier_that_was_closed_answers_nothing_and_fails_no_call(tmp_path):
    cache = SqliteCache(tmp_path / "c.db")
    await cache.aclose()
    await cache.put(key(1), Record(b"x", 0.0))
    assert await cache.get(key(1)) is None
    with pytest.raises(CacheError, match="closed"):
        await cache.clear()


_WRITER = """
import asyncio, sys
from hotloop.cache.base import Record
from hotloop.cache.sqlite import SqliteCache
async def main(path, first, count):
    cache = SqliteCache(path)
    print("open", flush=True)
    for number in range(first, first + count):
        await cache.put(number.to_bytes(32, "big"), Record(number.to_bytes(4, "big") * 5000, 0.0))
    assert cache.stats()[0].errors == 0, cache.stats()
    await cache.aclose()
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def writer(path, first: int, count: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", _WRITER, str(path), str(first), str(count)], stdout=subprocess.PIPE)


async def test_processes_that_open_a_new_file_at_once_share_it(tmp_path):
    writers = [writer(tmp_path / "c.db", 100 * n, 20) for n in range(4)]
    for process in writers:
        process.communicate()
    assert [process.returncode for process in writers] == [0] * 4
    cache = SqliteCache(tmp_path / "c.db")
    assert cache.stats()[0].entries == 80
    await cache.aclose()


async def test_a_writer_killed_in_the_middle_leaves_a_whole_file(tmp_path):
    path = tmp_path / "c.db"
    process = writer(path, 0, 1_000_000)
    assert process.stdout.readline() == b"open\n"
    watched = SqliteCache(path)
    while (watched.stats()[0].entries or 0) < 20:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    entries = watched.stats()[0].entries
    for number in range(entries):
        hit = await watched.get(key(number))
        assert hit.record.payload == number.to_bytes(4, "big") * 5000
    await watched.put(key(10**9), Record(b"and goes on", 0.0))
    assert await watched.get(key(10**9)) is not None
    await watched.aclose()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


async def test_a_file_that_stays_locked_delays_one_write_and_leaves_out_the_next(tmp_path):
    cache = SqliteCache(tmp_path / "c.db", timeout=0.05, pause=3600.0)
    await cache.put(key(1), Record(b"x", 0.0))
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(2, 50):
            await cache.put(key(number), Record(b"x", 0.0))
        assert await cache.get(key(1)) is not None  # reading goes on
        other.execute("ROLLBACK")
    assert cache.stats()[0].errors == 48
    assert (cache.stats()[0].entries, cache._locked_until > 0) == (1, True)
    cache._locked_until = 0.0
    await cache.put(key(2), Record(b"x", 0.0))
    assert cache.stats()[0].entries == 2
    await cache.aclose()


async def test_a_damaged_file_is_found_and_said(tmp_path):
    path = tmp_path / "c.db"
    cache = SqliteCache(path)
    for number in range(200):
        await cache.put(key(number), Record(bytes(1000), 0.0))
    await cache.check()
    await cache.aclose()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40_000] = b"\xa5" * 40_000
    path.write_bytes(content)
    cache = SqliteCache(path)
    with pytest.raises(CacheError, match=r"damaged.*Delete it"):
        await cache.check()
    with pytest.raises(CacheError, match=r"damaged.*Delete it"):
        await cache.clear()
    await cache.aclose()


async def test_its_records_can_be_read_one_after_another(cache):
    for number in range(150):
        await cache.put(key(number), Record(b"%d" % number, 1.0, namespace="n", meta={"a": "b"}))
    await cache.put(key(999), Record(b"gone", 0.0), ttl=-1.0)
    found = [(k, record.payload, record.namespace, record.meta) async for k, record in cache.records()]
    assert found == [(key(n), b"%d" % n, "n", {"a": "b"}) for n in range(150)]


_FORKED = """
import asyncio, os, signal, sys
from hotloop.cache.base import Record
from hotloop.cache.sqlite import SqliteCache

cache = SqliteCache(sys.argv[1])
asyncio.run(cache.put(b"1" * 32, Record(b"of the parent", 0.0)))
if not (child := os.fork()):
    signal.alarm(20)  # one that hangs ends so
    assert asyncio.run(cache.get(b"1" * 32)).record.payload == b"of the parent"
    asyncio.run(cache.put(b"2" * 32, Record(b"of the child", 0.0)))
    asyncio.run(cache.aclose())
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert asyncio.run(cache.get(b"2" * 32)).record.payload == b"of the child"
asyncio.run(cache.check())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_goes_on_with_a_connection_of_its_own(tmp_path):
    subprocess.run([sys.executable, "-W", "ignore", "-c", _FORKED, str(tmp_path / "c.db")], check=True, timeout=60)


@pytest.mark.skipif(os.name != "posix", reason="permissions of another kind")
async def test_nobody_else_may_read_the_file(cache):
    await cache.put(key(1), Record(b"private", 0.0))
    files = list(cache.path.parent.iterdir())
    assert {cache.path.name, f"{cache.path.name}-wal"} <= {file.name for file in files}
    assert all(not file.stat().st_mode & 0o077 for file in files)
