"""Work that a thread does by itself, while others join it in an event loop."""

import asyncio

import pytest
from test_path import KEY, Shelf, Source, read, stream, turns

from hotloop import MemoryCache
from hotloop.calls import CallPath, Opened, StreamCall
from hotloop.calls.chunks import once


def lead_of(path, **options):
    return path.lead(stream(Source(), **options), asyncio.get_running_loop())


async def test_those_who_join_get_what_the_thread_got():
    path, source = CallPath(cache=MemoryCache()), Source(b"another.")
    lead = lead_of(path)
    readers = [asyncio.create_task(read(path, source)) for _ in range(3)]
    await turns()
    await asyncio.to_thread(lead.end, Opened(once(b"a."), {}), b"a.", None)
    assert await asyncio.gather(*readers) == [("joined", b"a.")] * 3
    assert (source.opened, path._tapes) == (0, {})
    assert await read(path, source) == ("miss", b"another.")


async def test_nobody_leads_what_is_under_way_or_stored():
    path = CallPath(cache=MemoryCache())
    lead = lead_of(path)
    assert lead.cache == "miss"
    assert lead_of(path) is None
    lead.end(None, b"", ValueError("bad"))
    again = lead_of(path)
    path.keep(stream(Source()), b"a.", {})
    again.end(Opened(once(b"a."), {}), b"a.", None)
    assert lead_of(path) is None
    assert await read(path, Source()) == ("hit", b"a.")


async def test_a_miss_is_counted_once():
    memory = MemoryCache()
    path = CallPath(cache=memory)
    assert path.peek(stream(Source())) is None
    lead_of(path).end(None, b"", ValueError("bad"))
    assert memory.stats()[0].misses == 1


async def test_a_call_for_which_something_has_to_be_waited_for_is_not_led():
    class Own(MemoryCache):
        async def put(self, key, record, ttl=None):
            raise AssertionError

    for path in (
        CallPath(cache=Shelf()),
        CallPath(cache=Own()),
        CallPath(observer=print),
        CallPath(single_flight=False),
    ):
        assert lead_of(path) is None
    path = CallPath()
    for options in ({"mode": "refresh"}, {"mode": "only"}, {"join": False}, {"options": {"lasting": True}}):
        assert lead_of(path, **options) is None
    assert lead_of(path).cache == "bypass"


@pytest.mark.parametrize("how", ["forsaken", "forgotten"])
async def test_work_that_its_thread_leaves_is_done_anew_for_those_who_joined(how):
    path, source = CallPath(cache=MemoryCache()), Source(b"a", b".")
    lead = path.lead(stream(source), asyncio.get_running_loop())
    readers = [asyncio.create_task(read(path, Source(b"another."))) for _ in range(3)]
    await turns()
    readers.pop().cancel()
    await turns()
    if how == "forsaken":
        await asyncio.to_thread(lead.forsake)
    del lead
    assert await asyncio.gather(*readers) == [("joined", b"a.")] * 2
    assert (source.opened, source.closed, path._tapes) == (1, 1, {})
    assert await read(path, source) == ("hit", b"a.")


async def test_work_that_its_thread_leaves_ends_where_nobody_has_joined():
    path, source = CallPath(cache=MemoryCache()), Source(b"a.")
    path.lead(stream(source), asyncio.get_running_loop()).forsake()
    await turns()
    assert (source.opened, path._tapes) == (0, {})
    assert await read(path, source) == ("miss", b"a.")


async def test_answers_that_are_not_whole_or_too_long_are_not_kept():
    path = CallPath(cache=(memory := MemoryCache()))
    path.keep(stream(Source()), b"a", {})
    path.keep(StreamCall("llm", "m", KEY, Source(), lambda *_: True), bytes((16 << 20) + 1), {})
    path.keep(StreamCall("llm", "m", KEY, Source(), lambda *_: 1 / 0), b"a.", {})
    assert memory.stats()[0].entries == 0
    path.keep(stream(Source()), b"a.", {})
    assert memory.stats()[0].entries == 1


async def test_a_thread_that_is_interrupted_when_it_has_told_its_answer_changes_nothing():
    path, source = CallPath(cache=MemoryCache()), Source(b"never.")
    lead = path.lead(stream(source), asyncio.get_running_loop())
    reader = asyncio.create_task(read(path, source))
    await turns()
    lead.end(Opened(once(b"a."), {}), b"a.", None)
    lead._under_way = True  # it came no further
    del lead
    assert await reader == ("joined", b"a.")
    await turns()
    assert (source.opened, path._tapes) == (0, {})
