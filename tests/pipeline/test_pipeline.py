"""Running calls: order, conflicts, errors, time-outs, cancellation, threads, results that are shared or kept."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from hotloop.cache import MemoryCache
from hotloop.config import Config
from hotloop.errors import ToolArgumentsError, ToolError, ToolTimeoutError, UnknownToolError
from hotloop.observe.events import CallFinished
from hotloop.pipeline import Priority, ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, Touches, tool
from support.settled import settle


class Meeting:
    """Calls that end only when so many of them are there at once: shows that they overlap."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.here = 0
        self.full = asyncio.Event()

    async def join(self) -> None:
        self.here += 1
        if self.here == self.size:
            self.full.set()
        await self.full.wait()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the threads and tasks that it waits for have no event to set
        await asyncio.sleep(0)


def pipeline(*tools, **options):
    return ToolPipeline(ToolRegistry(tools), **options)


class TestResults:
    async def test_a_result_tells_value_content_and_time(self):
        @tool(effect="pure")
        async def double(n: int) -> dict:
            return {"n": 2 * n}

        async with pipeline(double) as pipe:
            call = ToolCall("double", '{"n": 4}', "id-1")
            result = await pipe.run(call)
        assert result.call is call
        assert (result.value, result.content, result.error, result.cached) == ({"n": 8}, '{"n":8}', None, False)
        assert result.seconds > 0

    async def test_results_come_in_the_order_of_the_calls(self):
        gates = [asyncio.Event() for _ in range(5)]

        @tool(effect="pure")
        async def wait(n: int) -> int:
            await gates[n].wait()
            if n:
                gates[n - 1].set()
            return n

        gates[-1].set()  # the last ends first
        calls = [ToolCall("wait", {"n": n}) for n in range(5)]
        async with pipeline(wait) as pipe:
            assert [result.value for result in await pipe.run_batch(calls)] == [0, 1, 2, 3, 4]
            for gate in gates[:-1]:
                gate.clear()
            assert [result.value async for result in pipe.as_completed(calls)] == [4, 3, 2, 1, 0]
            assert await pipe.run_batch([]) == []

    @pytest.mark.parametrize("is_async", [True, False])
    async def test_one_failing_call_leaves_the_others_alone(self, is_async):
        cause = ValueError("boom 3")

        def body(n: int):
            if n == 3:
                raise cause
            return n

        async def abody(n: int):
            return body(n)

        made = tool(name="body", effect="pure")(abody if is_async else body)
        async with pipeline(made) as pipe:
            results = await pipe.run_batch([ToolCall("body", {"n": n}) for n in range(5)])
        assert [result.value for result in results] == [0, 1, 2, None, 4]
        assert results[3].content == "Error: body failed: ValueError: boom 3"
        assert isinstance(results[3].error, ToolError)
        assert results[3].error.__cause__ is cause
        assert pipe.metrics().failed == 1

    async def test_bad_calls_become_results_that_say_so(self):
        def fine(n: int) -> int:
            return n

        async with pipeline(fine) as pipe:
            results = await pipe.run_batch(
                [
                    ToolCall("fin", "{}"),
                    ToolCall("fine", "{"),
                    ToolCall("fine", '{"m": 1}'),
                    ToolCall("fine", '{"n": 1}'),
                ]
            )
        assert [type(result.error) for result in results] == [
            UnknownToolError,
            ToolArgumentsError,
            ToolArgumentsError,
            type(None),
        ]
        assert "did you mean fine?" in results[0].content

    @pytest.mark.parametrize("is_async", [True, False])
    @pytest.mark.parametrize(
        ("raised", "said"),
        [
            (SystemExit(3), "SystemExit: 3"),
            (StopIteration("x"), "StopIteration"),
            (asyncio.CancelledError(), "ancelled"),
            (TimeoutError("own"), "TimeoutError: own"),
            (RecursionError("deep"), "RecursionError: deep"),
            (ToolError("as it is"), "Error: as it is"),
            (BaseException(), "BaseException"),
            (BaseExceptionGroup("many", [KeyboardInterrupt()]), "many"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
    )
    async def test_whatever_a_tool_raises_becomes_its_result(self, is_async, raised, said):
        def fail() -> None:
            raise raised

        async def afail() -> None:
            raise raised

        for declared in ({}, {"effect": "pure"}, {"timeout": 60.0}):
            async with pipeline(tool(name="fail", **declared)(afail if is_async else fail)) as pipe:
                result = await pipe.run(ToolCall("fail", "{}"))
            assert isinstance(result.error, ToolError)
            assert not isinstance(result.error, ToolTimeoutError)
            assert said in result.content

    async def test_values_without_a_text_become_errors(self):
        def odd() -> object:
            return object()

        async with pipeline(odd) as pipe:
            result = await pipe.run(ToolCall("odd", "{}"))
        assert "cannot be written as JSON" in result.content

    async def test_the_events_tell_of_each_call(self):
        def fine() -> int:
            return 1

        seen = []
        async with pipeline(fine, observer=seen.append) as pipe:
            await pipe.run_batch([ToolCall("fine", "{}", "a"), ToolCall("missing", "{}", "b")])
        ends = {event.id: event for event in seen if isinstance(event, CallFinished)}
        assert ends["a"].error is None
        assert "no tool 'missing'" in ends["b"].error


class TestConflicts:
    async def test_calls_that_do_not_conflict_overlap(self):
        meeting = Meeting(5)

        @tool(effect="read", resources=lambda what: [what])
        async def look(what: str) -> None:
            await meeting.join()

        @tool(effect="write", resources=lambda what: [what])
        async def change(what: str) -> None:
            await meeting.join()

        @tool(effect="pure")
        async def think() -> None:
            await meeting.join()

        calls = [
            ToolCall(name, {"what": what})
            for name, what in (("look", "a"), ("look", "a"), ("change", "b"), ("change", "c"))
        ]
        async with pipeline(look, change, think, config=Config().replace(async_pipeline={"dedupe": False})) as pipe:
            results = await pipe.run_batch([*calls, ToolCall("think", "{}")])
        assert all(result.error is None for result in results)

    async def test_undeclared_calls_keep_their_order_unless_told_otherwise(self):
        async def nap(n: int) -> int:
            order.append(n)
            await asyncio.sleep(0)
            order.append(n)
            return n

        calls = [ToolCall("nap", {"n": n}) for n in range(3)]
        for options, group, serial in (
            ({}, True, True),
            ({}, False, False),
            ({"overlap_undeclared": True}, True, False),
        ):
            order: list[int] = []
            async with pipeline(nap, **options) as pipe:
                await pipe.run_batch(calls, group_dependent=group)
            assert (order == [0, 0, 1, 1, 2, 2]) is serial
            assert sorted(order) == [0, 0, 1, 1, 2, 2]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["get", "put", "move", "every"]), st.sampled_from("abc"), st.sampled_from("abc")),
            max_size=12,
        ),
        st.integers(1, 6),
        st.randoms(use_true_random=False),
        st.sampled_from(Priority),
    )
    def test_any_schedule_gives_the_state_and_the_results_of_the_serial_order(self, work, places, random, priority):
        async def run(concurrency):
            state = dict.fromkeys("abc", "")

            async def pauses():
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)

            @tool(effect="read", resources=lambda x: [x])
            async def get(x: str, y: str) -> str:
                await pauses()
                return state[x]

            @tool(effect="write", resources=lambda x: [x])
            async def put(x: str, y: str) -> None:
                before = state[x]
                await pauses()
                state[x] = before + y

            @tool(effect="write", resources=lambda x, y: Touches(reads=[x], writes=[y]))
            async def move(x: str, y: str) -> None:
                moved = state[x]
                await pauses()
                state[y] = f"({moved})"

            async def every(x: str, y: str) -> str:  # undeclared
                seen = "".join(state.values())
                await pauses()
                state[y] += seen[:5]
                return seen

            async with pipeline(get, put, move, every, max_concurrency=concurrency) as pipe:
                calls = [ToolCall(name, {"x": x, "y": y}) for name, x, y in work]
                if concurrency == 0:
                    results = [await pipe.run(call) for call in calls]
                else:
                    results = await pipe.run_batch(calls, priority=priority)
            return state, [result.content for result in results]

        async def serial():
            return await run(1)

        assert asyncio.run(run(places)) == asyncio.run(serial())


class TestLimits:
    async def test_no_more_calls_run_than_there_are_places(self):
        running = peak = 0

        @tool(effect="read")
        async def look(n: int) -> None:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0)
            running -= 1

        async with pipeline(look, max_concurrency=3) as pipe:
            await pipe.run_batch([ToolCall("look", {"n": n}) for n in range(20)])
        assert peak == 3 == pipe.metrics().peak

    async def test_waiting_calls_go_by_priority(self):
        order = []
        gate = asyncio.Event()

        @tool(effect="read")
        async def look(n: int) -> None:
            order.append(n)
            await gate.wait()

        async with pipeline(look, max_concurrency=1) as pipe:
            first = asyncio.create_task(pipe.run(ToolCall("look", {"n": 0})))
            await until(lambda: order)
            rest = [asyncio.create_task(pipe.run(ToolCall("look", {"n": 1 + p}), priority=p)) for p in Priority]
            await until(lambda: pipe.metrics().waiting == 4)
            gate.set()
            await asyncio.gather(first, *rest)
        assert order == [0, 4, 3, 2, 1]

    async def test_configuration_sets_the_places_and_the_argument_wins(self):
        config = Config().replace(async_pipeline={"max_concurrency": 2})
        for given_count, places in ((None, 2), (5, 5)):
            meeting = Meeting(places)

            @tool(effect="read")
            async def look(n: int, meeting=meeting) -> None:
                await meeting.join()

            look.parameters["properties"].pop("meeting")
            async with pipeline(look, max_concurrency=given_count, config=config) as pipe:
                await pipe.run_batch([ToolCall("look", {"n": n}) for n in range(places)])
                assert pipe.metrics().peak == places


class TestTimeouts:
    async def test_work_that_takes_too_long_is_cancelled(self):
        ended = []

        @tool(timeout=0.01)
        async def stall() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        @tool(timeout=0.01)
        async def stubborn() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "too late"

        async with pipeline(stall, stubborn) as pipe:
            results = await pipe.run_batch([ToolCall("stall", "{}"), ToolCall("stubborn", "{}")])
        assert ended == ["cancelled"]
        assert [type(result.error) for result in results] == [ToolTimeoutError] * 2
        assert "longer than 0.01 s" in results[0].content
        assert pipe.metrics().timeouts == 2

    async def test_the_configured_limit_is_for_tools_that_have_none(self):
        config = Config().replace(async_pipeline={"timeout": 0.01})

        async def stall() -> None:
            await asyncio.Event().wait()

        gate = asyncio.Event()

        @tool(timeout=60)
        async def patient() -> str:
            await gate.wait()
            return "came"

        async with pipeline(stall, patient, config=config) as pipe:
            late = asyncio.create_task(pipe.run(ToolCall("patient", "{}")))
            assert isinstance((await pipe.run(ToolCall("stall", "{}"))).error, ToolTimeoutError)
            gate.set()
            assert (await late).value == "came"

    async def test_a_callers_limit_counts_the_waiting_and_is_its_own(self):
        gate = asyncio.Event()

        @tool(effect="pure")
        async def slow() -> str:
            await gate.wait()
            return "came"

        async with pipeline(slow, max_concurrency=1) as pipe:
            first = asyncio.create_task(pipe.run(ToolCall("slow", "{}")))
            await asyncio.sleep(0)
            joined = await pipe.run(ToolCall("slow", "{}"), timeout=0.01)
            assert isinstance(joined.error, ToolTimeoutError)
            gate.set()
            assert (await first).value == "came"

    async def test_a_sync_tool_that_takes_too_long_is_left_to_its_thread(self):
        release = threading.Event()

        @tool(timeout=0.01)
        def stuck() -> str:
            release.wait()
            return "late"

        def quick() -> str:
            return "quick"

        async with pipeline(stuck, quick, max_concurrency=1) as pipe:
            try:
                result = await pipe.run(ToolCall("stuck", "{}"))
                assert isinstance(result.error, ToolTimeoutError)
                assert "cannot be stopped" in result.content
                assert (await pipe.run(ToolCall("quick", "{}"))).value == "quick"
            finally:
                release.set()

    async def test_threads_that_cannot_be_stopped_are_counted_and_bounded(self):
        release, entered = threading.Event(), threading.Semaphore(0)

        def stuck() -> str:
            entered.release()
            release.wait()
            return "late"

        async with pipeline(stuck, max_concurrency=1) as pipe:
            try:
                for count in range(4):
                    assert pipe.metrics().abandoned == count
                    task = asyncio.create_task(pipe.run(ToolCall("stuck", "{}")))
                    await until(lambda: entered.acquire(blocking=False))
                    task.cancel()
                    await asyncio.wait([task])
                refused = await pipe.run(ToolCall("stuck", "{}"))
                assert "4 calls" in refused.content
            finally:
                release.set()
            await until(lambda: not pipe.metrics().abandoned)
            assert (await pipe.run(ToolCall("stuck", "{}"))).value == "late"


class TestCancellation:
    async def test_it_reaches_every_call_and_queued_ones_never_start(self):
        started, cancelled = [], []

        async def stall(n: int) -> None:
            started.append(n)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(n)
                raise

        made = tool(effect="read")(stall)
        for how in ("run_batch", "as_completed"):
            started.clear()
            cancelled.clear()
            async with pipeline(made, max_concurrency=2) as pipe:
                before = asyncio.all_tasks()
                calls = [ToolCall("stall", {"n": n}) for n in range(5)]

                async def use(pipe=pipe, how=how, calls=calls):
                    if how == "run_batch":
                        return await pipe.run_batch(calls)
                    return [result async for result in pipe.as_completed(calls)]

                task = asyncio.create_task(use())
                await until(lambda: len(started) == 2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                for _ in range(3):
                    await asyncio.sleep(0)
                assert asyncio.all_tasks() == before
                metrics = pipe.metrics()
            assert started == cancelled == [0, 1]
            assert (metrics.running, metrics.waiting) == (0, 0)

    async def test_leaving_as_completed_early_cancels_the_rest(self):
        cancelled = []

        @tool(effect="read")
        async def race(n: int) -> int:
            try:
                if n:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(n)
                raise
            return n

        async with pipeline(race) as pipe:
            results = pipe.as_completed([ToolCall("race", {"n": n}) for n in range(3)])
            assert (await anext(results)).value == 0
            await results.aclose()
            assert sorted(cancelled) == [1, 2]

    async def test_closing_ends_what_runs_and_says_so(self):
        async def stall() -> None:
            await asyncio.Event().wait()

        pipe = pipeline(stall)
        task = asyncio.create_task(pipe.run(ToolCall("stall", "{}")))
        await asyncio.sleep(0)
        await pipe.aclose()
        assert "pipeline was closed" in (await task).content
        with pytest.raises(ToolError, match="closed"):
            await pipe.run(ToolCall("stall", "{}"))

    async def test_threads_end_with_the_pipeline(self):
        workers = set()

        def quick(n: int) -> None:
            workers.add(threading.current_thread())

        async with pipeline(quick, overlap_undeclared=True) as pipe:
            await pipe.run_batch([ToolCall("quick", {"n": n}) for n in range(8)])
            assert len(workers) <= pipe.metrics().threads <= 8
            assert all(worker.daemon for worker in workers)
        for worker in workers:
            worker.join(10)
            assert not worker.is_alive()


class TestThreads:
    async def test_a_blocking_tool_does_not_stall_the_loop_and_has_its_callers_context(self):
        variable = contextvars.ContextVar("variable", default="unset")
        entered, release = threading.Event(), threading.Event()

        def block() -> str:
            entered.set()
            release.wait()
            return f"{variable.get()} {threading.current_thread() is threading.main_thread()}"

        async with pipeline(block) as pipe:
            variable.set("carried")
            task = asyncio.create_task(pipe.run(ToolCall("block", "{}")))
            await until(entered.is_set)  # the loop goes round while the tool blocks
            release.set()
            assert (await task).value == "carried False"

    async def test_blocking_calls_overlap_up_to_the_limit(self):
        barrier = threading.Barrier(4)

        @tool(effect="read")
        def block(n: int) -> int:
            barrier.wait(30)
            return n

        async with pipeline(block, max_concurrency=4) as pipe:
            results = await pipe.run_batch([ToolCall("block", {"n": n}) for n in range(8)])
        assert [result.value for result in results] == list(range(8))

    async def test_a_sync_callable_that_gives_a_coroutine_is_awaited(self):
        async def inner(n: int) -> int:
            return n + 1

        made = tool(name="outer")(lambda n: inner(n))
        async with pipeline(made) as pipe:
            assert (await pipe.run(ToolCall("outer", {"n": 1}))).value == 2


class TestSharing:
    async def test_identical_calls_in_flight_run_once(self):
        runs = 0
        gate = asyncio.Event()

        @tool(effect="pure")
        async def think(n: int) -> int:
            nonlocal runs
            runs += 1
            await gate.wait()
            return n

        for dedupe, wanted in ((True, 2), (False, 5)):
            runs = 0
            gate.clear()
            async with pipeline(think, config=Config().replace(async_pipeline={"dedupe": dedupe})) as pipe:
                batch = asyncio.create_task(pipe.run_batch([ToolCall("think", {"n": n}) for n in (1, 1, 2, 1, 2)]))
                for _ in range(5):
                    await asyncio.sleep(0)
                gate.set()
                assert [result.value for result in await batch] == [1, 1, 2, 1, 2]
            assert runs == wanted

    async def test_pure_results_are_kept_for_their_time(self):
        runs = []

        @tool(effect="pure", cache_ttl=60)
        def compute(n: int, factor: int = 2) -> dict:
            runs.append(n)
            return {"n": n * factor}

        async with pipeline(compute, cache=MemoryCache()) as pipe:
            first = await pipe.run(ToolCall("compute", {"n": 4}))
            again = await pipe.run(ToolCall("compute", '{ "n": 4 }'))
            other = await pipe.run(ToolCall("compute", '{"n": 4, "factor": 3}'))
        assert runs == [4, 4]
        assert (first.cached, again.cached, other.cached) == (False, True, False)
        assert (again.value, again.content) == (first.value, first.content) == ({"n": 8}, '{"n":8}')
        assert pipe.metrics().hits == 1

    async def test_a_time_limit_that_is_no_number_is_refused(self):
        @tool(effect="pure")
        async def plain(n: int) -> int:
            return n

        async with pipeline(plain) as pipe:
            for run in (pipe.run, lambda call, timeout: pipe.run_batch([call, call], timeout=timeout)):
                with pytest.raises(ValueError, match="timeout is nan"):
                    await run(ToolCall("plain", {"n": 1}), timeout=float("nan"))

    async def test_arguments_that_look_alike_once_validated_are_not_one_call(self):
        """A secret is written as stars, an excluded field not at all, and what is iterated can be read only once."""

        class Hidden(BaseModel):
            shown: int
            hidden: int = Field(0, exclude=True)

        @tool(effect="pure", cache_ttl=60)
        async def sized(secret: SecretStr) -> int:
            return len(secret.get_secret_value())

        @tool(effect="pure", cache_ttl=60)
        async def reveal(field: Hidden) -> int:
            return field.hidden

        @tool(effect="pure", cache_ttl=60, approval="always")
        async def add(numbers: Iterable[int]) -> int:
            return sum(numbers)

        calls = [
            *(ToolCall("sized", {"secret": text}) for text in ("a", "bbb")),
            *(ToolCall("reveal", {"field": {"shown": 1, "hidden": n}}) for n in (2, 3)),
            *(ToolCall("add", {"numbers": [n, n]}) for n in (2, 3)),
        ]
        async with pipeline(sized, reveal, add, cache=MemoryCache(), approve=lambda _: True) as pipe:
            for _ in range(2):
                assert [result.value for result in await pipe.run_batch(calls)] == [1, 3, 2, 3, 4, 6]

    async def test_writes_and_undeclared_calls_and_errors_are_never_kept_or_joined(self):
        runs = []

        def plain(n: int) -> int:
            runs.append(n)
            return n

        @tool(effect="pure", cache_ttl=60)
        def fails(n: int) -> int:
            runs.append(n)
            raise ValueError(n)

        async with pipeline(plain, tool(name="write", effect="write")(plain), fails, cache=MemoryCache()) as pipe:
            for name in ("plain", "write", "fails"):
                await pipe.run_batch([ToolCall(name, {"n": 1})])
                await pipe.run_batch([ToolCall(name, {"n": 1})])
        assert runs == [1] * 6

    async def test_a_read_is_kept_while_its_file_is_unchanged(self, tmp_path):
        file = tmp_path / "a"
        file.write_text("one")
        runs = []

        @tool(effect="read", resources=lambda path: [tmp_path / path], cache_ttl=3600)
        def read(path: str) -> str:
            runs.append(path)
            return (tmp_path / path).read_text()

        async with pipeline(read, cache=MemoryCache()) as pipe:

            async def look():
                result = await pipe.run(ToolCall("read", '{"path": "a"}'))
                return result.content, result.cached

            settle(pipe)
            assert [await look(), await look()] == [("one", False), ("one", True)]
            file.write_text("another")
            assert [await look(), await look()] == [("another", False), ("another", True)]
            file.unlink()
            assert (await look())[0].startswith("Error: read failed: FileNotFoundError")
        assert len(runs) == 3

    async def test_a_named_resource_is_read_anew_after_a_write(self):
        shelf = {"n": 1}

        @tool(effect="read", resources=["shelf"], cache_ttl=3600)
        def look() -> int:
            return shelf["n"]

        @tool(effect="write", resources=["shelf"])
        def bump() -> None:
            shelf["n"] += 1

        def undeclared() -> None:
            shelf["n"] += 10

        async with pipeline(look, bump, undeclared, cache=MemoryCache()) as pipe:
            seen = []
            for name in ("look", "look", "bump", "look", "look", "undeclared", "look"):
                result = await pipe.run(ToolCall(name, "{}"))
                if name == "look":
                    seen.append((result.value, result.cached))
        assert seen == [(1, False), (1, True), (2, False), (2, True), (12, False)]

    async def test_a_file_that_changes_while_it_is_read_is_not_kept(self, tmp_path):
        file = tmp_path / "a"
        file.write_text("one")

        @tool(effect="read", resources=[file], cache_ttl=3600)
        def read() -> str:
            text = file.read_text()
            if text == "one":
                file.write_text("changed")
            return text

        async with pipeline(read, cache=MemoryCache()) as pipe:
            assert [(await pipe.run(ToolCall("read", "{}"))).content for _ in range(2)] == ["one", "changed"]


if sys.platform == "linux":

    async def test_an_interrupt_on_the_loop_goes_up():
        async def stop() -> None:
            raise KeyboardInterrupt

        async with pipeline(stop) as pipe:
            with pytest.raises(KeyboardInterrupt):
                await pipe.run(ToolCall("stop", "{}"))


async def test_a_tool_that_raises_what_ends_a_coroutine_fails_by_itself():
    @tool
    async def ends() -> str:
        """End oddly."""
        raise GeneratorExit("odd")

    async with ToolPipeline(ToolRegistry([ends])) as pipeline:
        result = await pipeline.run(ToolCall("ends", {}))
    assert "GeneratorExit: odd" in str(result.error)
