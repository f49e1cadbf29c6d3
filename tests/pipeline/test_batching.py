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
        batcher.add(made, [Job(None, Versions(), 0.0)], None, Priority.NORMAL, print)
    assert ([wait[0] for wait in clock.waits], started) == ([0.25], [])
    clock.waits[0][1](clock.waits[0][2])
    assert started == [2]
    for _ in range(3):
        batcher.add(made, [Job(None, Versions(), 0.0)], None, Priority.NORMAL, print)
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


class TestCallsOfOneRound:
    """They are added together, and stay calls of their own."""

    async def test_they_fill_batches_and_the_room_that_others_left(self):
        squares = Squares(size=3, effect="external", resources=[], window=3600)
        async with squares.pipeline() as pipe:
            single = asyncio.create_task(pipe.run(calls(9)[0]))
            await asyncio.sleep(0)
            async with asyncio.timeout(60):
                results = await pipe.run_batch(calls(*range(8)))
            assert [result.value for result in results] == [n * n for n in range(8)]
            assert (await single).value == 81
        assert squares.seen == [[9, 0, 1], [2, 3, 4], [5, 6, 7]]

    async def test_neighbours_of_other_tools_and_with_errors_change_nothing(self):
        squares, halves = Squares(effect="external", resources=[]), Squares(answer=lambda calls: [None] * len(calls))
        other = tool(name="half", effect="external", resources=[], batch=Batch(halves.tool.batch.func, window=0))(
            lambda n: n
        )
        alone = tool(name="alone", effect="external", resources=[])(lambda n: -n)
        names = ["square", "half", "square", "alone", "square", "none", "square", "half"]
        async with ToolPipeline(ToolRegistry([squares.tool, other, alone])) as pipe:
            asked = [ToolCall(name, {"n": n}) for n, name in enumerate(names)] + [ToolCall("square", {"n": "x"})]
            results = await pipe.run_batch(asked)
            shown = [result.value async for result in pipe.as_completed(asked)]
        assert [result.call for result in results] == asked
        assert [result.value for result in results] == [0, None, 4, -3, 16, None, 36, None, None]
        assert [result.error is None for result in results] == [True] * 5 + [False] + [True] * 2 + [False]
        assert squares.seen == [[0, 2, 4, 6]] * 2
        assert sorted(map(str, shown)) == sorted(str(result.value) for result in results)

    async def test_those_that_conflict_keep_their_order(self):
        squares = Squares(effect="write", resources=lambda n: [str(n % 2)])
        async with squares.pipeline() as pipe:
            results = await pipe.run_batch(calls(*range(5)))
        assert [result.value for result in results] == [0, 1, 4, 9, 16]
        assert squares.seen == [[0, 1], [2, 3], [4]]

    @pytest.mark.parametrize("how", ["cancel", "timeout"])
    async def test_they_leave_together_and_others_stay(self, how):
        squares = Squares(size=4, effect="external", resources=[], window=3600)
        async with squares.pipeline() as pipe:
            stays = asyncio.create_task(pipe.run(calls(7)[0]))
            await asyncio.sleep(0)
            leaving = asyncio.create_task(pipe.run_batch(calls(1, 2), timeout=0.001 if how == "timeout" else None))
            await asyncio.sleep(0)
            if how == "cancel":
                leaving.cancel()
            await asyncio.wait([leaving])
            if how == "timeout":
                assert all(isinstance(result.error, ToolTimeoutError) for result in leaving.result())
            async with asyncio.timeout(60):  # else a batch with less room would wait for its window
                await pipe.run_batch(calls(3, 4, 5))
            assert (await stays).value == 49
            assert pipe.metrics().running == 0
        assert squares.seen == [[7, 3, 4, 5]]

    async def test_an_error_of_all_is_no_longer_for_each(self):
        async def many(calls):
            await pipe.aclose()
            await asyncio.sleep(0)

        made = tool(name="stall", effect="external", resources=[], batch=Batch(many, window=0))(lambda n: n)
        pipe = ToolPipeline(ToolRegistry([made]))
        results = await pipe.run_batch([ToolCall("stall", {"n": n}) for n in range(50)])
        assert len({id(result.error) for result in results}) == 1
        frames, trace = 0, results[0].error.__traceback__
        while trace is not None:
            frames, trace = frames + 1, trace.tb_next
        assert frames < 50
