"""Tools that compute run in processes, which can be stopped."""

import asyncio
import os

import pytest

from hotloop.errors import ToolDefinitionError, ToolTimeoutError
from hotloop.pipeline import ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, tool
from support import process_tools as made


def pipeline(*tools, **options):
    return ToolPipeline(ToolRegistry(tools), **options)


async def test_a_call_runs_in_a_process_that_is_used_again_and_what_it_prints_is_in_the_result():
    async with pipeline(made.where_am_i) as pipe:
        first = await pipe.run(ToolCall("where_am_i", {"n": 1}))
        second = await pipe.run(ToolCall("where_am_i", {"n": 2}))
        assert first.value["pid"] == second.value["pid"] != os.getpid()
        assert second.value["n"] == 2
        assert second.content.endswith("\n[the tool printed:]\ncounting 2\n")
        assert pipe.metrics().processes == 1
    assert pipe.metrics().processes == 0


async def test_a_process_gets_the_arguments_as_they_were_given():
    async with pipeline(made.sized) as pipe:
        for args in ({"secret": "a"}, '{"secret": "a"}'):
            assert (await pipe.run(ToolCall("sized", args))).value == 1


async def test_failures_say_what_happened():
    async with pipeline(made.fail, made.unfit) as pipe:
        raised, left, killed = [
            (await pipe.run(ToolCall("fail", {"how": how}))).content for how in ("raise", "exit", "")
        ]
        assert raised == "Error: fail failed: ValueError: boom"
        assert left == "Error: fail failed: SystemExit: 3"
        assert "its process ended by signal 9" in killed
        assert "cannot be written as JSON" in (await pipe.run(ToolCall("unfit", {}))).content
        assert (await pipe.run(ToolCall("fail", {"how": "raise"}))).content == raised  # in a new process


async def test_a_call_that_takes_too_long_or_is_cancelled_is_killed(tmp_path):
    mark = tmp_path / "mark"
    async with pipeline(made.spin) as pipe:
        late = await pipe.run(ToolCall("spin", {"mark": str(mark)}))
        assert isinstance(late.error, ToolTimeoutError)
        assert "ended with its process" in late.content
        mark.unlink(missing_ok=True)
        task = asyncio.create_task(pipe.run(ToolCall("spin", {"mark": str(mark)})))
        while not (mark.exists() or task.done()):  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        while (metrics := pipe.metrics()).abandoned or metrics.processes:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        assert metrics.killed >= 1
        seen = mark.read_text() if mark.exists() else None
        await asyncio.sleep(0.02)
        assert (mark.read_text() if mark.exists() else None) == seen


def test_what_a_process_cannot_import_is_refused():
    async def waits() -> None: ...

    for func in (waits, lambda: 1, type("Thing", (), {"__call__": lambda self: 1})()):
        with pytest.raises(ToolDefinitionError, match="top of a module"):
            tool(name="odd", where="process")(func)


async def test_a_function_that_is_hidden_behind_another_is_refused(monkeypatch):
    hidden = tool(where="process")(made.plain)
    monkeypatch.setattr(made, "plain", len)
    async with pipeline(hidden) as pipe:
        assert "needs a function that a process can import" in (await pipe.run(ToolCall("plain", {"n": 1}))).content
