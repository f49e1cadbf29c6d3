"""Calls of a tool with `batch=` gather, and run as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ToolError
from ..tools.content import content_of
from .work import Done, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tools import Tool
    from .job import Job
    from .queue import Priority

__all__ = ["Batcher", "Entry", "Gathering", "Listener", "share_out"]

Listener = "tuple[Callable[[Any, Done | BaseException, bool], None], Any]"
"""A function that hears what a call came to, and whether it came from identical work in flight; and its first argument,
which tells the calls apart for it: one is made for each call, and a function of its own would cost more."""

_new = tuple.__new__  # as in the engine


class Timer(Protocol):
    """What a clock gives for a wait that may be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Entry:
    """One call of a batch, and those who wait for it: several, where their calls are identical."""

    __slots__ = ("home", "job", "key", "listeners")

    def __init__(self, job: Job, key: bytes | None, home: Gathering, listener: Any) -> None:
        self.job = job
        self.key = key
        self.home = home
        self.listeners = [listener]


@dataclass(slots=True, eq=False)
class Gathering:
    """The calls that will run, or run, as one."""

    tool: Tool
    priority: Priority
    entries: list[Entry] = field(default_factory=list)
    timer: Timer | None = None
    stop: Callable[[], Any] | None = None


class Batcher:
    """Gathers calls; a batch starts when its window is over or when it is full, whichever is first.

    Args:
        start: starts a batch, and returns a function that cancels it.
        later: calls a function after so many seconds, as `loop.call_later`.
    """

    def __init__(
        self,
        start: Callable[[Gathering], Callable[[], Any]],
        later: Callable[[float, Callable[[Gathering], None], Gathering], Timer],
    ) -> None:
        self._start = start
        self._later = later
        self._gathering: dict[Tool, Gathering] = {}
        self._keyed: dict[bytes, Entry] = {}

    def add(self, tool: Tool, job: Job, key: bytes | None, priority: Priority, listener: Any) -> Entry:
        """Add a call; `listener` hears what it comes to, unless `leave` is called before."""
        if key is not None and (found := self._keyed.get(key)) is not None:
            found.listeners.append(listener)
            return found
        batch = tool.batch
        if batch is None:
            raise ToolError(f"{tool.name} has no batch function")
        gathering = self._gathering.get(tool)
        if gathering is None:
            gathering = self._gathering[tool] = Gathering(tool, priority)
            gathering.timer = self._later(batch.window, self._close, gathering)
        elif priority > gathering.priority:
            gathering.priority = priority
        entry = Entry(job, key, gathering, listener)
        gathering.entries.append(entry)
        if key is not None:
            self._keyed[key] = entry
        if len(gathering.entries) >= batch.size:
            self._close(gathering)
        return entry

    def leave(self, entry: Entry, listener: Any) -> None:
        """Wait for a call no more; one that nobody waits for does not start, and a batch without any is cancelled."""
        if listener in entry.listeners:
            entry.listeners.remove(listener)
        if entry.listeners:
            return
        self._forget(entry)
        home = entry.home
        if home.stop is None:
            home.entries.remove(entry)
            if not home.entries:
                self._take(home)
        elif not any(other.listeners for other in home.entries):
            home.stop()

    def settle(self, entry: Entry, outcome: Done | BaseException) -> None:
        """Tell everyone who waits for a call what it came to."""
        if entry.key is not None:
            self._forget(entry)
        listeners, entry.listeners = entry.listeners, []
        joined = False
        for hear, tag in listeners:
            hear(tag, outcome, joined)
            joined = True

    def _forget(self, entry: Entry) -> None:
        if entry.key is not None and self._keyed.get(entry.key) is entry:
            del self._keyed[entry.key]

    def _close(self, gathering: Gathering) -> None:
        if self._take(gathering):
            gathering.stop = self._start(gathering)

    def _take(self, gathering: Gathering) -> bool:
        if gathering.timer is not None:
            gathering.timer.cancel()
        if self._gathering.get(gathering.tool) is not gathering:
            return False
        del self._gathering[gathering.tool]
        return True


def share_out(tool: Tool, count: int, results: Any) -> list[Done | BaseException]:
    """Return what each of `count` calls comes to, of what the batch function returned."""
    if not isinstance(results, list | tuple):
        wrong = ToolError(
            f"{tool.name} failed: its batch function returned {type(results).__name__}, not a list with a result a call"
        )
        return [wrong] * count
    results = list(results)  # a subclass may count otherwise than it gives
    if len(results) > count:
        wrong = ToolError(
            f"{tool.name} failed: its batch function returned {len(results)} results for {count} calls, so whose they "
            "are is unknown"
        )
        return [wrong] * count
    missing = ToolError(f"{tool.name} failed: its batch function returned {len(results)} results for {count} calls")
    return [_outcome(tool, result) for result in results] + [missing] * (count - len(results))


def _outcome(tool: Tool, result: Any) -> Done | BaseException:
    if not isinstance(result, BaseException):
        try:
            return _new(Done, (result, content_of(result), "", None))
        except ToolError as error:
            return error
    if isinstance(result, ToolError):
        return result
    wrong = failure(tool.name, result)
    wrong.__cause__ = result
    return Done(None, "", error=wrong) if isinstance(result, tool.cache_errors) else wrong
