"""Calls of a tool with `batch=` run as one."""

import asyncio
import threading
from typing import ClassVar

import pytest

from hotloop.cache import MemoryCache
from hotloop.errors import ToolDefinitionError, ToolError, ToolTimeoutError
from hotloop.pipeline import Priority, ToolPipeline
from hotloop.pipeline.batching import Batcher
from hotloop.pipeline.job import Job
from hotloop.pipeline.versions import Versions
from hotloop.toolcall import ToolCall
from hotloop.tools import Batch, ToolRegistry, tool


class Squares:
    """A batched tool, and the batches that it saw."""

    def __init__(self, *, answer=None, sync=False, **options):
        self.seen = []

        def many(calls):
            self.seen.append([call["n"] for call in calls])
            return [call["n"] ** 2 for call in calls] if answer is None else answer(calls)

        async def amany(calls):
            return many(calls)

        batch = Batch(many if sync else amany, window=options.pop("window", 0), size=options.pop("size", 100))

        @tool(batch=batch, **options)
        async def square(n: int) -> int:
            raise AssertionError("runs in batches only")

        self.tool = square

    def pipeline(self, **options):
        return ToolPipeline(ToolRegistry([self.tool]), **options)


def calls(*numbers):
    return [ToolCall("square", {"n": n}) for n in numbers]


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("options", [{}, {"observer": lambda event: None}, {"cache": MemoryCache()}])
@pytest.mark.parametrize("effect", ["external", "pure"])
async def test_calls_that_are_there_together_run_as_one(sync, options, effect):
    squares = Squares(sync=sync, effect=effect)
    async with squares.pipeline(**options) as pipe:
        results = await pipe.run_batch(calls(*range(5)), group_dependent=False)
        assert [result.value for result in results] == [0, 1, 4, 9, 16]
        assert squares.seen == [[0, 1, 2, 3, 4]]
        metrics = pipe.metrics()
        assert (metrics.batch_sizes.count, metrics.batch_sizes.highest) == (1, 5)
        assert (metrics.calls, metrics.failed, metrics.running, metrics.peak) == (5, 0, 0, 1)


async def test_a_full_batch_starts_before_its_window_is_over():
    squares = Squares(window=3600, size=3, effect="external")
    async with squares.pipeline() as pipe:
        results = await asyncio.gather(*(pipe.run(call) for call in calls(1, 2, 3)))
    assert [result.value for result in results] == [1, 4, 9]
    assert squares.seen == [[1, 2, 3]]


def test_the_window_starts_with_the_first_call_and_is_as_long_as_was_said():
    class Clock:
        waits: ClassVar = []

        def __call__(self, seconds, func, gathering):
            self.waits.append((seconds, func, gathering))
            return self

        def cancel(self):
            pass

    clock, started = Clock(), []
    batcher = Batcher(lambda gathering: started.append(len(gathering.entries)), clock)
    made = Squares(window=0.25, size=3).tool
    for _ in range(2):
        batcher.add(made, Job(None, Versions()), None, Priority.NORMAL, print)
    assert ([wait[0] for wait in clock.waits], started) == ([0.25], [])
    clock.waits[0][1](clock.waits[0][2])
    assert started == [2]
    for _ in range(3):
        batcher.add(made, Job(None, Versions()), None, Priority.NORMAL, print)
    assert ([wait[0] for wait in clock.waits], started) == ([0.25, 0.25], [2, 3])
    clock.waits[1][1](clock.waits[1][2])  # a timer that comes late finds nothing
    assert started == [2, 3]


async def test_each_caller_gets_its_own_error():
    cause = KeyError("two")
    squares = Squares(answer=lambda calls: [cause if call["n"] == 2 else call["n"] for call in calls], effect="pure")
    async with squares.pipeline() as pipe:
        results = await pipe.run_batch(calls(1, 2, 3))
    assert [result.value for result in results] == [1, None, 3]
    assert results[1].error.__cause__ is cause
    assert results[1].content == "Error: square failed: KeyError: 'two'"


@pytest.mark.parametrize(
    ("answer", "values", "said"),
    [
        (lambda calls: [7], [7, None, None], "returned 1 results for 3 calls"),
        (lambda calls: [], [None] * 3, "returned 0 results for 3 calls"),
        (lambda calls: [1] * 5, [None] * 3, "returned 5 results for 3 calls"),
        (lambda calls: None, [None] * 3, "returned NoneType, not a list"),
        (lambda calls: [object(), 2, 3], [None, 2, 3], "cannot be written as JSON"),
        (lambda calls: 1 / 0, [None] * 3, "ZeroDivisionError"),
    ],
)
async def test_wrong_answers_become_errors_that_say_so(answer, values, said):
    async with Squares(answer=answer, effect="pure").pipeline() as pipe:
        results = await pipe.run_batch(calls(1, 2, 3))
    assert [result.value for result in results] == values
    assert all(isinstance(result.error, ToolError) and said in result.content for result in results if result.error)


async def test_a_list_that_counts_wrongly_leaves_nobody_waiting():
    class Short(list):
        def __iter__(self):
            return iter([1])

    async with Squares(answer=lambda calls: Short([1, 2, 3]), effect="pure").pipeline() as pipe:
        results = await pipe.run_batch(calls(1, 2, 3))
    assert [result.value for result in results] == [1, None, None]


async def test_identical_calls_run_once_where_they_only_look():
    for effect, seen in (("pure", [[1, 2]]), ("external", [[1, 2, 1]])):
        squares = Squares(effect=effect)
        async with squares.pipeline() as pipe:
            results = await pipe.run_batch(calls(1, 2, 1), group_dependent=False)
            assert [result.value for result in results] == [1, 4, 1]
            assert pipe.metrics().joined == (effect == "pure")
        assert squares.seen == seen


async def test_results_are_kept():
    squares = Squares(effect="pure", cache_ttl=60)
    async with squares.pipeline(cache=MemoryCache()) as pipe:
        await pipe.run_batch(calls(1, 2))
        results = await pipe.run_batch(calls(1, 2, 3))
    assert [(result.value, result.cached) for result in results] == [(1, True), (4, True), (9, False)]
    assert squares.seen == [[1, 2], [3]]


async def test_a_cancelled_caller_leaves_and_the_last_ends_the_batch():
    entered, ended = asyncio.Event(), []

    async def many(calls):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(len(calls))

    @tool(effect="external", batch=Batch(many, window=0))
    async def stall(n: int) -> None: ...

    async with ToolPipeline(ToolRegistry([stall])) as pipe:
        tasks = [asyncio.create_task(pipe.run(ToolCall("stall", {"n": n}))) for n in range(3)]
        await entered.wait()
        for task in tasks:
            assert ended == []
            task.cancel()
            await asyncio.wait([task])
        while not ended:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        assert ended == [3]
        assert pipe.metrics().running == 0


async def test_a_batch_that_takes_too_long_and_callers_that_do_not_wait_so_long():
    async def many(calls):
        await asyncio.Event().wait()

    for options, run in (({"timeout": 0.01}, {}), ({}, {"timeout": 0.01})):
        made = tool(name="stall", effect="pure", batch=Batch(many, window=0), **options)(lambda n=0: n)
        async with ToolPipeline(ToolRegistry([made])) as pipe:
            results = await pipe.run_batch([ToolCall("stall", {})] * 2, **run)
            results.append(await pipe.run(ToolCall("stall", {}), **run))
            assert [type(result.error) for result in results] == [ToolTimeoutError] * 3
            assert pipe.metrics().timeouts == 3
            while pipe.metrics().running:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)


async def test_closing_ends_a_batch_and_says_so():
    async def many(calls):
        await asyncio.Event().wait()

    made = tool(name="stall", effect="pure", batch=Batch(many, window=0))(lambda n=0: n)
    pipe = ToolPipeline(ToolRegistry([made]))
    batch = asyncio.create_task(pipe.run_batch([ToolCall("stall", {"n": n}) for n in range(2)]))
    single = asyncio.create_task(pipe.run(ToolCall("stall", {})))
    while not pipe.metrics().running:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    await pipe.aclose()
    assert all("pipeline was closed" in result.content for result in [*(await batch), await single])


async def test_the_batch_function_of_a_class_gets_its_object():
    class Store:
        def __init__(self):
            self.thread = None

        def many(self, calls):
            self.thread = threading.current_thread()
            return [f"{call['key']} of {type(self).__name__}" for call in calls]

        @tool(effect="external", batch=Batch(many, window=0))
        def look(self, key: str) -> str:
            raise AssertionError

    store = Store()
    async with ToolPipeline(ToolRegistry([store.look])) as pipe:
        assert (await pipe.run(ToolCall("look", {"key": "a"}))).value == "a of Store"
    assert store.thread is not threading.main_thread()


def test_values_out_of_range_are_refused():
    for make in (
        lambda: Batch(1),
        lambda: Batch(len, window=-1),
        lambda: Batch(len, size=0),
        lambda: tool(name="a", batch=len)(len),
        lambda: tool(name="a", max_concurrency=0)(int),
        lambda: tool(name="a", where="moon")(int),
        lambda: tool(name="a", cache_errors=ValueError)(int),
    ):
        with pytest.raises(ToolDefinitionError):
            make()
