"""What happens to calls before any is planned or run: they are looked up, checked, and a person is asked."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import ToolArgumentsError, ToolError
from ..tools.approval import Question
from ..tools.effects import ANYTHING, NOTHING, access
from .approval import decide
from .job import Job
from .plan import plan
from .queue import Limit, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import PurePath

    from ..toolcall import ToolCall
    from ..tools import Tool, ToolRegistry
    from ..tools.approval import Approver
    from ..tools.effects import Access, Place
    from .versions import Versions

__all__ = ["Intake"]


class Intake:
    """Makes jobs of calls.

    Args:
        registry: where tools are looked up.
        versions: learn of the jobs that write.
        approve: is asked about calls that need a yes; None where nobody is there.
        tool_limits: how many calls of a tool may run at once, by its name.
        resource_limits: how many calls that touch a resource may run at once.

    Attributes:
        max_argument_chars: characters of JSON that the arguments of one call may have.
        overlap_undeclared: whether calls of tools that declare no effect may overlap with others.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        versions: Versions,
        approve: Approver | None,
        tool_limits: Mapping[str, int],
        resource_limits: Mapping[str | PurePath, int],
    ) -> None:
        self._registry = registry
        self._versions = versions
        self._approve = approve
        self._tool_limits = {registry.get(name).name: Limit(limit) for name, limit in tool_limits.items()}
        self._resource_limits: list[tuple[Place, Limit]] = [
            (access("write", [resource]).writes[0], Limit(limit)) for resource, limit in resource_limits.items()
        ]
        self.max_argument_chars = 0
        self.overlap_undeclared = False

    def jobs(self, calls: Iterable[ToolCall]) -> list[Job]:
        """Make the jobs of the calls of a batch; each name is looked up once."""
        start, find = perf_counter(), _Found(self._registry).__getitem__
        return [self.job(call, start, find) for call in calls]

    def job(self, call: ToolCall, start: float, find: Callable[[str], Tool]) -> Job:
        """Look the tool up and check the arguments; what is wrong becomes the job's error.

        Args:
            call: the call.
            start: when it was asked for, by `perf_counter`.
            find: looks its tool up.
        """
        job = Job(call, self._versions, start)
        try:
            job.tool = found = find(call.name)
            self._give(job, found, call.args)
            if found.approval != "never":
                reason = found.reason_to_ask(call)
                job.question = None if reason is None else Question(found.shown(call), reason)
        except ToolError as error:
            job.error, job.access = error, NOTHING
        return job

    def _give(self, job: Job, tool: Tool, args: dict[str, Any] | str) -> None:
        if isinstance(args, str) and len(args) > self.max_argument_chars:
            raise ToolArgumentsError(
                f"{tool.name}: the arguments are {len(args)} characters of JSON, and {self.max_argument_chars} are "
                "allowed; pass the name of a file instead, or less at once"
            )
        job.given = args
        job.args = tool.validate(args)
        job.access = tool.fixed if tool.fixed is not None else tool.access(job.args)
        if tool.max_concurrency is not None or self._tool_limits or self._resource_limits:
            job.limits = self._limits(tool, job)

    def _limits(self, tool: Tool, job: Job) -> Limits:
        limit = self._tool_limits.get(tool.name)
        if limit is None and tool.max_concurrency is not None:
            limit = self._tool_limits[tool.name] = Limit(tool.max_concurrency)
        touches = self._planned(job)
        touched = (*touches.reads, *touches.writes)
        near = [limit for place, limit in self._resource_limits if any(_overlap(place, other) for other in touched)]
        return tuple(near) if limit is None else (limit, *near)

    async def ask(self, jobs: Sequence[Job]) -> None:
        """Ask about the jobs that need a yes, all at once; a no becomes the job's error."""
        await asyncio.gather(*(self._ask(job, job.question) for job in jobs if job.question is not None))

    async def _ask(self, job: Job, question: Question) -> None:
        try:
            job.edited = await decide(question, self._approve)
            if job.edited is not None and job.tool is not None:
                self._give(job, job.tool, job.edited)
        except ToolError as error:
            job.error, job.access = error, NOTHING

    def after(self, jobs: Sequence[Job]) -> dict[int, set[int]]:
        """Return, for each job that must wait, the earlier ones that it waits for."""
        return plan([self._planned(job) for job in jobs])

    def _planned(self, job: Job) -> Access:
        if job.tool is not None and job.tool.effect is None and job.error is None:
            return NOTHING if self.overlap_undeclared else ANYTHING
        return job.access


class _Found(dict[str, "Tool"]):
    """The tools that were looked up, by the names that were asked for."""

    def __init__(self, registry: ToolRegistry) -> None:
        self._registry = registry

    def __missing__(self, name: str) -> Tool:
        found = self[name] = self._registry.get(name)
        return found


def _overlap(one: Place, other: Place) -> bool:
    short = min(len(one), len(other))
    return one[:short] == other[:short]
