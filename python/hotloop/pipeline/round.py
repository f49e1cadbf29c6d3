"""The calls of one batch: who waits for whom, and when all are there."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import groupby, islice
from typing import TYPE_CHECKING, Protocol

from ..tools.effects import SHARED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
    from typing import Any

    from ..tools import Tool
    from .batches import Batches
    from .batching import Entry
    from .engine import Terms
    from .job import Job
    from .result import ToolResult

__all__ = ["Round"]


class Runner(Protocol):
    """Runs the calls of a round."""

    @property
    def window(self) -> int:
        """How many of them may have a task at once."""

    @property
    def batches(self) -> Batches:
        """Where calls gather that need no task."""

    def run(self, job: Job, terms: Terms) -> Coroutine[Any, Any, ToolResult]:
        """Run a call."""

    def expired(self, job: Job, terms: Terms) -> ToolResult:
        """Return the result of a call whose time is over before it could start."""


class Round:
    """Starts each call when those that it must wait for have ended, and gathers the results.

    Args:
        runner: runs the calls.
        jobs: the calls.
        after: for each that must wait, the earlier ones that it waits for.
        terms: how they are run.
        each: whether somebody wants to know of each result when it is there.
    """

    def __init__(
        self, runner: Runner, jobs: Sequence[Job], after: Mapping[int, set[int]], terms: Terms, *, each: bool
    ) -> None:
        self._runner = runner
        self._terms = terms
        self._jobs = jobs
        self._loop = asyncio.get_running_loop()
        self._waits = {number: len(earlier) for number, earlier in after.items()}
        self._followers: dict[int, list[int]] = {}
        for number, earlier in after.items():
            for one in earlier:
                self._followers.setdefault(one, []).append(number)
        self.results: list[ToolResult | None] = [None] * len(jobs)
        self._left = len(jobs)
        self._fresh: deque[ToolResult] = deque()
        self._failure: BaseException | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._batches = runner.batches
        self._gathered: dict[tuple[int, ...], Entry] = {}
        self._hear = self._heard  # one for all
        self._tools = [job.tool if job.error is None else None for job in jobs]
        self._started: set[int] = set()
        self._windowed: set[int] = set()  # those with a task, of those that may be held back
        self._held: deque[int] = deque()
        self._change: asyncio.Future[None] | None = None
        self._each = each
        self._timer = None if terms.deadline is None else self._loop.call_at(terms.deadline, self._expire)

    def start(self) -> None:
        """Start all that need not wait."""
        numbers = range(len(self._jobs))
        self._start([number for number in numbers if number not in self._waits] if self._waits else numbers)

    def _start(self, numbers: Iterable[int]) -> None:
        """Start calls: neighbours that gather in one batch together, all others each by itself."""
        for tool, some in groupby(numbers, self._tools.__getitem__):
            if tool is None or not self._batches.takes(tool):
                for number in some:
                    self._ready(number)
            elif tool.effect in SHARED:
                for number in some:
                    self._share(number, tool)
            else:
                while fitting := tuple(islice(some, self._batches.room(tool))):
                    self._gather(fitting, tool)

    def _gather(self, numbers: tuple[int, ...], tool: Tool) -> None:
        """Add calls to a batch, without a task for any of them."""
        self._started.update(numbers)
        jobs = [self._jobs[number] for number in numbers]
        self._gathered[numbers] = self._batches.add(jobs, tool, self._terms.priority, (self._hear, numbers))

    def _share(self, number: int, tool: Tool) -> None:
        """Add a call to a batch if nothing but identical calls has a part in it."""
        entry = self._batches.add_shared(self._jobs[number], tool, self._terms.priority, (self._hear, (number,)))
        if entry is None:
            self._launch(number)
        else:
            self._started.add(number)
            self._gathered[number,] = entry

    def _ready(self, number: int) -> None:
        """Start a call, or hold it back: ten thousand tasks that wait for a place would slow everything down."""
        job = self._jobs[number]
        # those that have limits of their own may pass others, and those that gather must be there
        if job.limits or (job.tool is not None and job.tool.batch is not None):
            self._launch(number)
        elif len(self._windowed) < self._runner.window:
            self._windowed.add(number)
            self._launch(number)
        else:
            self._held.append(number)

    def _launch(self, number: int) -> None:
        self._started.add(number)
        self._tasks[number] = self._loop.create_task(self._run(number))

    def _heard(self, numbers: tuple[int, ...], given: list[Any], joined: bool) -> None:
        self._gathered.pop(numbers, None)
        jobs = [self._jobs[number] for number in numbers]
        self._ended(numbers, self._batches.results(jobs, given, joined))

    async def _run(self, number: int) -> None:
        try:
            result = await self._runner.run(self._jobs[number], self._terms)
        except BaseException as error:
            if self._failure is None:
                self._failure = error
            self._wake()
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
        else:
            self._tasks.pop(number, None)
            self._windowed.discard(number)
            self._ended((number,), [result])
            while self._held and len(self._windowed) < self._runner.window:
                if self.results[held := self._held.popleft()] is None:
                    self._ready(held)

    def _ended(self, numbers: Sequence[int], results: list[ToolResult]) -> None:
        for number, result in zip(numbers, results, strict=True):
            if self.results[number] is None:
                self.results[number] = result
                self._left -= 1
                if self._each:
                    self._fresh.append(result)
        if self._followers:
            self._start([follower for number in numbers for follower in self._released(number)])
        if self._each or not self._left:
            self._wake()

    def _released(self, number: int) -> list[int]:
        """Return those that waited for nothing but this call."""
        released = []
        for follower in self._followers.pop(number, ()):
            self._waits[follower] -= 1
            if not self._waits[follower] and self.results[follower] is None:
                released.append(follower)
        return released

    def _expire(self) -> None:
        """Give those that have not started, and those that gather in a batch, their result."""
        for number, job in enumerate(self._jobs):
            if number not in self._started and self.results[number] is None:
                self.results[number] = expired = self._runner.expired(job, self._terms)
                self._left -= 1
                if self._each:
                    self._fresh.append(expired)
        for numbers in self._call_off():
            self._ended(numbers, [self._runner.expired(self._jobs[number], self._terms) for number in numbers])
        self._wake()

    def _call_off(self) -> list[tuple[int, ...]]:
        """Call off those that gather, and return which they are."""
        gathered, self._gathered = self._gathered, {}
        for numbers, entry in gathered.items():
            self._batches.leave(entry, (self._hear, numbers))
        return list(gathered)

    def _wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def completed(self) -> AsyncGenerator[ToolResult]:
        """Yield each result when it is there."""
        given = 0
        while given < len(self._jobs):
            while self._fresh:
                given += 1
                yield self._fresh.popleft()
            if given < len(self._jobs):
                await self._wait()

    async def all(self) -> list[ToolResult]:
        """Return the results in the order of the calls, when all are there."""
        while self._left:
            await self._wait()
        return [result for result in self.results if result is not None]

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._change = self._loop.create_future()
        try:
            await self._change
        finally:
            self._change = None

    async def end(self) -> None:
        """Cancel what still runs, and return when nothing does."""
        if self._timer is not None:
            self._timer.cancel()
        self._followers.clear()  # nothing more starts
        self._held.clear()
        self._call_off()
        running = [task for task in self._tasks.values() if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
