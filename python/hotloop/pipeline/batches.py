"""Runs calls that have gathered as one, in one place, and gives each its own result."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from ..errors import ToolError
from .batching import Batcher, Entry, Gathering, share_out
from .work import Done

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tools import Tool
    from .engine import Engine
    from .job import Job
    from .keeping import Keeping
    from .queue import Priority
    from .result import ToolResult

__all__ = ["Batches"]


class Batches:
    """The batches of a pipeline.

    Args:
        engine: what they run on.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._batcher = Batcher(self._start, _later)
        self.tasks: set[asyncio.Task[None]] = set()

    async def gather(self, tool: Tool, job: Job, priority: Priority) -> Done:
        """Wait for the batch that a call is part of."""
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()

        def hear(_: None, outcome: Done | BaseException, joined: bool) -> None:  # noqa: ARG001 - a listener's signature
            if future.done():
                return
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        entry = self._batcher.add(tool, job, None, priority, (hear, None))
        try:
            return await future
        finally:
            self._batcher.leave(entry, (hear, None))

    def quick(self, job: Job, priority: Priority, listener: Any) -> Entry | None:
        """Add a call to a batch without a task of its own, where nothing else has a part in it."""
        engine, tool = self._engine, job.tool
        if tool is None or tool.batch is None or job.error is not None or engine.observer is not None or engine.closed:
            return None
        key, stored = engine.keeping.key(job)
        return None if stored else self._batcher.add(tool, job, key, priority, listener)

    def leave(self, entry: Entry, listener: Any) -> None:
        """Call off a call that was added."""
        self._batcher.leave(entry, listener)

    def result(self, job: Job, outcome: Done | BaseException, joined: bool) -> ToolResult:
        """Return the result of a call that was added, from what its listener heard."""
        engine = self._engine
        if joined:
            engine.meters.counts["joined"] += 1
        if isinstance(outcome, Done):
            return engine.done(job, outcome, cached=False)
        return engine.failed(job, cast("ToolError", outcome))

    def _start(self, gathering: Gathering) -> Callable[[], Any]:
        task = asyncio.get_running_loop().create_task(self._run(gathering))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task.cancel

    async def _run(self, gathering: Gathering) -> None:
        tool, entries = gathering.tool, gathering.entries
        outcomes: list[Done | BaseException] | None = None
        lost: BaseException = ToolError(f"{tool.name} was stopped: the pipeline was closed")
        try:
            outcomes = await self._work(tool, gathering)
        except ToolError as error:
            lost = error
        finally:
            for number, entry in enumerate(entries):
                self._batcher.settle(entry, lost if outcomes is None else outcomes[number])

    async def _work(self, tool: Tool, gathering: Gathering) -> list[Done | BaseException]:
        entries, engine = gathering.entries, self._engine
        limits = tuple({limit: None for entry in entries for limit in entry.job.limits})
        if not engine.places.try_take(limits, perf_counter()):
            await engine.places.take(gathering.priority, limits)
        wanted = [entry for entry in entries if entry.listeners]
        started = perf_counter()
        engine.meters.batch_sizes.add(len(wanted))
        together = _Together([entry.job for entry in wanted])
        engine.meters.queue_time.extend([started - job.start for job in together.jobs])
        try:
            together.begin(engine.keeping if tool.effect == "read" else None)
            args = [job.args for job in together.jobs]
            results = await engine.shop.batch(tool, args, engine.settings, together)
        finally:
            ended = perf_counter()
            engine.meters.run_time.add(ended - started)
            engine.places.give(limits, ended)
            together.end()
        if len(wanted) == len(entries):
            return share_out(tool, len(wanted), results)
        shared = iter(share_out(tool, len(wanted), results))
        nobody = ToolError(f"{tool.name} was cancelled")
        waited = {id(entry) for entry in wanted}
        return [next(shared) if id(entry) in waited else nobody for entry in entries]


class _Together:
    """The calls of a batch as one: where their thread runs on, it does so for all of them."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.abandoned = False
        self._writers: list[Job] = []

    def begin(self, keeping: Keeping | None) -> None:
        for job in self.jobs:
            if keeping is not None:
                keeping.look(job)
            if job.access.writes:
                job.begin()
                self._writers.append(job)

    def end(self) -> None:
        if not self.abandoned:
            for job in self._writers:
                job.end()

    def late(self) -> None:
        self.abandoned = False
        self.end()


def _later(seconds: float, func: Callable[[Gathering], None], gathering: Gathering) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, func, gathering)
