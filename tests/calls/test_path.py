"""The keyed-call path: what is served, stored, joined, retried and told."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from hotloop.cache.base import Hit, Record, TierStats
from hotloop.calls import Call, CallPath, Clock, Limits, Opened, Policy, Retry, StreamCall
from hotloop.errors import CacheError, ModelConnectionError, ModelStatusError
from hotloop.observe.events import CallFinished, CallRetried, CallStarted

KEY = b"k" * 32


class Shelf:
    """The least a cache can be: a dict."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}

    async def get(self, key):
        record = self.records.get(key)
        return None if record is None else Hit(record, "shelf")

    async def put(self, key, record, ttl=None):
        self.records[key] = record

    async def delete(self, key):
        self.records.pop(key, None)

    async def clear(self, namespace=None):
        self.records.clear()

    def stats(self) -> tuple[TierStats, ...]:
        return ()

    async def aclose(self):
        pass


class Work:
    """Counts how often it runs, and waits at a gate when told to."""

    def __init__(self, *results, gate: asyncio.Event | None = None) -> None:
        self.results = list(results) or ["value"]
        self.gate = gate
        self.started = self.cancelled = 0

    async def __call__(self):
        self.started += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


def call(work, key: bytes | None = KEY, encode=str.encode, repeatable: bool = True, **policy) -> Call[str]:
    decode = bytes.decode
    return Call("tool", "work", key, work, encode, decode, Policy(**policy), repeatable=repeatable)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_value_is_served_from_the_cache_the_second_time():
    work, seen = Work(), []
    path = CallPath(cache=Shelf(), observer=seen.append)
    first, second = await path.run(call(work)), await path.run(call(work))
    assert (first.value, first.cache, second.value, second.cache, second.tier) == (
        "value",
        "miss",
        "value",
        "hit",
        "shelf",
    )
    assert work.started == 1
    assert [type(event) for event in seen] == [CallStarted, CallFinished] * 2
    assert [event.cache for event in seen if isinstance(event, CallFinished)] == ["miss", "hit"]


@pytest.mark.parametrize("policy", [{"cache": False}, {"mode": "bypass"}])
async def test_what_may_not_be_cached_is_done_each_time(policy):
    work, shelf = Work(), Shelf()
    path = CallPath(cache=shelf)
    assert [(await path.run(call(work, **policy))).cache for _ in range(2)] == ["bypass"] * 2
    assert (work.started, shelf.records) == (2, {})


async def test_a_call_without_a_key_is_neither_stored_nor_joined():
    gate = asyncio.Event()
    work = Work(gate=gate)
    path = CallPath(cache=Shelf())
    both = asyncio.gather(path.run(call(work, None)), path.run(call(work, None)))
    await turns()
    assert work.started == 2
    gate.set()
    await both


async def test_refresh_stores_anew_and_only_never_works():
    work = Work("old", "new")
    path = CallPath(cache=Shelf())
    with pytest.raises(CacheError, match='"only"'):
        await path.run(call(work, mode="only"))
    await path.run(call(work))
    assert (await path.run(call(work, mode="refresh"))).value == "new"
    assert (await path.run(call(work, mode="only"))).value == "new"
    assert work.started == 2


async def test_only_without_any_cache_says_so():
    with pytest.raises(CacheError):
        await CallPath().run(call(Work(), mode="only"))


async def test_a_value_that_cannot_be_stored_is_given_but_not_stored():
    work, shelf = Work(), Shelf()
    assert (await CallPath(cache=shelf).run(call(work, encode=lambda _: None))).value == "value"
    assert shelf.records == {}


async def test_a_damaged_record_is_done_again_and_replaced():
    work, shelf = Work(), Shelf()
    shelf.records[KEY] = Record(b"\xff\xff", 0.0)
    outcome = await CallPath(cache=shelf).run(call(work))
    assert (outcome.value, outcome.cache, shelf.records[KEY].payload) == ("value", "miss", b"value")


async def test_an_error_is_not_stored():
    work, shelf = Work(ValueError("no")), Shelf()
    with pytest.raises(ValueError, match="no"):
        await CallPath(cache=shelf).run(call(work))
    assert shelf.records == {}


async def test_age_is_told():
    clock = Clock(epoch=lambda: 100.0)
    shelf = Shelf()
    shelf.records[KEY] = Record(b"old", 40.0)
    assert (await CallPath(cache=shelf, clock=clock).run(call(Work()))).age == 60.0


# -- single flight


async def test_identical_calls_in_flight_run_once():
    gate = asyncio.Event()
    work = Work(gate=gate)
    path = CallPath()
    tasks = [asyncio.create_task(path.run(call(work))) for _ in range(64)]
    await turns()
    gate.set()
    outcomes = await asyncio.gather(*tasks)
    assert work.started == 1
    assert sorted(o.cache for o in outcomes) == ["bypass"] + ["joined"] * 63


@pytest.mark.parametrize("how", ["policy", "switch"])
async def test_joining_can_be_turned_off(how):
    gate = asyncio.Event()
    work = Work(gate=gate)
    path = CallPath(single_flight=how != "switch")
    tasks = [asyncio.create_task(path.run(call(work, join=how != "policy"))) for _ in range(3)]
    await turns()
    gate.set()
    await asyncio.gather(*tasks)
    assert work.started == 3


async def test_a_cancelled_caller_takes_nobody_with_it_first_or_last():
    for victim in range(3):
        gate = asyncio.Event()
        work = Work(gate=gate)
        path = CallPath()
        tasks = [asyncio.create_task(path.run(call(work))) for _ in range(3)]
        await turns()
        tasks[victim].cancel()
        await turns()
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(r, asyncio.CancelledError) for r in results] == [n == victim for n in range(3)]
        assert (work.started, work.cancelled) == (1, 0)


async def test_work_ends_when_nobody_waits_for_it_and_the_next_caller_starts_anew():
    gate = asyncio.Event()
    work = Work(gate=gate)
    path = CallPath()
    tasks = [asyncio.create_task(path.run(call(work))) for _ in range(3)]
    await turns()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (work.started, work.cancelled) == (1, 1)
    gate.set()
    assert (await path.run(call(work))).value == "value"


async def test_everyone_who_waits_gets_the_error():
    work = Work(ValueError("no"))
    path = CallPath()
    results = await asyncio.gather(*(path.run(call(work)) for _ in range(3)), return_exceptions=True)
    assert [str(r) for r in results] == ["no"] * 3
    assert work.started == 1


def test_one_path_serves_several_event_loops():
    path = CallPath(cache=Shelf(), limits=Limits(concurrency=1))
    work = Work()
    assert [asyncio.run(path.run(call(work))).cache for _ in range(2)] == ["miss", "hit"]


# -- retry and limits


async def test_a_transient_error_is_retried_after_the_wait_that_the_server_asked_for():
    slept, seen = [], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    work = Work(ModelStatusError("busy", 429, retry_after=7.0), ModelConnectionError("gone"), "value")
    retry = Retry(attempts=3, base=1.0, uniform=lambda low, high: high)
    path = CallPath(retry=retry, clock=Clock(sleep=sleep), observer=seen.append)
    assert (await path.run(call(work))).value == "value"
    assert slept == [7.0, 2.0]
    assert [(e.attempt, e.delay) for e in seen if isinstance(e, CallRetried)] == [(1, 7.0), (2, 2.0)]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ModelStatusError("bad", 400), 1),
        (ModelStatusError("denied", 401), 1),
        (ModelStatusError("later", 429, retry_after=3600.0), 1),
        (ModelStatusError("down", 503), 3),
        (ValueError("a bug"), 1),
    ],
)
async def test_what_is_not_worth_it_is_not_retried(error, tries):
    async def sleep(seconds: float) -> None:
        pass

    work = Work(error)
    with pytest.raises(type(error)):
        await CallPath(retry=Retry(attempts=3), clock=Clock(sleep=sleep)).run(call(work))
    assert work.started == tries


async def test_no_more_calls_run_than_the_limit_says():
    running = peak = 0

    async def run() -> str:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await turns()
        running -= 1
        return ""

    path = CallPath(limits=Limits(concurrency=3))
    await asyncio.gather(*(path.run(call(run, None)) for _ in range(20)))
    assert peak == 3


def test_settings_out_of_range_are_refused():
    for make in (lambda: Limits(concurrency=0), lambda: Retry(attempts=0), lambda: Retry(base=-1.0)):
        with pytest.raises(ValueError, match=r"must be|cannot be"):
            make()


# -- streams


class Source:
    """A stream whose chunks are let out one by one; an exception among them is raised."""

    def __init__(self, *chunks, gated: bool = False, meta=None, head=None) -> None:
        self.chunks, self.meta, self.head = chunks, meta or {}, head
        self.gate = asyncio.Semaphore(0 if gated else 10**6)
        self.opened = self.closed = 0

    @asynccontextmanager
    async def __call__(self):
        self.opened += 1

        async def read():
            for chunk in self.chunks:
                await self.gate.acquire()
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        try:
            yield Opened(read(), self.meta, self.head)
        finally:
            self.closed += 1


def stream(source, complete=lambda payload, _: payload.endswith(b"."), options=None, **policy) -> StreamCall:
    options = {"repeatable": True} | (options or {})
    return StreamCall("llm", "model", KEY, source, complete, Policy(**policy), **options)


async def read(path: CallPath, source, **options):
    async with path.stream(stream(source, **options)) as outcome:
        return outcome.cache, b"".join([chunk async for chunk in outcome.chunks])


async def test_a_whole_stream_is_replayed():
    path, source = CallPath(cache=Shelf()), Source(b"a", b"b", b".")
    assert await read(path, source) == ("miss", b"ab.")
    assert await read(path, source) == ("hit", b"ab.")
    assert (source.opened, source.closed) == (1, 1)


async def test_a_stream_without_its_end_is_given_but_not_stored():
    shelf = Shelf()
    assert await read(CallPath(cache=shelf), Source(b"a", b"b")) == ("miss", b"ab")
    assert shelf.records == {}


async def test_a_stream_that_breaks_gives_what_came_then_its_error():
    shelf, got = Shelf(), []
    path = CallPath(cache=shelf, retry=Retry(attempts=3, base=0.0))
    source = Source(b"a", ModelConnectionError("gone"))
    with pytest.raises(ModelConnectionError):
        async with path.stream(stream(source)) as outcome:
            got.extend([chunk async for chunk in outcome.chunks])
    assert (got, source.opened, shelf.records) == ([], 1, {})


async def test_an_error_before_the_first_chunk_is_retried_and_else_raised_on_entering():
    attempts = iter([Source(ModelConnectionError("gone")), Source(b".")])
    path = CallPath(retry=Retry(attempts=2, base=0.0))
    assert await read(path, lambda: next(attempts)()) == ("bypass", b".")
    with pytest.raises(ModelConnectionError):
        await read(path, Source(ModelConnectionError("gone")))


async def test_a_later_reader_gets_the_chunks_so_far_and_then_the_rest_live():
    source = Source(b"a", b"b", b"c", b".", gated=True)
    path = CallPath()
    first = asyncio.create_task(read(path, source))
    source.gate.release()
    source.gate.release()
    await turns(20)
    async with path.stream(stream(source)) as outcome:
        chunks = outcome.chunks
        assert [await anext(chunks), await anext(chunks)] == [b"a", b"b"]
        source.gate.release()
        assert await anext(chunks) == b"c"
        source.gate.release()
        assert [chunk async for chunk in chunks] == [b"."]
    assert (outcome.cache, source.opened) == ("joined", 1)
    assert await first == ("bypass", b"abc.")


async def test_a_stream_outlives_its_first_reader_and_ends_with_its_last():
    source = Source(b"a", b"b", gated=True)
    path = CallPath()
    source.gate.release()
    leader = path.stream(stream(source))
    await leader.__aenter__()
    async with path.stream(stream(source)) as outcome:
        await leader.__aexit__(None, None, None)
        assert await anext(outcome.chunks) == b"a"
        assert source.closed == 0
    assert (source.opened, source.closed) == (1, 1)


@pytest.mark.parametrize("mode", ["refresh", "bypass"])
@pytest.mark.parametrize("kind", ["value", "stream"])
async def test_who_wants_a_new_answer_joins_nobody_who_takes_a_stored_one(mode, kind):
    gate, path = asyncio.Event(), CallPath(cache=Shelf())
    work, source = Work(gate=gate), Source(b"a.", gated=True)

    def ask(mode):
        return path.run(call(work, mode=mode)) if kind == "value" else read(path, source, mode=mode)

    tasks = [asyncio.create_task(ask(one)) for one in ("use", mode, mode)]
    await turns()
    assert (work.started, source.opened) == ((2, 0) if kind == "value" else (0, 2))
    gate.set()
    for _ in tasks:
        source.gate.release()
    await asyncio.gather(*tasks)


async def test_a_new_answer_under_way_is_good_enough_for_everybody():
    gate, path = asyncio.Event(), CallPath(cache=Shelf())
    work = Work(gate=gate)
    tasks = [asyncio.create_task(path.run(call(work, mode=mode))) for mode in ("refresh", "use")]
    await turns()
    gate.set()
    assert [outcome.cache for outcome in await asyncio.gather(*tasks)] == ["miss", "joined"]
    assert work.started == 1


@pytest.mark.parametrize("kind", ["value", "stream"])
async def test_a_call_that_may_be_stored_is_stored_also_when_it_joins_one_that_may_not(kind):
    gate, shelf = asyncio.Event(), Shelf()
    path, work, source = CallPath(cache=shelf), Work(gate=gate), Source(b"a", b".", gated=True)

    def ask(cache):
        return path.run(call(work, cache=cache)) if kind == "value" else read(path, source, cache=cache)

    tasks = [asyncio.create_task(ask(cache)) for cache in (False, True, True)]
    await turns()
    gate.set()
    source.gate.release()
    source.gate.release()
    await asyncio.gather(*tasks)
    assert work.started + source.opened == 1
    assert [record.payload for record in shelf.records.values()] == [b"value" if kind == "value" else b"a."]


def test_a_loop_that_is_closed_over_calls_leaves_nothing_behind():
    path = CallPath(cache=Shelf())

    async def leave_in_flight():
        forever = Work(gate=asyncio.Event())
        tasks = [
            asyncio.ensure_future(path.run(call(forever))),
            asyncio.ensure_future(read(path, Source(b"a.", gated=True))),
        ]
        await turns()
        return tasks

    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(leave_in_flight())
    assert len(path._flights) == len(path._tapes) == 1
    running = [*left, *asyncio.all_tasks(loop)]
    loop.close()

    async def after():
        assert (await path.run(call(Work(), cache=False))).value == "value"
        assert await read(path, Source(b"a."), cache=False) == ("bypass", b"a.")

    asyncio.run(after())
    assert len(path._flights) == len(path._tapes) == 0
    for task in running:  # nothing else ends them
        task._log_destroy_pending = False
        with contextlib.suppress(RuntimeError):
            task.get_coro().close()


# -- what a call does not fail for


class Failing(Shelf):
    """A tier of a user's own, with all that a tier may have, which raises."""

    async def get(self, key):
        raise OSError("secret")

    async def put(self, key, record, ttl=None):
        raise OSError("secret")

    def peek(self, key):
        raise OSError("secret")

    async def lease(self, key, owner, seconds, *, unless_stored=True):
        raise OSError("secret")

    async def renew(self, key, owner, seconds):
        raise OSError("secret")

    async def release(self, key, owner, *, void=False):
        raise OSError("secret")


async def test_neither_an_observer_nor_a_tier_nor_a_codec_fails_a_call_and_each_is_told_once(caplog):
    def observer(event):
        raise OSError("secret")

    def encode(value):
        raise OSError("secret")

    path = CallPath(cache=Failing(), observer=observer, retry=Retry(attempts=2, base=0.0))
    for _ in range(2):
        work = Work(ModelConnectionError("gone"), "value")
        assert (await path.run(call(work, encode=encode))).value == "value"
        assert path.peek(stream(Source())) is None
        assert await read(path, Source(b"a.")) == ("miss", b"a.")
    with pytest.raises(ValueError, match="no"):
        await path.run(call(Work(ValueError("no"))))
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert sorted(told) == [
        "a cache tier failed, which counts as a miss",
        "a cache tier failed, which counts as having no leases",
        "an observer failed",
        "what a call gave could not be stored",
    ]
    assert "secret" not in caplog.text
