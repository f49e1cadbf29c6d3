"""``hotloop cache``, on real files and a real server."""

import asyncio
import json
from pathlib import Path

from hotloop.cache import Record, RedisCache, SqliteCache
from support.redis_server import RedisServer

from .conftest import Shell, failed


def fill(path: Path, **namespaces: int) -> None:
    async def put() -> None:
        cache = SqliteCache(path)
        for namespace, count in namespaces.items():
            for number in range(count):
                key = f"{namespace}{number}".encode().ljust(32, b"-")
                await cache.put(key, Record(b"x" * 1000, 0.0, namespace=namespace))
        await cache.aclose()

    asyncio.run(put())


def test_a_file_that_is_not_there_is_empty_and_is_not_made(shell: Shell) -> None:
    assert shell("cache", "stats").stdout == f"{shell.cache_file}: 0 answers, 0 B\n"
    assert json.loads(shell("cache", "clear", "--json").stdout)["removed"] == 0
    assert not shell.cache_file.exists()


def test_stats_and_clear(shell: Shell) -> None:
    fill(shell.cache_file, a=3, b=2)
    stats = json.loads(shell("cache", "stats", "--json").stdout)
    assert stats["path"] == str(shell.cache_file)
    assert stats["entries"] == 5
    assert stats["bytes"] > 5000
    assert stats["max_bytes"] == 1 << 30
    assert shell("cache", "stats", "-q").stdout == "5\n"
    assert "at most 1.0 GiB, each stays for ever" in shell("cache", "stats", "-v").stdout

    cleared = json.loads(shell("cache", "clear", "--namespace", "a", "--json").stdout)
    assert cleared == {"path": str(shell.cache_file), "removed": 3, "entries": 2}
    assert shell("cache", "clear", "-v").stdout == f"{shell.cache_file}: 2 answers forgotten, 0 left\n"
    assert shell("cache", "stats", "-q").stdout == "0\n"


def test_another_file_is_used_when_the_configuration_names_it(shell: Shell) -> None:
    fill(shell.folder / "mine.db", a=1)
    assert shell("cache", "stats", "-q", HOTLOOP_RESPONSE_CACHE__PATH="mine.db").stdout == "1\n"


def test_a_file_of_somebody_elses_is_refused_and_left_alone(shell: Shell) -> None:
    file = shell.folder / "notes.txt"
    file.write_text("not a cache at all, but precious\n" * 100)
    before = file.read_bytes()
    for command in ("stats", "clear"):
        line = failed(shell("cache", command, HOTLOOP_RESPONSE_CACHE__PATH="notes.txt"), 8)
        assert "notes.txt" in line
    assert file.read_bytes() == before
    assert "cannot be opened" in failed(shell("cache", "stats", HOTLOOP_RESPONSE_CACHE__PATH="."), 8)


def test_export_writes_a_line_of_json_for_each_answer(shell: Shell) -> None:
    fill(shell.cache_file, a=100, b=1)
    lines = [json.loads(line) for line in shell("cache", "export").stdout.splitlines()]
    assert len(lines) == 101
    assert lines[0] == {
        "tier": "sqlite", "key": b"a0".ljust(32, b"-").hex(), "namespace": "a", "created": 0.0, "expires": None,
        "meta": {}, "text": "x" * 1000,
    }  # fmt: skip
    done = shell("cache", "export", "--namespace", "b", "-o", "out.jsonl", "--json")
    assert json.loads(done.stdout) == {"path": "out.jsonl", "entries": 1}
    assert len((shell.folder / "out.jsonl").read_text().splitlines()) == 1
    assert "cannot be written" in failed(shell("cache", "export", "-o", "no/such/folder"), 8)


def test_bytes_that_are_no_text_are_exported_as_base64(shell: Shell) -> None:
    async def put() -> None:
        cache = SqliteCache(shell.cache_file)
        await cache.put(b"k" * 32, Record(b"\xff\x00", 0.0, meta={"content-encoding": "gzip"}))
        await cache.aclose()

    asyncio.run(put())
    line = json.loads(shell("cache", "export").stdout)
    assert (line["base64"], line["meta"]) == ("/wA=", {"content-encoding": "gzip"})


def test_a_damaged_file_is_seen_and_the_way_out_is_told(shell: Shell) -> None:
    fill(shell.cache_file, a=200)
    content = bytearray(shell.cache_file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = b"\xa5" * 40_000
    shell.cache_file.write_bytes(content)
    for command in (("cache", "stats"), ("cache", "clear")):
        line = failed(shell(*command), 8)
        assert str(shell.cache_file) in line
        assert "damaged" in line
        assert "Delete it" in line
    doctor = shell("doctor")
    assert "damaged" in doctor.stdout
    assert doctor.returncode != 0


def test_redis_is_counted_exported_and_cleared_too(shell: Shell, own_redis: RedisServer) -> None:
    async def put() -> None:
        cache = RedisCache(own_redis.url)
        for number in range(600):
            await cache.put(number.to_bytes(32), Record(b"x" * 10, 0.0, namespace="ab"[number % 2]))
        await cache.aclose()

    asyncio.run(put())
    url = {"HOTLOOP_RESPONSE_CACHE__REDIS_URL": own_redis.url}
    assert json.loads(shell("cache", "stats", "--json", **url).stdout)["redis"] == {"entries": 600, "bytes": 6000}
    lines = [json.loads(line) for line in shell("cache", "export", "--namespace", "a", **url).stdout.splitlines()]
    assert len({line["key"] for line in lines}) == 300
    assert {line["tier"] for line in lines} == {"redis"}
    assert json.loads(shell("cache", "clear", "--namespace", "a", "--json", **url).stdout)["redis"] == {"removed": 300}
    assert shell("cache", "stats", "-q", **url).stdout == "300\n"
    assert "redis: 300 answers forgotten" in shell("cache", "clear", **url).stdout
    assert shell("cache", "stats", "-q", **url).stdout == "0\n"
    own_redis.kill()
    line = failed(shell("cache", "stats", **url), 8)
    assert "could not be read" in line
    assert "hunter2" not in line
