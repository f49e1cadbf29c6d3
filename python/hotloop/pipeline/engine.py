"""Runs one call: in a place of its own, shared or stored where its effect allows it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ..calls import Call, CallPath, Policy
from ..errors import ToolError, ToolTimeoutError
from ..tools.content import content_of, unicode_of
from .batches import Batches
from .keeping import Keeping
from .metrics import Meters, PipelineMetrics, spread
from .queue import Places, Priority
from .result import ToolResult
from .versions import Versions
from .work import Done, Workshop, decode

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ..cache.base import Cache
    from ..config.sections import AsyncPipelineConfig
    from ..observe.events import Observer
    from ..tools import Tool
    from .job import Job

__all__ = ["Engine", "Terms"]

_log = logging.getLogger(__name__)

_new = tuple.__new__  # makes a named tuple in a third of the time, and one is made for each call


_WINDOW = 100


class Terms(NamedTuple):
    """How calls are to be run.

    Attributes:
        priority: their turn among those that wait.
        timeout: seconds that the caller gave, for the message.
        deadline: the loop's time when each must have ended; None for no limit.
    """

    priority: Priority
    timeout: float | None = None
    deadline: float | None = None


class Engine:
    """The machinery of one pipeline.

    Args:
        settings: the section of the configuration.
        count: how many calls may run at once.
        cache: the tiers that hold results.
        observer: hears the events of the calls.
    """

    def __init__(
        self, settings: AsyncPipelineConfig, count: int, cache: Cache | None, observer: Observer | None
    ) -> None:
        self.settings = settings
        self.observer = observer
        self.path = CallPath(cache=cache, observer=observer)
        self.places = Places(count)
        self.meters = Meters()
        self.shop = Workshop(4 * count, self.meters)
        self.versions = Versions()
        self.keeping = Keeping(self.versions, has_cache=cache is not None)
        self.batches = Batches(self)
        self.active: set[asyncio.Task[Any]] = set()
        self.closed = False

    def check_open(self) -> None:
        """Refuse to work when closed.

        Raises:
            ToolError: it is.
        """
        if self.closed:
            raise ToolError("the pipeline is closed; run calls inside its `async with` block")

    async def aclose(self) -> None:
        """End what still runs, and the threads and processes."""
        self.closed = True
        active = (self.active | self.batches.tasks) - {asyncio.current_task()}
        for task in active:
            task.cancel()
        if active:
            await asyncio.wait(active)
        self.shop.close()
        if self.shop.threads.abandoned:
            _log.warning("calls that run on in threads, which cannot be stopped: %d", self.shop.threads.abandoned)

    # -- from a call to its result -------------------------------------------------------------------------------

    async def run(self, job: Job, terms: Terms) -> ToolResult:
        """Run a call."""
        begun = self.start(job, terms)
        return begun if isinstance(begun, ToolResult) else await begun

    def start(self, job: Job, terms: Terms) -> ToolResult | Coroutine[Any, Any, ToolResult]:
        """Begin a call: return its result where it came to one without waiting, else the rest, which waits."""
        if self.closed:
            return self.failed(job, _stopped(job))
        tool, now = job.tool, perf_counter()
        # what is neither stored nor joined nor watched, and works on the loop, needs no more than a place
        direct = tool is not None and tool.is_direct and job.error is None and self.observer is None
        if tool is None or not direct or not self.places.try_take(job.limits, now):
            return self._wait(job, terms, self._walk(job, terms.priority))
        self._enter(tool, job, now)
        try:
            rest = self.shop.start(tool, job, self.settings)
        except BaseException as failure:
            self._leave(job, perf_counter())
            if isinstance(failure, ToolError):
                return self.failed(job, failure)
            raise
        if rest is not None:
            return self._wait(job, terms, self._finish(job, rest))
        now = perf_counter()
        self._leave(job, now)
        return self._result(job, job.value, job.content, now)

    async def _wait(self, job: Job, terms: Terms, walk: Coroutine[Any, Any, ToolResult]) -> ToolResult:
        """Await the result of a call, within its deadline, as a task that `aclose` ends."""
        task = asyncio.current_task()
        nested = task in self.active
        if task is not None:
            self.active.add(task)
        try:
            if terms.deadline is None or task is None:  # a tool says itself that it cannot wait without a task
                return await walk
            scope = asyncio.timeout_at(terms.deadline)
            try:
                async with scope:
                    return await walk
            except TimeoutError as error:
                if not scope.expired():
                    raise
                return self.expired(job, terms, error)
        except ToolError as failure:
            return self.failed(job, failure)
        except asyncio.CancelledError:
            self.meters.counts["cancelled"] += 1
            if task is None or not self.closed or task.uncancel():
                raise
            return self.failed(job, _stopped(job))
        finally:
            if task is not None and not nested:
                self.active.discard(task)

    async def _finish(self, job: Job, rest: Coroutine[Any, Any, None]) -> ToolResult:
        try:
            await rest
        finally:
            now = perf_counter()
            self._leave(job, now)
        return self._result(job, job.value, job.content, now)

    @property
    def window(self) -> int:
        """How many calls of one round have a task at once; those behind them cost next to nothing."""
        return max(_WINDOW, 2 * self.places.count)

    async def _walk(self, job: Job, priority: Priority) -> ToolResult:
        key, stored = self.keeping.key(job)
        if key is None and self.observer is None:
            return self.done(job, await self.work(job, priority), perf_counter())
        tool = job.tool
        outcome = await self.path.run(
            Call(
                "tool",
                job.call.name if tool is None else tool.name,
                key,
                partial(self.work, job, priority),
                partial(self.keeping.encode, job),
                decode,
                Policy(cache=stored, join=self.keeping.join, ttl=tool.cache_ttl if tool else None, namespace="tools"),
                job.call.id,
            )
        )
        if outcome.cache != "bypass":
            self.meters.counts[outcome.cache] += 1
        return self.done(job, outcome.value, perf_counter(), cached=outcome.cache == "hit")

    def done(self, job: Job, done: Done, now: float, cached: bool = False) -> ToolResult:
        """Return the result of a call that was done."""
        if done.error is not None:
            return self.failed(job, done.error, cached=cached)
        self.meters.calls += 1
        content = _told(job, done.content, done.printed)
        return ToolResult(job.call, done.value, content, None, cached, now - job.start)

    def given(self, job: Job, value: Any, now: float) -> ToolResult:
        """Return the result of a call for which a batch function gave a value, or which has an error."""
        if isinstance(value, ToolError):
            return self.failed(job, value)
        try:
            content = content_of(value)
        except ToolError as error:
            return self.failed(job, error)
        return self._result(job, value, content, now)

    def _result(self, job: Job, value: Any, content: str, now: float) -> ToolResult:
        self.meters.calls += 1
        if job.printed is not None or job.edited is not None:
            content = _told(job, content, "" if job.printed is None else job.printed.text())
        return _new(ToolResult, (job.call, value, content, None, False, now - job.start))

    def failed(self, job: Job, error: ToolError, *, cached: bool = False) -> ToolResult:
        """Return the result of a call that failed."""
        counts = self.meters.counts
        self.meters.calls += 1
        counts["failed"] += 1
        if isinstance(error, ToolTimeoutError):
            counts["timeouts"] += 1
        return ToolResult(job.call, None, unicode_of(f"Error: {error}"), error, cached, perf_counter() - job.start)

    def expired(self, job: Job, terms: Terms, cause: BaseException | None = None) -> ToolResult:
        """Return the result of a call whose time is over."""
        error = ToolTimeoutError(f"{job.call.name} had no result after {terms.timeout:g} s")
        error.__cause__ = cause
        return self.failed(job, error)

    # -- work ----------------------------------------------------------------------------------------------------

    async def work(self, job: Job, priority: Priority) -> Done:
        """Do the work of a call in a place of its own.

        Raises:
            ToolError: it failed.
        """
        tool = job.tool
        if job.error is not None or tool is None:
            raise job.error or ToolError(f"{job.call.name} was not prepared")
        if tool.batch is not None:
            return await self.batches.gather(tool, job, priority)
        if not self.places.try_take(job.limits, now := perf_counter()):
            await self.places.take(priority, job.limits)
            now = perf_counter()
        self._enter(tool, job, now)
        try:
            return await self.shop.work(tool, job, self.settings)
        finally:
            self._leave(job, perf_counter())

    def _enter(self, tool: Tool, job: Job, now: float) -> None:
        """Note that a call begins to work, in the place that it has."""
        if tool.effect == "read":
            self.keeping.look(job)
        job.started = now
        if job.access.writes:
            self.versions.begin(job.access)

    def _leave(self, job: Job, now: float) -> None:
        """Note that the work of a call has ended, and give its place back."""
        meters, started = self.meters, job.started
        meters.queue_time.add(started - job.start)
        meters.run_time.add(now - started)
        self.places.give(job.limits, now)
        if job.access.writes and not job.abandoned:  # else it ends with its thread
            self.versions.end(job.access)

    def metrics(self) -> PipelineMetrics:
        """Return the counters."""
        meters, counts, shop = self.meters, self.meters.counts, self.shop
        return PipelineMetrics(
            calls=meters.calls,
            failed=counts["failed"],
            timeouts=counts["timeouts"],
            cancelled=counts["cancelled"],
            hits=counts["hit"],
            misses=counts["miss"],
            joined=counts["joined"],
            running=self.places.count - self.places.free,
            waiting=self.places.waiting,
            peak=self.places.peak,
            threads=shop.threads.live,
            abandoned=shop.threads.abandoned,
            processes=shop.processes.live,
            killed=shop.processes.killed,
            dropped=counts["dropped"],
            blocked=counts["blocked"],
            concurrency=self.places.mean,
            queue_time=spread(meters.queue_time),
            run_time=spread(meters.run_time),
            batch_sizes=spread(meters.batch_sizes),
        )


def _told(job: Job, content: str, printed: str) -> str:
    """Return what a model is told beside the content itself."""
    if printed:
        content = f"{content}\n[the tool printed:]\n{unicode_of(printed)}"
    if job.edited is not None:
        content = f"[a person changed the arguments to {content_of(job.edited)}]\n{content}"
    return content


def _stopped(job: Job) -> ToolError:
    return ToolError(f"{job.call.name} was stopped: the pipeline was closed")
