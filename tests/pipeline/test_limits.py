"""Limits of one tool and of one resource, beside the number of places."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotloop.pipeline import Priority, ToolPipeline
from hotloop.pipeline.queue import Limit, Places
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, tool


class Busy:
    """Counts the calls that run, by what they count for."""

    def __init__(self):
        self.now, self.peak = Counter(), Counter()

    async def work(self, *names):
        for name in names:
            self.now[name] += 1
            self.peak[name] = max(self.peak[name], self.now[name])
        for _ in range(3):
            await asyncio.sleep(0)
        for name in names:
            self.now[name] -= 1


async def test_tools_and_resources_have_limits_and_others_pass(tmp_path):
    busy = Busy()

    @tool(effect="read", resources=["x"], max_concurrency=2)
    async def narrow(n: int) -> None:
        await busy.work("narrow", "all")

    @tool(effect="read", resources=lambda n: [tmp_path / str(n)])
    async def wide(n: int) -> None:
        await busy.work("wide", "all")

    calls = [ToolCall(name, {"n": n}) for name in ("narrow", "wide") for n in range(12)]
    for options, of_narrow, of_wide in (
        ({}, 2, 6),
        ({"tool_limits": {"narrow": 3}}, 3, 5),
        ({"resource_limits": {"x": 1}}, 1, 7),
        ({"resource_limits": {tmp_path: 2, "y": 1}}, 2, 2),
        ({"resource_limits": {tmp_path / "3": 1}}, 2, 6),
    ):
        busy.peak.clear()
        async with ToolPipeline(ToolRegistry([narrow, wide]), max_concurrency=8, **options) as pipe:
            await pipe.run_batch(calls)
            assert pipe.metrics().running == 0
        assert busy.peak["narrow"] == of_narrow
        assert busy.peak["wide"] >= of_wide if of_wide > 2 else busy.peak["wide"] == of_wide
        assert busy.peak["all"] <= 8


async def test_an_undeclared_call_counts_for_every_resource():
    busy = Busy()

    async def any_(n: int) -> None:
        await busy.work("any")

    made = tool(name="any")(any_)
    for options, peak in (({}, 1), ({"overlap_undeclared": True}, 5)):
        busy.peak.clear()
        async with ToolPipeline(ToolRegistry([made]), resource_limits={"x": 1}, **options) as pipe:
            await pipe.run_batch([ToolCall("any", {"n": n}) for n in range(5)], group_dependent=False)
        assert busy.peak["any"] == peak


def test_bad_limits_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        ToolPipeline(ToolRegistry(), resource_limits={"x": 0})


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(Priority), st.sets(st.integers(0, 2))), max_size=40),
    st.integers(1, 5),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.data(),
)
def test_no_limit_is_ever_passed_and_nobody_waits_who_could_go(calls, count, sizes, data):
    async def main():
        places, limits = Places(count), [Limit(size) for size in sizes]
        running: list[tuple[Limit, ...]] = []
        waiting: dict[asyncio.Task, tuple[Limit, ...]] = {}

        async def take(priority, under):
            await places.take(priority, under)
            running.append(under)

        async def turn():
            for _ in range(3):
                await asyncio.sleep(0)
            for task in [task for task in waiting if task.done()]:
                del waiting[task]
            assert len(running) == count - places.free <= count
            for limit in limits:
                assert sum(limit in under for under in running) == limit.count - limit.free <= limit.count
            if places.free:
                assert not any(all(limit.free for limit in under) for under in waiting.values())
            assert places.waiting == len(waiting)

        for priority, numbers in calls:
            under = tuple(limits[number] for number in sorted(numbers))
            waiting[asyncio.create_task(take(priority, under))] = under
            await turn()
            for _ in range(data.draw(st.integers(0, 2))):
                if running:
                    places.give(running.pop(data.draw(st.integers(0, len(running) - 1))), 0.0)
                    await turn()
            if waiting and data.draw(st.booleans()):
                next(iter(waiting)).cancel()
                await turn()
        while running:
            places.give(running.pop(), 0.0)
            await turn()
        assert not waiting

    asyncio.run(main())


@pytest.mark.parametrize("close", [False, True])
async def test_a_long_batch_keeps_few_tasks_and_each_call_has_its_result(close):
    tasks = []

    @tool(effect="external", resources=[])
    async def note(n: int) -> int:
        tasks.append(len(asyncio.all_tasks()))
        await asyncio.sleep(0)
        return n

    async with ToolPipeline(ToolRegistry([note]), max_concurrency=4) as pipe:
        batch = asyncio.create_task(pipe.run_batch([ToolCall("note", {"n": n}) for n in range(2_000)]))
        if close:
            while len(tasks) < 500:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
            await pipe.aclose()
        results = await batch
    assert max(tasks) < 150
    if close:
        assert sum(result.error is None for result in results) < 600
        assert "pipeline was closed" in results[-1].content
    else:
        assert [result.value for result in results] == list(range(2_000))


async def test_calls_under_a_limit_do_not_hold_those_behind_them_back():
    entered, release = asyncio.Event(), asyncio.Event()

    @tool(effect="external", resources=[], max_concurrency=1)
    async def narrow(n: int) -> None:
        await release.wait()

    @tool(effect="external", resources=[])
    async def wide() -> None:
        entered.set()

    async with ToolPipeline(ToolRegistry([narrow, wide]), max_concurrency=2) as pipe:
        calls = [*(ToolCall("narrow", {"n": n}) for n in range(500)), ToolCall("wide", {})]
        batch = asyncio.create_task(pipe.run_batch(calls))
        await entered.wait()
        release.set()
        assert not any(result.error for result in await batch)
