"""Time limits, cancellation and tools that misbehave: nobody is held, nothing runs on unseen."""

import asyncio
import itertools
import logging
import subprocess
import sys
import threading
import time

import pytest

from hotloop.config import Config
from hotloop.errors import ToolArgumentsError, ToolTimeoutError
from hotloop.pipeline import ToolPipeline
from hotloop.pipeline.drive import BLOCKED_AFTER
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, tool


def pipeline(*tools, **settings):
    return ToolPipeline(ToolRegistry(tools), config=Config().replace(async_pipeline=settings))


@pytest.fixture
def stubborn():
    """Tools that swallow their cancellation and go on for ever."""
    steps = []

    async def swallow() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                steps.append("swallowed")

    async def swallow_all() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except BaseException:  # noqa: BLE001 - that is its misbehaviour
                steps.append("swallowed")

    return steps, [swallow, swallow_all]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["tool", "caller", "cancel", "batch", "close"])
async def test_a_tool_that_swallows_its_cancellation_holds_nobody(stubborn, which, how):
    steps, tools = stubborn
    made = tool(name="swallow", timeout=0.01 if how == "tool" else None)(tools[which])
    async with pipeline(made, cancel_grace=0.01) as pipe:
        call = ToolCall("swallow", {})
        if how in ("tool", "caller"):
            result = await pipe.run(call, timeout=0.01 if how == "caller" else None)
            assert isinstance(result.error, ToolTimeoutError)
            if how == "tool":
                assert "given up" in result.content
        else:
            run = pipe.run_batch([call] * 2, group_dependent=False) if how == "batch" else pipe.run(call)
            task = asyncio.create_task(run)
            while not pipe.metrics().running:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
            if how == "close":
                await pipe.aclose()
                assert "pipeline was closed" in (await task).content
            else:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert pipe.metrics().dropped == (2 if how == "batch" else 1)
        assert pipe.metrics().running == 0
        count = len(steps)
        await asyncio.sleep(0.02)
        assert len(steps) == count  # it is never resumed
    assert asyncio.current_task().cancelling() == 0


async def test_a_cancellation_that_a_tool_swallows_is_still_the_callers():
    entered = asyncio.Event()

    async def swallow() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "fine"

    async with pipeline(swallow) as pipe:
        task = asyncio.create_task(pipe.run(ToolCall("swallow", {})))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_tools_own_time_limits_and_its_clean_up_are_left_alone():
    steps = []

    async def retries() -> str:
        for _ in range(3):
            try:
                async with asyncio.timeout(0.005):
                    await asyncio.Event().wait()
            except TimeoutError:
                steps.append("again")
        return "done"

    async def cleans() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned")

    async with pipeline(retries, cleans, cancel_grace=30.0) as pipe:
        assert (await pipe.run(ToolCall("retries", {}))).value == "done"
        assert isinstance((await pipe.run(ToolCall("cleans", {}), timeout=0.01)).error, ToolTimeoutError)
        assert pipe.metrics().dropped == 0
    assert steps == ["again"] * 3 + ["cleaned"]


async def test_a_callers_limit_counts_from_submission_and_the_order_is_kept():
    gate, log = asyncio.Event(), []

    @tool(effect="write", resources=["shelf"])
    async def put(n: int) -> int:
        log.append(("start", n))
        if n == 0:
            await gate.wait()
        log.append(("end", n))
        return n

    async with pipeline(put) as pipe:
        batch = asyncio.create_task(pipe.run_batch([ToolCall("put", {"n": n}) for n in (0, 1)]))
        while not log:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        late = await pipe.run_batch([ToolCall("put", {"n": 5}), ToolCall("put", {"n": 6})], timeout=60)
        assert [result.value for result in late] == [5, 6]  # other batches have an order of their own
        gate.set()
        await batch
        log.clear()
        gate.clear()
        asyncio.get_running_loop().call_later(0.05, gate.set)
        results = await pipe.run_batch([ToolCall("put", {"n": n}) for n in (0, 1, 2)], timeout=0.01)
        assert [type(result.error) for result in results] == [ToolTimeoutError] * 3
        assert log == [("start", 0)]  # it was cancelled, and those behind it never started


async def test_what_tools_print_is_in_their_results_and_nowhere_else(capsys):
    gate = threading.Barrier(2, timeout=30)

    @tool(effect="read", resources=["a"])
    def threaded(n: int) -> int:
        print("thread", n)
        gate.wait()
        sys.stdout.buffer.write(b"bytes\n")
        return n

    @tool(effect="pure", cache_ttl=60)
    async def looped(n: int) -> str:
        print("loop", n, end="")
        await asyncio.sleep(0)
        print("!" * 20_000)
        return "value"

    def silent() -> None: ...

    from hotloop.cache import MemoryCache

    async with ToolPipeline(ToolRegistry([threaded, looped, silent]), cache=MemoryCache()) as pipe:
        results = await pipe.run_batch([ToolCall("threaded", {"n": n}) for n in (1, 2)])
        assert [r.content for r in results] == [f"{n}\n[the tool printed:]\nthread {n}\nbytes\n" for n in (1, 2)]
        assert [r.value for r in results] == [1, 2]
        for cached in (False, True):
            long = await pipe.run(ToolCall("looped", {"n": 3}))
            assert (long.value, long.cached) == ("value", cached)
            assert long.content.startswith("value\n[the tool printed:]\nloop 3!!!")
            assert "[cut: 20007 characters were printed]" in long.content
        assert (await pipe.run(ToolCall("silent", {}))).content == "null"
        print("mine")
        async with ToolPipeline(ToolRegistry([silent])):
            pass
        print("still mine")
    print("after")
    assert capsys.readouterr().out == "mine\nstill mine\nafter\n"


async def test_a_step_that_holds_the_event_loop_is_reported(caplog):
    async def blocks() -> None:
        time.sleep(BLOCKED_AFTER * 1.1)  # noqa: ASYNC251 - that is its misbehaviour

    async with pipeline(blocks) as pipe:
        with caplog.at_level(logging.WARNING):
            assert (await pipe.run(ToolCall("blocks", {}))).error is None
        assert pipe.metrics().blocked == 1
    assert "blocks held the event loop" in caplog.text


async def test_huge_arguments_are_refused():
    def fine(text: str) -> int:
        return len(text)

    async with pipeline(fine, max_argument_chars=100) as pipe:
        assert (await pipe.run(ToolCall("fine", '{"text": "a"}'))).value == 1
        result = await pipe.run(ToolCall("fine", '{"text": "%s"}' % ("a" * 100)))
        assert isinstance(result.error, ToolArgumentsError)
        assert "112 characters of JSON, and 100 are allowed" in result.content
        deep = await pipe.run(ToolCall("fine", "[" * 99))
        assert isinstance(deep.error, ToolArgumentsError)


async def test_a_thread_that_runs_on_is_reported_when_the_pipeline_closes(caplog):
    release, entered = threading.Event(), threading.Event()

    @tool(timeout=0.01)
    def stuck() -> None:
        entered.set()
        release.wait()

    pipe = pipeline(stuck)
    assert isinstance((await pipe.run(ToolCall("stuck", {}))).error, ToolTimeoutError)
    with caplog.at_level(logging.WARNING):
        await pipe.aclose()
    release.set()
    assert "run on in threads, which cannot be stopped: 1" in caplog.text


async def test_metrics_tell_times_sizes_and_rates():
    async def quick(n: int) -> int:
        await asyncio.sleep(0)
        return n

    made = tool(effect="pure")(quick)
    async with pipeline(made, max_concurrency=2) as pipe:
        await pipe.run_batch([ToolCall("quick", {"n": n}) for n in range(10)])
        metrics = pipe.metrics()
    assert metrics.calls == metrics.run_time.count == metrics.queue_time.count == 10
    for spread in (metrics.run_time, metrics.queue_time):
        assert 0 < spread.p50 <= spread.p95 <= spread.p99 <= spread.highest
    assert 0.999 <= metrics.concurrency <= 2.001  # but for rounding, exact
    assert metrics.peak == 2
    assert metrics.hit_rate == 0.0


async def test_configure_takes_effect_on_the_next_call():
    running = peak = 0

    @tool(effect="external", resources=[])
    async def work(n: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1

    async with pipeline(work, max_concurrency=1) as pipe:
        for count in (1, 5, 2):
            pipe.configure(max_concurrency=count)
            peak = 0
            await pipe.run_batch([ToolCall("work", {"n": n}) for n in range(10)])
            assert peak == count
        pipe.configure(timeout=0.001)

        with pytest.raises(ValueError, match="max_concurrency must be"):
            pipe.configure(max_concurrency=0)


def test_a_tool_that_refuses_to_end_does_not_hold_the_interpreter():
    program = """
import asyncio
from hotloop import ToolCall, ToolPipeline, ToolRegistry

async def stubborn() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            pass

async def main():
    async with ToolPipeline(ToolRegistry([stubborn])) as pipe:
        pipe.configure(cancel_grace=0.01)
        print((await pipe.run(ToolCall("stubborn", {}), timeout=0.01)).content)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "no result after 0.01 s" in ended.stdout


class Mute(Exception):  # noqa: N818 - it says nothing
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize("sync", [True, False])
async def test_whatever_an_error_says_the_others_keep_their_results(sync):
    def act(kind: str) -> object:
        match kind:
            case "mute":
                raise Mute
            case "odd":
                raise ValueError("\ud800")
            case "print":
                print("\ud800")
            case "endless":
                return itertools.count()
            case "generator":
                return (n for n in range(3))
        return kind

    async def later(kind: str) -> object:
        await asyncio.sleep(0)
        return act(kind)

    kinds = ("mute", "odd", "print", "endless", "generator", "fine")
    made = tool(name="act", effect="pure")(act if sync else later)
    async with ToolPipeline(ToolRegistry([made])) as pipe:
        mute, odd, printed, endless, generator, fine = await pipe.run_batch(
            [ToolCall("act", {"kind": k}) for k in kinds]
        )
    assert mute.content == "Error: act failed: Mute"
    assert odd.content == "Error: act failed: ValueError: ?"
    assert printed.content.endswith("[the tool printed:]\n?\n")
    assert "return a list" in endless.content
    assert "return a list" in generator.content
    assert fine.value == "fine"


async def test_work_that_ends_in_the_moment_of_its_cancellation_leaves_its_thread_free(monkeypatch):
    loop, working, gate, told = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), threading.Event()
    tell = loop.call_soon_threadsafe

    @tool(effect="external", resources=[])
    def work() -> None:
        tell(working.set)
        gate.wait()

    def telling(*args):
        handle = tell(*args)
        told.set()
        return handle

    async with ToolPipeline(ToolRegistry([work])) as pipe:
        task = asyncio.create_task(pipe.run(ToolCall("work", {})))
        await working.wait()
        monkeypatch.setattr(loop, "call_soon_threadsafe", telling)
        gate.set()
        told.wait()  # the end of the work is the loop's next turn, and the cancellation comes before it
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert (pipe.metrics().abandoned, pipe.metrics().threads) == (0, 1)
        assert (await pipe.run(ToolCall("work", {}))).error is None
        assert pipe.metrics().threads == 1
