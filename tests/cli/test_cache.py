"""``hotloop cache stats`` and ``clear``, on real files."""

import asyncio
import json
from pathlib import Path

from hotloop.cache import Record, SqliteCache

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
