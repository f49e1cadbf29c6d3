"""Runs the calls of tools: at once where they can, in order where they must."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from .._core import cache_key
from ..calls import Call, CallPath, Policy
from ..config import Config
from ..errors import ToolError, ToolTimeoutError
from ..tools.approval import Question
from ..tools.content import content_of
from ..tools.effects import ANYTHING, NOTHING, Access
from .approval import decide
from .plan import plan
from .queue import Places, Priority
from .result import PipelineMetrics, ToolResult
from .threads import Threads
from .versions import Version, Versions
from .work import Done, decode, encode, work

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterable
    from types import TracebackType

    from ..cache.base import Cache
    from ..observe.events import Observer
    from ..toolcall import ToolCall
    from ..tools import Tool, ToolRegistry
    from ..tools.approval import Approver

__all__ = ["ToolPipeline"]

T = TypeVar("T")


class _Job:
    """A call that was looked up and checked, once."""

    __slots__ = ("access", "args", "call", "edited", "error", "question", "start", "tool", "version")

    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self.start = perf_counter()
        self.tool: Tool | None = None
        self.args: Any = None
        self.access: Access = ANYTHING
        self.version: Version | None = None
        self.error: ToolError | None = None
        self.question: Question | None = None
        self.edited: dict[str, Any] | None = None

    def give(self, tool: Tool, args: dict[str, Any] | str) -> None:
        """Check the arguments, and see what the call touches.

        Raises:
            ToolError: they do not fit, or its resources are unknown.
        """
        self.args = tool.validate(args)
        if tool.effect is not None:
            self.access = tool.access(self.args)


class ToolPipeline:
    """Runs calls of the tools of a registry; an async context manager.

    Calls whose tool depends on its arguments only, or reads, are joined with identical ones in flight and, where the
    tool has a `cache_ttl`, kept in the cache under a key that covers the function's code, the arguments and the version
    of what it reads. Sync tools run in threads.

    A pipeline belongs to the event loop it is entered on.

    Args:
        registry: where tools are looked up.
        max_concurrency: how many calls may run at once; None for the setting of `config`.
        overlap_undeclared: whether calls of tools that declare no effect may overlap with others of their batch, rather
            than wait their turn as calls that may write anything; None for the setting of `config`, and where that is
            None too they wait.
        config: settings; `async_pipeline` applies.
        cache: the tiers that hold results; None for none.
        observer: hears the events of the calls.
        approve: is asked about calls whose tool needs approval; without one they are refused.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        max_concurrency: int | None = None,
        overlap_undeclared: bool | None = None,
        config: Config | None = None,
        cache: Cache | None = None,
        observer: Observer | None = None,
        approve: Approver | None = None,
    ) -> None:
        settings = (config or Config()).async_pipeline
        self.registry = registry
        count = max_concurrency if max_concurrency is not None else settings.max_concurrency
        self._timeout = settings.timeout
        self._dedupe = settings.dedupe
        overlap = overlap_undeclared if overlap_undeclared is not None else settings.overlap_undeclared
        self._undeclared = NOTHING if overlap else ANYTHING
        self._path = CallPath(cache=cache, observer=observer, single_flight=settings.dedupe)
        self._places = Places(count)
        self._threads = Threads(max_abandoned=4 * count)
        self._versions = Versions()
        self._approve = approve
        self._active: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._peak = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what still runs, give its callers an error, and end the threads; nothing can be run afterwards."""
        self._closed = True
        active = self._active - {asyncio.current_task()}
        for task in active:
            task.cancel()
        if active:
            await asyncio.wait(active)
        self._threads.close()

    # -- what people call ----------------------------------------------------------------------------------------

    async def run(
        self, call: ToolCall, *, priority: Priority = Priority.NORMAL, timeout: float | None = None
    ) -> ToolResult:
        """Run one call.

        Args:
            call: the call; its arguments are checked here.
            priority: its turn among those that wait for a place.
            timeout: seconds until it must have ended, waiting for a place included; None for no such limit. They
                count from now, or from a person's approval where the call needs one. The tool's own timeout counts
                from the start of its work.

        Returns:
            The result; a call that fails gives one that says why.

        Raises:
            ToolError: the pipeline is closed.
        """
        (job,) = await self._prepared([call])
        return await self._run(job, priority, timeout)

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
            timeout: as in `run`, for each call, from the time when the calls that it must wait for have ended.

        Raises:
            ToolError: the pipeline is closed.
        """
        jobs = await self._prepared(calls)
        if len(jobs) == 1:
            return [await self._run(jobs[0], priority, timeout)]
        tasks = self._start(jobs, group_dependent, priority, timeout)
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await _end(tasks)
        return [task.result() for task in tasks]

    async def as_completed(
        self,
        calls: Iterable[ToolCall],
        *,
        group_dependent: bool = True,
        priority: Priority = Priority.NORMAL,
        timeout: float | None = None,
    ) -> AsyncGenerator[ToolResult]:
        """Run calls as `run_batch` does, and yield each result when it is there; leaving early cancels the rest."""
        tasks = self._start(await self._prepared(calls), group_dependent, priority, timeout)
        ended: asyncio.Queue[asyncio.Task[ToolResult]] = asyncio.Queue()
        try:
            for task in tasks:
                task.add_done_callback(ended.put_nowait)
            for _ in tasks:
                yield (await ended.get()).result()
        finally:
            await _end(tasks)

    def metrics(self) -> PipelineMetrics:
        """Return the counters."""
        return PipelineMetrics(
            calls=self._counts["calls"],
            failed=self._counts["failed"],
            timeouts=self._counts["timeouts"],
            cancelled=self._counts["cancelled"],
            hits=self._counts["hit"],
            joined=self._counts["joined"],
            running=self._places.count - self._places.free,
            waiting=self._places.waiting,
            peak=self._peak,
            threads=self._threads.live,
            abandoned=self._threads.abandoned,
        )

    # -- one call ------------------------------------------------------------------------------------------------

    async def _prepared(self, calls: Iterable[ToolCall]) -> list[_Job]:
        """Look tools up, check arguments, and ask where a call needs a yes, before anything is planned or run."""
        jobs = [self._prepare(call) for call in calls]
        asking = [self._ask(job, job.question) for job in jobs if job.question is not None]
        if asking:
            task = asyncio.current_task()
            self._active.add(cast("asyncio.Task[Any]", task))
            try:
                await asyncio.gather(*asking)
            except asyncio.CancelledError:
                if not self._closed or task is None or task.uncancel():
                    raise
                raise ToolError("the pipeline was closed while a call waited for approval") from None
            finally:
                self._active.discard(cast("asyncio.Task[Any]", task))
        return jobs

    def _prepare(self, call: ToolCall) -> _Job:
        """Look the tool up and check the arguments; what is wrong becomes the job's error."""
        if self._closed:
            raise ToolError("the pipeline is closed; run calls inside its `async with` block")
        job = _Job(call)
        try:
            job.tool = found = self.registry.get(call.name)
            job.give(found, call.args)
            if found.approval != "never":
                reason = found.reason_to_ask(call, job.args)
                job.question = None if reason is None else Question(found.shown(call, job.args), reason)
        except ToolError as error:
            job.error, job.access = error, NOTHING
        return job

    async def _ask(self, job: _Job, question: Question) -> None:
        try:
            job.edited = await decide(question, self._approve)
            if job.edited is not None and job.tool is not None:
                job.give(job.tool, job.edited)
        except ToolError as error:
            job.error, job.access = error, NOTHING

    def _start(
        self, jobs: list[_Job], group: bool, priority: Priority, timeout: float | None
    ) -> list[asyncio.Task[ToolResult]]:
        """Start a task for each job, which first waits for those that it conflicts with."""
        tasks: list[asyncio.Task[ToolResult]] = []
        after = plan([self._undeclared if _is_undeclared(job) else job.access for job in jobs]) if group else None

        async def run(job: _Job, earlier: list[asyncio.Task[ToolResult]]) -> ToolResult:
            if earlier:
                await asyncio.wait(earlier)
            return await self._run(job, priority, timeout)

        for number, job in enumerate(jobs):
            earlier = [tasks[before] for before in after[number]] if after is not None else []
            tasks.append(asyncio.create_task(run(job, earlier)))
        return tasks

    async def _run(self, job: _Job, priority: Priority, timeout: float | None) -> ToolResult:
        task = asyncio.current_task()
        if task is None or self._closed:
            raise ToolError("the pipeline is closed; run calls inside its `async with` block")
        error: ToolError
        nested = task in self._active
        self._active.add(task)
        try:
            walk = self._path.run(self._keyed(job, priority))
            outcome = await (walk if timeout is None else _within(timeout, job.call.name, walk))
        except ToolError as failure:
            error = failure
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            if not self._closed or task.uncancel():
                raise
            error = ToolError(f"{job.call.name} was stopped: the pipeline was closed")
        else:
            if outcome.cache != "bypass":
                self._counts[outcome.cache] += 1
            value, content = outcome.value
            if job.edited is not None:
                content = f"[a person changed the arguments to {content_of(job.edited)}]\n{content}"
            self._counts["calls"] += 1
            return ToolResult(job.call, value, content, None, outcome.cache == "hit", perf_counter() - job.start)
        finally:
            if not nested:
                self._active.discard(task)
        self._counts["calls"] += 1
        self._counts["failed"] += 1
        if isinstance(error, ToolTimeoutError):
            self._counts["timeouts"] += 1
        return ToolResult(job.call, None, f"Error: {error}", error, False, perf_counter() - job.start)

    def _keyed(self, job: _Job, priority: Priority) -> Call[Done]:
        """Return a job as a call for the path: with a key where its effect allows to join or to keep it."""
        tool, key, ttl = job.tool, None, None
        if tool is not None and job.error is None and tool.effect in ("pure", "read"):
            ttl = tool.cache_ttl
            key = self._key(job, tool) if self._dedupe or ttl is not None else None
        return Call(
            "tool",
            job.call.name if tool is None else tool.name,
            key,
            lambda: self._work(job, priority),
            lambda done: self._encode(job, done),
            decode,
            _PLAIN if ttl is None else Policy(ttl=ttl, namespace="tools"),
            job.call.id,
        )

    def _key(self, job: _Job, tool: Tool) -> bytes | None:
        if tool.effect == "read":
            job.version = self._versions.of(job.access)
            if job.version is None:
                return None
        try:
            return cache_key([tool.identity, tool.jsonable(job.args), job.version], namespace="tool")
        except ValueError:
            return None  # arguments without a JSON form: the call is neither joined nor stored

    def _encode(self, job: _Job, done: Done) -> bytes | None:
        if job.version is not None and self._versions.of(job.access) != job.version:
            return None  # what it read changed meanwhile
        return encode(done)

    async def _work(self, job: _Job, priority: Priority) -> Done:
        """Do the work of a call in a place of its own."""
        tool = job.tool
        if job.error is not None or tool is None:
            raise job.error or ToolError(f"{job.call.name} was not prepared")
        places = self._places
        if not places.try_take():
            await places.take(priority)
        running = places.count - places.free
        if running > self._peak:
            self._peak = running
        writes = job.access.writes
        if writes:
            self._versions.written(job.access)
        try:
            limit = tool.timeout if tool.timeout is not None else self._timeout
            return await work(tool, job.args, limit, self._threads)
        finally:
            places.give()
            if writes:
                self._versions.written(job.access)


def _is_undeclared(job: _Job) -> bool:
    return job.tool is not None and job.tool.effect is None and job.error is None


_PLAIN = Policy(cache=False)


async def _within(timeout: float, name: str, walk: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(timeout):
            return await walk
    except TimeoutError as error:
        if isinstance(error, ToolTimeoutError):
            raise
        raise ToolTimeoutError(f"{name} had no result after {timeout:g} s") from error


async def _end(tasks: list[asyncio.Task[ToolResult]]) -> None:
    """Cancel what still runs, and return when nothing does."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
