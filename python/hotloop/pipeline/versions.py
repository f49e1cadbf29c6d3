"""Which version of the resources a call reads, so that a stored result is found only while they are unchanged."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from ..tools.effects import ANYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tools.effects import Access

__all__ = ["Version", "Versions", "Way"]

Version = list[list[str | int]]

Way = tuple[tuple[int, ...], ...]
"""The state of all folders, links and files on the ways to what a call reads."""

_COARSE_NS = 2_000_000_000
"""Two changes that are nearer in time may have one time stamp, on the coarsest file systems in use."""

_FINE_NS = 30_000_000
"""The same where stamps are fine: they follow the kernel's clock, which ticks every 10 ms or more often."""

_TICK_NS = 10_000_000

_MAX_LINKS = 40


class Versions:
    """Tells the version of what a call reads, and counts what calls write.

    A file's version is its device, number, size and time stamps. The system sets the stamp of the last change (ctime)
    whenever the content or the other stamps change, also when a program sets those back; nothing can set it back but
    the clock. A file that was changed so lately that a further change might have the same stamp has no version.
    A name's version is a counter that writes through this pipeline bump, and good in this process only.

    Args:
        now: the time since the epoch in nanoseconds; replaced in tests.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._owner = uuid4().hex
        # how many writes have begun, and how many have ended, of each name and of what may be anything
        self._begun: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._any_begun = 0
        self._any_ended = 0

    def begin(self, access: Access) -> None:
        """Note that a call which writes begins: until it ends, what it names has no version."""
        if access is ANYTHING:
            self._any_begun += 1
            return
        for place in access.writes:
            if not place:
                self._any_begun += 1
            elif place[0] == "name":
                self._begun[place[1]] += 1

    def end(self, access: Access) -> None:
        """Note that a call which writes has ended."""
        if access is ANYTHING:
            self._any_ended += 1
            return
        for place in access.writes:
            if not place:
                self._any_ended += 1
            elif place[0] == "name":
                self._ended[place[1]] += 1

    def of(self, access: Access) -> Version | None:
        """Return the version of what `access` reads; None where it has none that can be trusted."""
        version: Version = []
        for place in access.reads:
            if not place:
                return None
            kind, *parts = place
            if kind == "name":
                name = parts[0]
                begun, any_begun = self._begun[name], self._any_begun
                if begun != self._ended[name] or any_begun != self._any_ended:
                    return None  # it is being written
                version.append([name, self._owner, begun, any_begun])
                continue
            path = os.path.join(*parts)  # noqa: PTH118 - no object for each look
            found = self._file(path)
            if found is None:
                return None
            version.append([path, *found])
        return version

    def way(self, access: Access) -> Way | None:
        """Return the state of everything on the ways to what `access` reads; None while it is in doubt.

        Equal states before and after a read mean that the ways led to the same file all the time, also where a link
        or a folder was exchanged and put back.
        """
        state: list[tuple[int, ...]] = []
        now = self._now()
        for path in access.paths:
            for facts in _walk(path):
                if facts is None or self._is_fresh(facts, now):
                    return None
                state.append(_numbers(facts))
        return tuple(state)

    def _file(self, path: str) -> list[str | int] | None:
        try:
            facts = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return ["absent"]
        except (OSError, ValueError):
            return None
        # A tree has no version: to tell one costs a look at every file in it, which a search natively does as fast.
        if not stat.S_ISREG(facts.st_mode) or self._is_fresh(facts, self._now()):
            return None
        return [str(number) for number in _numbers(facts)]

    @staticmethod
    def _is_fresh(facts: os.stat_result, now: int) -> bool:
        if os.name == "nt":  # there, ctime is when the file was made, so nothing tells of every change
            return True
        fine = facts.st_ctime_ns % _TICK_NS != 0
        return facts.st_ctime_ns > now - (_FINE_NS if fine else _COARSE_NS)


def _numbers(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _walk(path: str) -> list[os.stat_result | None]:
    """Return the facts of each folder, link and file on the way to `path`; None for what cannot be told."""
    seen: list[os.stat_result | None] = []
    for _ in range(_MAX_LINKS):
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            here = "/".join(parts[:count]) or "/"
            try:
                facts = os.lstat(here)
            except (FileNotFoundError, NotADirectoryError):
                return seen  # the folder that would hold it is the last one seen
            except (OSError, ValueError):
                return [None]
            seen.append(facts)
            if stat.S_ISLNK(facts.st_mode):
                try:
                    target = os.readlink(here)  # noqa: PTH115 - text is quick
                except OSError:
                    return [None]
                path = os.path.join(os.path.dirname(here), target, *parts[count:])  # noqa: PTH118, PTH120 - text is quick
                break
        else:
            return seen
    return [None]
