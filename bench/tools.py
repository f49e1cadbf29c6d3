"""What the tool pipeline costs and saves, as ratios within one run; the table of docs/scheduling.md.

    python bench/tools.py [ROW ...] [--rounds 7] [--megabytes 200]

Each ratio is the median over rounds in which both sides take turns. Costs are processor time, waits are wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from hotloop.cache import MemoryCache
from hotloop.pipeline import ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import Batch, Tool, ToolRegistry, tool, workspace_tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


ROUNDS = 7


class Arguments(TypedDict):
    """What `no_op` takes."""

    path: str
    limit: int


async def no_op(path: str, limit: int) -> str:
    """Do nothing."""
    return path


TEXT = json.dumps({"path": "src/main.py", "limit": 3})
VALIDATOR = TypeAdapter(Arguments).validator


async def cost(work: Callable[[], Awaitable[Any]], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    await work()
    return clock() - start


async def ratio(
    ours: Callable[[], Awaitable[Any]],
    floor: Callable[[], Awaitable[Any]],
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, float, float]:
    """Return the median ratio and both medians, after one round that does not count."""
    pairs = []
    for number in range(ROUNDS + 1):
        pair = await cost(ours, clock), await cost(floor, clock)
        if number:
            pairs.append(pair)
    return (
        statistics.median(one / other for one, other in pairs),
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
    )


def show(row: str, value: float, must: float, aim: float, note: str) -> None:
    verdict = "aim reached" if value <= aim else "reached" if value <= must else "MISSED"
    print(f"{row:<34} {value:8.3f}   must {must:<6.3g} aim {aim:<6.3g} {verdict:<12} {note}", flush=True)


# -- the rows


async def row_noop() -> None:
    """One async no-op call, against a bare await with JSON decoding and validation."""
    count = 5_000

    async def by_json() -> None:
        for _ in range(count):
            await no_op(**VALIDATOR.validate_python(json.loads(TEXT)))

    async def by_pydantic() -> None:
        for _ in range(count):
            await no_op(**VALIDATOR.validate_json(TEXT))

    for declared in ("undeclared", "external"):
        made: Tool = tool(no_op) if declared == "undeclared" else tool(effect="external")(no_op)
        async with ToolPipeline(ToolRegistry([made])) as pipe:
            assert (await pipe.run(ToolCall("no_op", TEXT))).value == "src/main.py"

            async def ours(pipe: ToolPipeline = pipe) -> None:
                for _ in range(count):
                    await pipe.run(ToolCall("no_op", TEXT))

            for name, floor in (("json.loads + validate", by_json), ("validate_json", by_pydantic)):
                value, mine, other = await ratio(ours, floor)
                show(
                    f"no-op, {declared}, {name}",
                    value,
                    12,
                    6,
                    f"{mine / count * 1e6:.2f} / {other / count * 1e6:.2f} µs",
                )


async def row_waits() -> None:
    """8 async calls of 50 ms, wall over 50 ms."""

    @tool(effect="read", resources=[])
    async def wait(n: int) -> int:
        await asyncio.sleep(0.05)
        return n

    calls = [ToolCall("wait", {"n": n}) for n in range(8)]
    async with ToolPipeline(ToolRegistry([wait])) as pipe:
        values = [await cost(lambda: pipe.run_batch(calls), time.perf_counter) / 0.05 for _ in range(ROUNDS)]
    show("8 async calls of 50 ms", statistics.median(values), 1.05, 1.02, f"worst {max(values):.3f}")


async def row_blocking() -> None:
    """32 blocking calls of 50 ms at a limit of 32, wall over 50 ms; the first round starts the threads."""

    @tool(effect="read", resources=[])
    def block(n: int) -> int:
        time.sleep(0.05)
        return n

    calls = [ToolCall("block", {"n": n}) for n in range(32)]
    cold = []
    for _ in range(ROUNDS):
        async with ToolPipeline(ToolRegistry([block]), max_concurrency=32) as pipe:
            cold.append(await cost(lambda: pipe.run_batch(calls), time.perf_counter) / 0.05)
            values = [await cost(lambda: pipe.run_batch(calls), time.perf_counter) / 0.05 for _ in range(ROUNDS)]
    show("32 blocking calls of 50 ms, cold", statistics.median(cold), 1.3, 1.15, f"worst {max(cold):.3f}")
    show("32 blocking calls of 50 ms, warm", statistics.median(values), 1.3, 1.15, f"worst {max(values):.3f}")


async def row_mixed() -> None:
    """4 reads of 50 ms, two sync and two async, against the same in sequence."""

    @tool(effect="read", resources=[])
    async def wait(n: int) -> int:
        await asyncio.sleep(0.05)
        return n

    @tool(effect="read", resources=[])
    def block(n: int) -> int:
        time.sleep(0.05)
        return n

    calls = [ToolCall(("wait", "block")[n % 2], {"n": n}) for n in range(4)]
    async with ToolPipeline(ToolRegistry([wait, block])) as pipe:

        async def serial() -> None:
            for call in calls:
                await pipe.run(call)

        value, mine, other = await ratio(lambda: pipe.run_batch(calls), serial, time.perf_counter)
    show("4 mixed reads at once", value, 0.27, 0.255, f"{mine * 1e3:.1f} / {other * 1e3:.1f} ms")


async def row_cached() -> None:
    """Reading a file of 100 KB from the cache, against reading it anew."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file.txt")
        file.write_text("".join(f"line {n}: {'x' * 88}\n" for n in range(1000)))
        os.utime(file, (1, 1))
        await asyncio.sleep(2.1)  # a file that was just written has no version that can be trusted

        @tool(name="read", effect="read", resources=lambda path: [Path(path)], cache_ttl=3600)
        def kept(path: str) -> str:
            return Path(path).read_text()

        @tool(name="read", effect="read", resources=lambda path: [Path(path)])
        def anew(path: str) -> str:
            return Path(path).read_text()

        args = json.dumps({"path": str(file)})
        count = 300
        results = []
        for made in (kept, anew):
            pipe = ToolPipeline(ToolRegistry([made]), cache=MemoryCache(100))
            results.append(pipe)
        while not (await results[0].run(ToolCall("read", args))).cached:
            pass  # nothing is kept in the moment in which a folder on the way changes

        async def work(pipe: ToolPipeline) -> None:
            for _ in range(count):
                await pipe.run(ToolCall("read", args))

        for name, clock in (("CPU", time.process_time), ("wall", time.perf_counter)):
            value, mine, other = await ratio(lambda: work(results[0]), lambda: work(results[1]), clock)
            show(
                f"cached read of 100 KB, {name}",
                value,
                0.7,
                0.3,
                f"{mine / count * 1e6:.0f} / {other / count * 1e6:.0f} µs",
            )
        for made in workspace_tools(folder):
            if made.name == "read_file":
                args = json.dumps({"path": "file.txt"})
                with_cache = ToolPipeline(ToolRegistry([made]), cache=MemoryCache(100))
                without = ToolPipeline(ToolRegistry([made]))
                while not (await with_cache.run(ToolCall("read_file", args))).cached:
                    pass

                async def read(pipe: ToolPipeline, args: str = args) -> None:
                    for _ in range(count):
                        await pipe.run(ToolCall("read_file", args))

                value, mine, other = await ratio(lambda: read(with_cache), lambda: read(without))
                show(
                    "workspace read_file, CPU",
                    value,
                    0.7,
                    0.3,
                    f"{mine / count * 1e6:.0f} / {other / count * 1e6:.0f} µs",
                )
                await with_cache.aclose()
                await without.aclose()
        for pipe in results:
            await pipe.aclose()


async def row_queued() -> None:
    """CPU a call of 10,000 queued calls, against 100 queued ones."""
    made = tool(effect="external", resources=[])(no_op)
    async with ToolPipeline(ToolRegistry([made])) as pipe:

        async def batch(count: int, times: int) -> None:
            calls = [ToolCall("no_op", TEXT)] * count
            for _ in range(times):
                await pipe.run_batch(calls)

        value, mine, other = await ratio(lambda: batch(10_000, 1), lambda: batch(100, 100))
    show("10,000 queued against 100", value, 1.2, 1.05, f"{mine * 100:.2f} / {other * 100:.2f} µs a call")


async def row_batch() -> None:
    """1,000 calls with `batch=`, against one by one."""

    async def together(calls: list[dict[str, Any]]) -> list[str]:
        return [call["path"] for call in calls]

    for name, wrap in (("async", lambda func: func), ("sync", None)):
        if wrap is None:

            def alone(path: str, limit: int) -> str:
                return path

            def grouped(calls: list[dict[str, Any]]) -> list[str]:
                return [call["path"] for call in calls]

            func: Any = alone
            batch: Any = grouped
        else:
            func, batch = no_op, together
        one = tool(name="look", effect="external", resources=[])(func)
        many = tool(name="look", effect="external", resources=[], batch=Batch(batch, size=1000))(func)
        calls = [ToolCall("look", TEXT)] * 1000
        async with ToolPipeline(ToolRegistry([one])) as single, ToolPipeline(ToolRegistry([many])) as batched:
            assert (await batched.run_batch(calls))[999].value == "src/main.py"
            value, mine, other = await ratio(lambda: batched.run_batch(calls), lambda: single.run_batch(calls))
        show(f"1,000 calls with batch=, {name}", value, 1 / 3, 1 / 8, f"{mine * 1e3:.2f} / {other * 1e3:.2f} µs a call")


async def row_grep() -> None:
    """A native search of a tree, against rg where it is installed and grep -r elsewhere."""
    rng = random.Random(5)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(5000)]
    with tempfile.TemporaryDirectory() as folder:
        size = MEGABYTES << 20
        files = 2000
        for number in range(files):
            file = Path(folder, f"d{number % 40}", f"file{number}.txt")
            file.parent.mkdir(exist_ok=True)
            lines, length = [], 0
            while length < size // files:
                line = " ".join(rng.choices(words, k=12))
                lines.append(line)
                length += len(line) + 1
            if not number % 100:
                lines[len(lines) // 2] = "here is the Needle_42 in the stack"
            file.write_text("\n".join(lines) + "\n")
        grep = next(made for made in workspace_tools(folder) if made.name == "grep_file")
        other = shutil.which("rg")
        for pattern in ("Needle_42", r"Needle_[0-9]+"):
            command = [other, "-n", pattern, folder] if other else ["grep", "-rnE", pattern, folder]
            async with ToolPipeline(ToolRegistry([grep])) as pipe:
                result = await pipe.run(ToolCall("grep_file", {"pattern": pattern}))
                assert result.content.count("Needle_42") == 20, result.content[:300]
                assert subprocess.run(command, capture_output=True, check=True).stdout.count(b"\n") == 20

                async def theirs(command: list[str] = command) -> None:
                    subprocess.run(command, capture_output=True, check=True)

                async def ours(pattern: str = pattern) -> None:
                    await pipe.run(ToolCall("grep_file", {"pattern": pattern}))

                value, mine, peer = await ratio(ours, theirs, time.perf_counter)
            show(
                f"search of {MEGABYTES} MB, {pattern}",
                value,
                1.2,
                1.0,
                f"{mine * 1e3:.0f} / {peer * 1e3:.0f} ms, {'rg' if other else 'grep -r'}",
            )


ROWS = {name.removeprefix("row_"): func for name, func in list(globals().items()) if name.startswith("row_")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], default=[])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    ROUNDS, MEGABYTES = options.rounds, options.megabytes
    for wanted in options.rows or ROWS:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(ROWS[wanted]())
