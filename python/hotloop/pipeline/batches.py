"""Runs calls that have gathered as one, in one place, and gives each its own result."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import ToolError
from ..tools.content import content_of
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
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def hear(_: None, given: list[Any], joined: bool) -> None:  # noqa: ARG001 - a listener's signature
            if not future.done():
                future.set_result(given[0])

        entry = self._batcher.add(tool, [job], None, priority, (hear, None))
        try:
            given = await future
        finally:
            self._batcher.leave(entry, (hear, None))
        if not isinstance(given, ToolError):
            return Done(given, content_of(given))
        if isinstance(given.__cause__, tool.cache_errors):
            return Done(None, "", error=given)
        raise given

    def takes(self, tool: Tool) -> bool:
        """Whether calls of a tool may be added without tasks of their own, because nothing else has a part in them."""
        return tool.batch is not None and self._engine.observer is None and not self._engine.closed

    def room(self, tool: Tool) -> int:
        """Return how many calls of a tool may be added at once."""
        return self._batcher.room(tool)

    def add(self, jobs: list[Job], tool: Tool, priority: Priority, listener: Any) -> Entry:
        """Add calls that are neither joined nor stored."""
        return self._batcher.add(tool, jobs, None, priority, listener)

    def add_shared(self, job: Job, tool: Tool, priority: Priority, listener: Any) -> Entry | None:
        """Add a call that may be joined with identical ones, unless it may be stored too."""
        key, stored = self._engine.keeping.key(job)
        return None if stored else self._batcher.add(tool, [job], key, priority, listener)

    def leave(self, entry: Entry, listener: Any) -> None:
        """Call off calls that were added."""
        self._batcher.leave(entry, listener)

    def results(self, jobs: list[Job], given: list[Any], joined: bool) -> list[ToolResult]:
        """Return the results of calls that were added, from what their listener heard."""
        engine, now = self._engine, perf_counter()
        if joined:
            engine.meters.counts["joined"] += len(jobs)
        return [engine.given(job, value, now) for job, value in zip(jobs, given, strict=True)]

    def _start(self, gathering: Gathering) -> Callable[[], Any]:
        task = asyncio.get_running_loop().create_task(self._run(gathering))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task.cancel

    async def _run(self, gathering: Gathering) -> None:
        tool = gathering.tool
        given: list[Any] | None = None
        lost = ToolError(f"{tool.name} was stopped: the pipeline was closed")
        try:
            given = await self._work(tool, gathering)
        except ToolError as error:
            lost = error
        finally:
            begin = 0
            for entry in gathering.entries:
                end = begin + len(entry.jobs)
                self._batcher.settle(entry, [lost] * len(entry.jobs) if given is None else given[begin:end])
                begin = end

    async def _work(self, tool: Tool, gathering: Gathering) -> list[Any]:
        engine = self._engine
        limits = tuple({limit: None for entry in gathering.entries for job in entry.jobs for limit in job.limits})
        if not engine.places.try_take(limits, perf_counter()):
            await engine.places.take(gathering.priority, limits)
        gathering.entries = [entry for entry in gathering.entries if entry.listeners]  # the others were cancelled
        jobs = [job for entry in gathering.entries for job in entry.jobs]
        started, meters = perf_counter(), engine.meters
        meters.batch_sizes.add(len(jobs))
        meters.queue_time.extend([started - job.start for job in jobs])
        together = _Together(jobs)
        try:
            together.begin(engine.keeping if tool.effect == "read" else None)
            results = await engine.shop.batch(tool, [job.args for job in jobs], engine.settings, together)
        finally:
            ended = perf_counter()
            meters.run_time.add(ended - started)
            engine.places.give(limits, ended)
            together.end()
        return share_out(tool, len(jobs), results)


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
