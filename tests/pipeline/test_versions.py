"""No stored result is ever stale: whatever reads, writes and edits by others come in between."""

import asyncio
import os
import sqlite3
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotloop.cache import MemoryCache, SqliteCache
from hotloop.pipeline import ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, Touches, tool
from support.settled import settle

FILES = st.sampled_from(["a", "b", "sub/a", "link"])
TEXTS = st.sampled_from(["", "one", "two", "six"])  # of equal length, most of them
STEP = st.one_of(
    st.tuples(st.just("read"), FILES),
    st.tuples(st.just("write"), FILES, TEXTS),
    st.tuples(st.sampled_from(["edit", "exchange", "set back"]), FILES, TEXTS),
    st.tuples(st.sampled_from(["remove", "point elsewhere"]), FILES),
    st.tuples(st.just("bump"), TEXTS),
    st.tuples(st.just("look")),
    st.tuples(st.just("wait")),
    st.tuples(st.just("restart")),
)


class World:
    """A folder, a named resource, and tools over them."""

    def __init__(self, folder, cache):
        self.folder, self.cache, self.names, self.hits = folder, cache, {"text": ""}, 0
        folder.joinpath("sub").mkdir()
        folder.joinpath("link").symlink_to("a")
        self.open()

    def open(self):
        folder, names = self.folder, self.names

        @tool(effect="read", resources=lambda name: [folder / name], cache_ttl=3600, cache_errors=FileNotFoundError)
        def read(name: str) -> str:
            return (folder / name).read_text()

        @tool(effect="write", resources=lambda name: [folder / name])
        def write(name: str, text: str) -> None:
            (folder / name).write_text(text)

        @tool(effect="read", resources=["text"], cache_ttl=3600)
        def look() -> str:
            return names["text"]

        @tool(effect="write", resources=lambda: Touches(writes=["text"]))
        def bump(text: str) -> None:
            names["text"] = text

        self.pipe = ToolPipeline(ToolRegistry([read, write, look, bump]), cache=self.cache)

    async def call(self, of, **args):
        result = await self.pipe.run(ToolCall(of, args))
        self.hits += result.cached
        return result

    def edit(self, how, name, text):
        """Change a file as another program would, past the pipeline."""
        file = self.folder / name
        if how == "exchange":
            fresh = self.folder / "fresh"
            fresh.write_text(text)
            fresh.replace(file)
            return
        try:
            facts = file.stat()
        except FileNotFoundError:
            facts = None
        file.write_text(text)
        if how == "set back" and facts:
            os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    async def step(self, what, *rest):
        if what == "read":
            result = await self.call("read", name=rest[0])
            file = self.folder / rest[0]
            assert result.value == (file.read_text() if file.exists() else None)
            assert (result.error is None) == file.exists()
        elif what == "write":
            await self.call("write", name=rest[0], text=rest[1])
        elif what in ("edit", "exchange", "set back"):
            self.edit(what, *rest)
        elif what == "remove":
            (self.folder / rest[0]).unlink(missing_ok=True)
        elif what == "point elsewhere":
            file = self.folder / rest[0]
            file.unlink(missing_ok=True)
            file.symlink_to(self.folder / "b" if rest[0] != "b" else self.folder / "nowhere")
        elif what == "bump":
            await self.call("bump", text=rest[0])
        elif what == "look":
            assert (await self.call("look")).value == self.names["text"]
        elif what == "wait":
            time.sleep(0.032)  # noqa: ASYNC251 - until stamps can be trusted; real, because the kernel gives them
        else:
            await self.pipe.aclose()
            self.open()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=30), st.booleans())
def test_reads_writes_and_edits_by_others_in_any_order_never_give_a_stale_result(tmp_path_factory, steps, disk):
    async def main():
        folder = tmp_path_factory.mktemp("world")
        cache = SqliteCache(folder / "cache.db") if disk else MemoryCache(100)
        inner = folder / "files"
        inner.mkdir()
        world = World(inner, cache)
        for step in steps:
            await world.step(*step)
        await world.pipe.aclose()
        if disk:
            await cache.aclose()

    asyncio.run(main())


async def test_the_interleavings_do_hit(tmp_path):
    world = World(tmp_path, MemoryCache(100))
    await world.step("write", "a", "one")
    settle(world.pipe)
    for step in (("read", "a"), ("read", "a"), ("look",), ("look",), ("read", "sub/a"), ("read", "sub/a")):
        await world.step(*step)
    assert world.hits == 3  # also the file that is not there: its error is kept
    await world.pipe.aclose()


async def test_results_are_there_in_the_next_run(tmp_path):
    file, store = tmp_path / "file", tmp_path / "cache.db"
    file.write_text("text")

    for cached in (False, True):
        cache = SqliteCache(store)
        async with ToolPipeline(ToolRegistry([kept_read]), cache=cache) as pipe:
            settle(pipe)
            result = await pipe.run(ToolCall("kept_read", {"path": str(file)}))
            assert (result.value, result.cached) == ("text", cached)
        await cache.aclose()
    with sqlite3.connect(store) as database:
        assert database.execute("select count(*) from sqlite_master").fetchone()[0] > 0


@tool(effect="read", resources=lambda path: [Path(path)], cache_ttl=3600)
def kept_read(path: str) -> str:
    return Path(path).read_text()
