"""Calls that come to their result without waiting, and those that wait after all, are one to whoever made them."""

import asyncio
import time

import pytest
from pydantic import BaseModel, field_serializer

from hotloop.errors import ToolTimeoutError
from hotloop.pipeline import ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, tool
from hotloop.tools.effects import access


@tool(effect="external", resources=["door"])
async def step(turns: int, fail: bool = False) -> str:
    """Wait for so many turns of the loop."""
    print("before")
    for _ in range(turns):
        await asyncio.sleep(0)
    print("after")
    if fail:
        raise ValueError("no")
    return "done"


@pytest.mark.parametrize("terms", [{}, {"timeout": 3600}])
@pytest.mark.parametrize("fail", [False, True])
async def test_waiting_changes_nothing_but_the_time(fail, terms):
    seen = []
    for turns in (0, 1, 3):
        async with ToolPipeline(ToolRegistry([step])) as pipe:
            result = await pipe.run(ToolCall("step", {"turns": turns, "fail": fail}), **terms)
            again = await pipe.run_batch([ToolCall("step", {"turns": turns, "fail": fail})] * 2, **terms)
            metrics = pipe.metrics()
            seen.append(
                [(one.value, one.content, type(one.error)) for one in (result, *again)]
                + [metrics.calls, metrics.failed, metrics.running, metrics.peak, metrics.cancelled, metrics.blocked]
                + [metrics.run_time.count, metrics.queue_time.count, len(pipe._engine.active)]
            )
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0][1].startswith(
        "Error: step failed: ValueError: no" if fail else "done\n[the tool printed:]\nbefore"
    )


async def test_what_a_nested_call_prints_stays_its_own_when_it_waits():
    @tool
    async def outer() -> str:
        print("outer 1")
        inner = await pipe.run(ToolCall("step", {"turns": 1}))
        print("outer 2")
        return inner.content

    async with ToolPipeline(ToolRegistry([outer, step])) as pipe:
        result = await pipe.run(ToolCall("outer", {}))
    assert result.content == ("done\n[the tool printed:]\nbefore\nafter\n\n[the tool printed:]\nouter 1\nouter 2\n")


async def test_a_time_limit_counts_from_the_first_step():
    @tool(timeout=0.01)
    async def late(waits: bool) -> str:
        time.sleep(0.02)  # noqa: ASYNC251 - it holds the loop, so nothing can end it here
        for _ in range(3 * waits):
            await asyncio.sleep(0)
        return "done"

    async with ToolPipeline(ToolRegistry([late])) as pipe:
        assert isinstance((await pipe.run(ToolCall("late", {"waits": True}))).error, ToolTimeoutError)
        assert (await pipe.run(ToolCall("late", {"waits": False}))).value == "done"
        assert pipe.metrics().running == 0


async def test_outside_of_a_task_a_call_may_run_and_not_wait():
    ended = asyncio.get_running_loop().create_future()

    def drive(turns):
        try:
            pipe.run(ToolCall("step", {"turns": turns})).send(None)
        except StopIteration as stop:
            ended.set_result(stop.value)

    async with ToolPipeline(ToolRegistry([step])) as pipe:
        for turns, said in ((0, "done"), (1, "Error: step failed: RuntimeError: a tool runs in a task")):
            ended = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(drive, turns)
            assert (await ended).content.startswith(said)
            assert pipe.metrics().running == 0


async def test_what_is_read_has_no_version_while_a_write_is_on_and_another_afterwards():
    entered, leave = asyncio.Event(), asyncio.Event()
    reads = []

    @tool(effect="write", resources=["door"])
    async def write() -> None:
        entered.set()
        await leave.wait()

    @tool(effect="read", resources=["door"])
    async def read() -> int:
        reads.append(pipe._engine.versions.of(access("read", ["door"])))
        return len(reads)

    async with ToolPipeline(ToolRegistry([write, read])) as pipe:
        await pipe.run(ToolCall("read", {}))
        writing = asyncio.create_task(pipe.run(ToolCall("write", {})))
        await entered.wait()
        await pipe.run(ToolCall("read", {}))
        leave.set()
        await writing
        await pipe.run(ToolCall("read", {}))
    before, during, after = reads
    assert before is not None
    assert during is None
    assert after not in (None, before)


class Loud(BaseModel):
    """A value that prints while it is written down."""

    n: int

    @field_serializer("n")
    def write(self, n: int) -> int:
        print("writing")
        return n


@pytest.mark.parametrize("effect", ["external", "pure"])
@pytest.mark.parametrize("turns", [0, 1])
async def test_what_a_value_prints_while_it_is_written_down_is_told_too(turns, effect, capsys):
    @tool(effect=effect)
    async def give(fit: bool) -> Loud | object:
        for _ in range(turns):
            await asyncio.sleep(0)
        return Loud(n=1) if fit else object()

    async with ToolPipeline(ToolRegistry([give])) as pipe:
        told = (await pipe.run(ToolCall("give", {"fit": True}))).content
        wrong = await pipe.run(ToolCall("give", {"fit": False}))
        assert pipe.metrics().running == 0
    assert told == '{"n":1}\n[the tool printed:]\nwriting\n'
    assert "cannot be written as JSON" in wrong.content
    assert capsys.readouterr().out == ""
