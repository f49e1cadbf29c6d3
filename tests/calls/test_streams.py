"""Streams on the keyed-call path: what they carry beside their bytes, and when they come."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from test_path import KEY, Shelf, Source, Work, call, read, stream, turns

from hotloop import MemoryCache, TieredCache
from hotloop.calls import CallPath, Clock, Limits, Opened, Policy, Retry, StreamCall
from hotloop.errors import ModelConnectionError
from hotloop.observe.events import CallFinished, CallRetried


async def outcome_of(path, source, **options):
    async with path.stream(stream(source, **options)) as outcome:
        return outcome, b"".join([chunk async for chunk in outcome.chunks])


async def test_what_opens_a_stream_is_stored_with_it_and_its_head_is_not():
    path, source = CallPath(cache=Shelf()), Source(b"a", b".", meta={"status": "200"}, head="live")
    live, _ = await outcome_of(path, source)
    stored, payload = await outcome_of(path, source)
    assert (live.meta, live.head, live.payload) == ({"status": "200"}, "live", None)
    assert (stored.meta, stored.head, stored.payload, payload) == ({"status": "200"}, None, b"a.", b"a.")


async def test_completeness_is_judged_with_what_opened_the_stream():
    shelf = Shelf()
    await outcome_of(
        CallPath(cache=shelf), Source(b".", meta={"status": "500"}), complete=lambda _, m: m["status"] == "200"
    )
    assert shelf.records == {}


async def test_a_record_that_does_not_fit_is_a_miss():
    path = CallPath(cache=Shelf())
    await outcome_of(path, Source(b"1.", meta={"form": "old"}))
    options = {"fits": lambda meta: meta["form"] == "new"}
    outcome, payload = await outcome_of(path, Source(b"2.", meta={"form": "new"}), options=options)
    assert (outcome.cache, payload) == ("miss", b"2.")
    outcome, payload = await outcome_of(path, Source(b"3."), options=options)
    assert (outcome.cache, payload) == ("hit", b"2.")


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize("prompt", [True, False])
async def test_a_prompt_call_is_given_before_its_first_chunk(key, prompt):
    source = Source(b"a", b".", gated=True)
    path = CallPath()
    one = StreamCall("llm", "m", key, source, lambda *_: False, prompt=prompt)
    entered = path.stream(one)
    task = asyncio.create_task(entered.__aenter__())
    await turns()
    assert task.done() is prompt
    source.gate.release()
    source.gate.release()
    outcome = await task
    assert [chunk async for chunk in outcome.chunks] == [b"a", b"."]
    await entered.__aexit__(None, None, None)
    assert source.closed == 1


@pytest.mark.parametrize("key", [KEY, None])
async def test_an_error_before_the_first_chunk_is_retried_unless_the_call_is_prompt(key):
    for prompt, opened in ((False, 3), (True, 1)):
        seen, source = [], Source(ModelConnectionError("gone"))
        path = CallPath(retry=Retry(attempts=3, base=0.0), observer=seen.append)
        one = StreamCall("llm", "m", key, source, lambda *_: False, prompt=prompt, repeatable=True)
        with pytest.raises(ModelConnectionError):
            async with path.stream(one) as outcome:
                assert [chunk async for chunk in outcome.chunks] == ["never"]
        assert (source.opened, source.closed) == (opened, opened)
        assert sum(isinstance(event, CallRetried) for event in seen) == opened - 1
        assert seen[-1] == CallFinished("llm", "m", "bypass", seen[-1].seconds, None, "ModelConnectionError: gone")


async def test_the_callers_own_retries_are_left_to_him():
    source = Source(ModelConnectionError("gone"))
    with pytest.raises(ModelConnectionError):
        await outcome_of(CallPath(retry=Retry(attempts=3, base=0.0)), source, retry=False)
    assert source.opened == 1


async def test_a_limit_holds_while_a_stream_is_read():
    path, source = CallPath(limits=Limits(concurrency=1)), Source(b"a", b".")
    first = path.stream(StreamCall("llm", "m", None, source, lambda *_: False, prompt=True))
    await first.__aenter__()
    second = asyncio.create_task(read(path, source))
    await turns(20)
    assert (source.opened, second.done()) == (1, False)
    await first.__aexit__(None, None, None)
    assert await second == ("bypass", b"a.")


async def test_lazy_work_fetches_a_chunk_when_a_reader_waits_for_it():
    fetched = []

    @asynccontextmanager
    async def enter():
        async def chunks():
            for chunk in (b"a", b"b", b"."):
                fetched.append(chunk)
                yield chunk

        yield Opened(chunks(), lazy=True)

    path = CallPath(cache=Shelf())
    one = StreamCall("llm", "m", KEY, enter, lambda payload, _: payload == b"ab.", prompt=True)
    async with path.stream(one) as outcome:
        await turns(20)
        assert fetched == []
        assert await anext(outcome.chunks) == b"a"
        await turns(20)
        assert fetched == [b"a"]
        assert [chunk async for chunk in outcome.chunks] == [b"b", b"."]
    assert (await path.run(call(Work(), mode="only"))).value == "ab."


async def test_a_stream_too_long_to_store_comes_in_no_faster_than_it_is_read():
    fetched = alive = most = opened = 0

    class Piece(bytes):
        def __del__(self):
            nonlocal alive
            alive -= 1

    @asynccontextmanager
    async def enter():
        async def chunks():
            nonlocal fetched, alive, most
            for number in range(64):
                fetched, alive = fetched + 1, alive + 1
                most = max(most, alive)
                yield Piece(bytes([number]) * (1 << 20))
                await asyncio.sleep(0)

        nonlocal opened
        opened += 1
        yield Opened(chunks())

    path = CallPath(cache=(shelf := Shelf()))
    one = StreamCall("llm", "m", KEY, enter, lambda payload, _: len(payload) == 64 << 20, prompt=True)
    async with path.stream(one) as outcome:
        await turns(200)
        assert fetched <= 17
        async with path.stream(one) as late:
            assert (late.cache, opened) == ("miss", 2)  # there is nothing to join any more
        del late
        most = 0
        assert [piece[0] async for piece in outcome.chunks] == list(range(64))
    assert most <= 20
    assert not shelf.records


async def test_an_answer_in_one_piece_wakes_its_readers_when_all_of_it_is_there():
    gate = asyncio.Event()

    @asynccontextmanager
    async def enter():
        async def chunks():
            yield b"a"
            await gate.wait()
            yield b"."

        yield Opened(chunks(), brief=True)

    path = CallPath(cache=Shelf())
    one = StreamCall("llm", "m", KEY, enter, lambda payload, _: payload == b"a.", prompt=True)

    async def whole() -> list[bytes]:
        async with path.stream(one) as outcome:
            return [chunk async for chunk in outcome.chunks]

    first = asyncio.create_task(whole())
    await turns(20)
    late = asyncio.create_task(whole())
    await turns(20)
    assert not first.done()
    gate.set()
    assert await first == await late == [b"a", b"."]
    assert (await path.run(call(Work(), mode="only"))).value == "a."


async def test_an_answer_in_one_piece_is_stored_before_its_readers_go_on():
    stored = asyncio.Event()

    class Slow(Shelf):
        async def put(self, key, record, ttl=None):
            await stored.wait()
            await super().put(key, record, ttl)

    @asynccontextmanager
    async def enter():
        async def chunks():
            yield b"a"
            yield b"."

        yield Opened(chunks(), brief=True)

    path = CallPath(cache=(shelf := Slow()))
    entered = path.stream(StreamCall("llm", "m", KEY, enter, lambda payload, _: payload == b"a.", prompt=True))
    task = asyncio.create_task(entered.__aenter__())
    await turns(20)
    assert not task.done()
    stored.set()
    outcome = await task
    assert len(shelf.records) == 1
    assert (outcome.chunks.rest(), [chunk async for chunk in outcome.chunks]) == (b"a.", [])
    await entered.__aexit__(None, None, None)


async def test_the_rest_of_a_stream_is_known_when_it_has_ended_well():
    source = Source(b"a", b"b", b".", gated=True)
    source.gate.release()
    async with CallPath().stream(stream(source)) as outcome:
        assert (await anext(outcome.chunks), outcome.chunks.rest()) == (b"a", None)
        for _ in range(3):
            source.gate.release()
        await turns(20)
        assert (outcome.chunks.rest(), outcome.chunks.rest()) == (b"b.", b"")
    source = Source(b"a", ModelConnectionError("gone"))
    async with CallPath().stream(stream(source)) as outcome:
        await turns(20)
        assert outcome.chunks.rest() is None


async def test_calls_that_run_under_other_terms_do_not_join():
    source = Source(b".", gated=True)
    path = CallPath()
    tasks = [asyncio.create_task(read(path, source, options={"share": share})) for share in (1, 2, 1)]
    await turns(10)
    assert source.opened == 2
    source.gate.release()
    source.gate.release()
    assert sorted(state for state, _ in await asyncio.gather(*tasks)) == ["bypass", "bypass", "joined"]


async def test_a_reader_that_leaves_at_the_end_leaves_a_record():
    source = Source(b"a", b".", b"never", gated=True)
    path = CallPath(cache=Shelf())
    source.gate.release()
    source.gate.release()
    async with path.stream(stream(source)) as outcome:
        assert [await anext(outcome.chunks), await anext(outcome.chunks)] == [b"a", b"."]
    assert source.closed == 1
    assert await read(path, source) == ("hit", b"a.")


async def test_a_cancelled_wait_for_a_chunk_loses_none():
    source = Source(b"a", b"b", b".", gated=True)
    path = CallPath()
    source.gate.release()
    async with path.stream(stream(source)) as outcome:
        assert await anext(outcome.chunks) == b"a"
        waiting = asyncio.ensure_future(anext(outcome.chunks))
        await turns()
        waiting.cancel()
        await turns()
        source.gate.release()
        source.gate.release()
        assert [chunk async for chunk in outcome.chunks] == [b"b", b"."]


async def test_each_reader_raises_an_error_of_its_own():
    source = Source(b"a", ModelConnectionError("gone"), gated=True)
    path = CallPath()
    tasks = [asyncio.create_task(read(path, source)) for _ in range(3)]
    await turns()
    source.gate.release()
    source.gate.release()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["gone"] * 3
    assert len({id(error) for error in errors}) == 3


# -- stale records


@pytest.mark.parametrize("kind", ["value", "stream"])
async def test_a_stale_record_is_served_while_it_is_made_anew(kind):
    now = [1000.0]
    path = CallPath(cache=MemoryCache(epoch=lambda: now[0]), clock=Clock(epoch=lambda: now[0]))
    work, sources = Work("1", "2", "3"), iter([Source(b"1."), Source(b"2."), Source(b"3.")])

    async def ask(**policy):
        policy = {"ttl": 60.0, **policy}
        if kind == "value":
            outcome = await path.run(call(work, **policy))
            return outcome.value[:1], outcome.cache, outcome.stale
        outcome, payload = await outcome_of(path, lambda: next(sources)(), **policy)
        return payload[:1].decode(), outcome.cache, outcome.stale

    assert await ask(stale=600.0) == ("1", "miss", False)
    now[0] += 59
    assert await ask(stale=600.0) == ("1", "hit", False)
    now[0] += 60
    assert [await ask(stale=600.0) for _ in range(2)] == [("1", "hit", True)] * 2
    while path._renewals:
        await turns()
    assert await ask() == ("2", "hit", False)
    now[0] += 661
    assert await ask(stale=600.0) == ("3", "miss", False)


async def test_a_renewal_that_fails_leaves_the_old_record(caplog):
    caplog.set_level(logging.INFO)
    now = [1000.0]
    path = CallPath(cache=MemoryCache(epoch=lambda: now[0]), clock=Clock(epoch=lambda: now[0]))
    work = Work("1", ModelConnectionError("gone"), "2")
    for moment in (1000, 1100, 1101):
        now[0] = moment
        assert (await path.run(call(work, ttl=60.0, stale=600.0))).value == "1"
        while path._renewals:
            await turns()
    assert (await path.run(call(work, ttl=60.0, stale=600.0))).value == "2"
    assert "could not be renewed: ModelConnectionError: gone" in caplog.text


# -- what is at hand


async def test_peek_answers_from_memory_without_waiting_and_counts_no_miss():
    memory, seen = MemoryCache(), []
    path = CallPath(cache=TieredCache([memory, Shelf()]), observer=seen.append)
    one = stream(Source(b"a."))
    assert path.peek(one) is None
    await outcome_of(path, Source(b"a."))
    misses = memory.stats()[0].misses
    seen.clear()
    found = path.peek(one)
    assert (found.payload, found.cache, found.tier, memory.stats()[0].misses) == (b"a.", "hit", "memory", misses)
    assert [type(event).__name__ for event in seen] == ["CallStarted", "CallFinished"]
    for policy in ({"mode": "refresh"}, {"mode": "bypass"}, {"cache": False}):
        assert path.peek(stream(Source(), **policy)) is None
    assert CallPath(cache=Shelf()).peek(one) is None


def test_a_call_is_free_when_the_path_has_no_part_in_its_answer():
    free = StreamCall("llm", "m", None, Source(), lambda *_: True)
    assert CallPath(cache=Shelf()).free(free)
    assert not CallPath(observer=print).free(free)
    assert not CallPath().free(stream(Source()))
    assert not CallPath().free(StreamCall("llm", "m", None, Source(), lambda *_: True, Policy(mode="only")))


class Broken(Shelf):
    async def get(self, key):
        raise OSError("secret")

    async def put(self, key, record, ttl=None):
        raise OSError("secret")


async def test_a_cache_that_raises_is_a_miss(caplog):
    path = CallPath(cache=Broken())
    assert await read(path, Source(b"a.")) == ("miss", b"a.")
    assert (await path.run(call(Work()))).cache == "miss"
    assert caplog.text.count("a cache tier failed, which counts as a miss: OSError") == 1  # told once
    assert "secret" not in caplog.text
