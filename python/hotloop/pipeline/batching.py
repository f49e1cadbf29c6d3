"""Calls of a tool with `batch=` gather, and run as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ToolError
from .work import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tools import Batch, Tool
    from .job import Job
    from .queue import Priority

__all__ = ["Batcher", "Entry", "Gathering", "Listener", "share_out"]

Listener = "tuple[Callable[[Any, list[Any], bool], None], Any]"
"""A function that hears what was given for the calls of an entry, each a value or a `ToolError`, and whether that comes
from identical work in flight; and its first argument, which tells the entries apart for it."""


class Timer(Protocol):
    """What a clock gives for a wait that may be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Entry:
    """The calls that one caller adds to a batch, and those who wait for them: several, where their calls are identical.

    What costs time for each entry costs it once for all calls of a caller. An entry with a key has one call.
    """

    __slots__ = ("home", "jobs", "key", "listeners")

    def __init__(self, jobs: list[Job], key: bytes | None, home: Gathering, listener: Any) -> None:
        self.jobs = jobs
        self.key = key
        self.home = home
        self.listeners = [listener]


@dataclass(slots=True, eq=False)
class Gathering:
    """The calls that will run, or run, as one."""

    tool: Tool
    priority: Priority
    room: int
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

    def room(self, tool: Tool) -> int:
        """Return how many calls the batch that gathers for a tool still takes."""
        gathering = self._gathering.get(tool)
        return gathering.room if gathering is not None else _batch(tool).size

    def add(self, tool: Tool, jobs: list[Job], key: bytes | None, priority: Priority, listener: Any) -> Entry:
        """Add calls for which there is room; `listener` hears what they come to, unless `leave` is called before."""
        if key is not None and (found := self._keyed.get(key)) is not None:
            found.listeners.append(listener)
            return found
        gathering = self._gathering.get(tool)
        if gathering is None:
            batch = _batch(tool)
            gathering = self._gathering[tool] = Gathering(tool, priority, batch.size)
            gathering.timer = self._later(batch.window, self._close, gathering)
        elif priority > gathering.priority:
            gathering.priority = priority
        entry = Entry(jobs, key, gathering, listener)
        gathering.entries.append(entry)
        gathering.room -= len(jobs)
        if key is not None:
            self._keyed[key] = entry
        if gathering.room <= 0:
            self._close(gathering)
        return entry

    def leave(self, entry: Entry, listener: Any) -> None:
        """Wait for calls no more; those that nobody waits for do not start, and a batch without any is cancelled."""
        if listener in entry.listeners:
            entry.listeners.remove(listener)
        if entry.listeners:
            return
        self._forget(entry)
        home = entry.home
        if home.stop is None:
            home.entries.remove(entry)
            home.room += len(entry.jobs)
            if not home.entries:
                self._take(home)
        elif not any(other.listeners for other in home.entries):
            home.stop()

    def settle(self, entry: Entry, given: list[Any]) -> None:
        """Tell everyone who waits for calls what was given for them."""
        if entry.key is not None:
            self._forget(entry)
        listeners, entry.listeners = entry.listeners, []
        joined = False
        for hear, tag in listeners:
            hear(tag, given, joined)
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


def _batch(tool: Tool) -> Batch:
    if tool.batch is None:
        raise ToolError(f"{tool.name} has no batch function")
    return tool.batch


def share_out(tool: Tool, count: int, results: Any) -> list[Any]:
    """Return what is for each of `count` calls, of what the batch function returned: a value or a `ToolError`."""
    if not isinstance(results, list | tuple):
        wrong = ToolError(
            f"{tool.name} failed: its batch function returned {type(results).__name__}, not a list with a result a call"
        )
        return [wrong] * count
    # counted when they are copied: a subclass may count otherwise than it gives
    given: list[Any] = [_error(tool, one) if isinstance(one, BaseException) else one for one in results]
    if len(given) > count:
        wrong = ToolError(
            f"{tool.name} failed: its batch function returned {len(given)} results for {count} calls, so whose they "
            "are is unknown"
        )
        return [wrong] * count
    missing = ToolError(f"{tool.name} failed: its batch function returned {len(given)} results for {count} calls")
    return given + [missing] * (count - len(given))


def _error(tool: Tool, given: BaseException) -> ToolError:
    if isinstance(given, ToolError):
        return given
    wrong = failure(tool.name, given)
    wrong.__cause__ = given
    return wrong
