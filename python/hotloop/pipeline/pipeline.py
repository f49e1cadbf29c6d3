"""Runs the calls of tools: at once where they can, in order where they must."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Self

from ..calls.loop import running_loop
from ..config import Config
from ..errors import ToolError
from . import printed
from .engine import Engine, Terms
from .intake import Intake
from .queue import Priority
from .result import ToolResult
from .round import Round

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from pathlib import PurePath
    from types import TracebackType

    from ..cache.base import Cache
    from ..observe.events import Observer
    from ..toolcall import ToolCall
    from ..tools import ToolRegistry
    from ..tools.approval import Approver
    from .job import Job
    from .metrics import PipelineMetrics

__all__ = ["ToolPipeline"]


class ToolPipeline:
    """Runs calls of the tools of a registry; an async context manager.

    Calls whose tool depends on its arguments only, or reads, are joined with identical ones in flight and, where the
    tool has a `cache_ttl`, kept in the cache under a key that covers the function's code, the arguments and the version
    of what it reads. Sync tools run in threads, or in processes. What tools print becomes part of their results.

    A pipeline belongs to the event loop it is entered on.

    Args:
        registry: where tools are looked up.
        max_concurrency: how many calls may run at once; None for the setting of `config`.
        tool_limits: how many calls of a tool may run at once, by the tool's name; it goes before the tool's own
            `max_concurrency`.
        resource_limits: how many calls that touch a resource (a name, or a path and what lies under it) may run at
            once.
        overlap_undeclared: whether calls of tools that declare no effect may overlap with others of their batch, rather
            than wait their turn as calls that may write anything; None for the setting of `config`, and where that is
            None too they wait.
        config: settings; `async_pipeline` applies.
        cache: the tiers that hold results; None for none.
        observer: hears the events of the calls.
        approve: is asked about calls whose tool needs approval; without one they are refused.

    Raises:
        UnknownToolError: a limit names a tool that is not registered.
        ValueError: a limit is below 1.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        max_concurrency: int | None = None,
        tool_limits: Mapping[str, int] | None = None,
        resource_limits: Mapping[str | PurePath, int] | None = None,
        overlap_undeclared: bool | None = None,
        config: Config | None = None,
        cache: Cache | None = None,
        observer: Observer | None = None,
        approve: Approver | None = None,
    ) -> None:
        settings = (config or Config()).async_pipeline
        self.registry = registry
        count = max_concurrency if max_concurrency is not None else settings.max_concurrency
        self._engine = engine = Engine(settings, count, cache, observer)
        self._intake = Intake(registry, engine.versions, approve, tool_limits or {}, resource_limits or {})
        self._intake.overlap_undeclared = bool(
            overlap_undeclared if overlap_undeclared is not None else settings.overlap_undeclared
        )
        self._apply()
        self._holds_output = False

    async def __aenter__(self) -> Self:
        running_loop()
        self._engine.check_open()
        if not self._holds_output:
            self._holds_output = True
            printed.hold()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what still runs, give its callers an error, and end the threads and processes; nothing runs afterwards.

        A thread whose tool does not return cannot be stopped; it is reported in a warning.
        """
        try:
            await self._engine.aclose()
        finally:
            if self._holds_output:
                self._holds_output = False
                printed.let_go()

    def configure(self, **settings: object) -> None:
        """Change settings of the section `async_pipeline`, from the next call on: `configure(max_concurrency=2)`.

        Raises:
            ConfigError: there is no such setting, or its value is not allowed.
        """
        engine = self._engine
        changed = Config().replace(async_pipeline={**asdict(engine.settings), **settings}).async_pipeline
        engine.settings = changed
        if "max_concurrency" in settings:
            engine.places.resize(changed.max_concurrency)
            engine.shop.threads.max_abandoned = 4 * changed.max_concurrency
        if "overlap_undeclared" in settings:
            self._intake.overlap_undeclared = bool(changed.overlap_undeclared)
        self._apply()

    def _apply(self) -> None:
        settings = self._engine.settings
        self._intake.max_argument_chars = settings.max_argument_chars
        self._engine.keeping.join = settings.dedupe

    # -- what people call ----------------------------------------------------------------------------------------

    async def run(
        self, call: ToolCall, *, priority: Priority = Priority.NORMAL, timeout: float | None = None
    ) -> ToolResult:
        """Run one call.

        Args:
            call: the call; its arguments are checked here.
            priority: its turn among those that wait for a place.
            timeout: seconds until it must have ended, waiting included; None for no such limit. They count from now,
                or from a person's answer where the call needs one. The tool's own timeout counts from the start of its
                work.

        Returns:
            The result; a call that fails gives one that says why.

        Raises:
            ToolError: the pipeline is closed.
            ValueError: the timeout is no number.
        """
        engine = self._engine
        if engine.closed:
            engine.check_open()
        job = self._intake.job(call, perf_counter(), self.registry.get)
        if job.question is not None:
            await self._ask([job])
        plain = timeout is None and priority is _NORMAL
        begun = engine.start(job, _PLAIN if plain else _terms(priority, timeout))
        return begun if isinstance(begun, ToolResult) else await begun

    async def run_batch(
        self,
        calls: Iterable[ToolCall],
        *,
        group_dependent: bool = True,
        priority: Priority = Priority.NORMAL,
        timeout: float | None = None,
    ) -> list[ToolResult]:
        """Run calls at once, as far as they do not conflict, and return their results in the order of the calls.

        Args:
            calls: the calls.
            group_dependent: whether calls that conflict (one writes what the other touches) keep their order; False
                for those who know that they may overlap.
            priority: as in `run`, for each call.
            timeout: as in `run`, for each call: the time that it waits for others counts.

        Raises:
            ToolError: the pipeline is closed.
        """
        jobs = await self._jobs(calls)
        if len(jobs) == 1:
            return [await self._engine.run(jobs[0], _terms(priority, timeout))]
        round_ = self._round(jobs, group_dependent, _terms(priority, timeout), each=False)
        try:
            round_.start()
            return await round_.all()
        finally:
            await round_.end()

    async def as_completed(
        self,
        calls: Iterable[ToolCall],
        *,
        group_dependent: bool = True,
        priority: Priority = Priority.NORMAL,
        timeout: float | None = None,
    ) -> AsyncGenerator[ToolResult]:
        """Run calls as `run_batch` does, and yield each result when it is there; leaving early cancels the rest."""
        round_ = self._round(await self._jobs(calls), group_dependent, _terms(priority, timeout), each=True)
        try:
            round_.start()
            async with aclosing(round_.completed()) as completed:
                async for result in completed:
                    yield result
        finally:
            await round_.end()

    def metrics(self) -> PipelineMetrics:
        """Return the counters."""
        return self._engine.metrics()

    # -- before they run -----------------------------------------------------------------------------------------

    async def _jobs(self, calls: Iterable[ToolCall]) -> list[Job]:
        self._engine.check_open()
        jobs = self._intake.jobs(calls)
        asking = [job for job in jobs if job.question is not None]
        if asking:
            await self._ask(asking)
        return jobs

    async def _ask(self, jobs: list[Job]) -> None:
        task, active = asyncio.current_task(), self._engine.active
        if task is None:
            raise ToolError("a pipeline runs calls in a task of asyncio")
        active.add(task)
        try:
            await self._intake.ask(jobs)
        except asyncio.CancelledError:
            if not self._engine.closed or task.uncancel():
                raise
            raise ToolError("the pipeline was closed while a call waited for approval") from None
        finally:
            active.discard(task)

    def _round(self, jobs: list[Job], group: bool, terms: Terms, *, each: bool) -> Round:
        return Round(self._engine, jobs, self._intake.after(jobs) if group else {}, terms, each=each)


def _terms(priority: Priority, timeout: float | None) -> Terms:
    if timeout is None:
        return _PLAIN if priority is _NORMAL else Terms(priority)
    if math.isnan(timeout):
        raise ValueError("timeout is nan; it must be a number of seconds, or None for no limit")
    return Terms(priority, timeout, asyncio.get_running_loop().time() + timeout)


_NORMAL = Priority.NORMAL  # an enum finds its members slowly, up to Python 3.11
_PLAIN = Terms(_NORMAL)
