"""Which version of the resources a call reads, so that a stored result is found only while they are unchanged."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tools.effects import Access

__all__ = ["Version", "Versions"]

Version = list[list[str | int]]

_RACY_NS = 2_000_000_000
"""A file that changed this recently may change again under the same time stamp, as in git's index; then its content
counts. Two seconds is the coarsest clock of the file systems in use (FAT)."""

_CONTENT_LIMIT = 4 << 20
"""Bytes of a file that is read to tell its version; a larger one has none while its time stamp is in doubt."""


class Versions:
    """Tells the version of what a call reads, and counts what calls write.

    A file's version is its identity, size and time stamps and, when these are too fresh to be trusted, its content.
    Another program's change is seen as well as our own. A name's version is a counter that writes through this
    pipeline bump, and good in this process only.

    Args:
        now: the time since the epoch in nanoseconds; replaced in tests.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._owner = uuid4().hex
        self._writes: Counter[str] = Counter()
        self._any_write = 0

    def written(self, access: Access) -> None:
        """Note that a call which writes begins or ends: what is read meanwhile must not be taken for what is there."""
        for place in access.writes:
            if not place:
                self._any_write += 1
            elif place[0] == "name":
                self._writes[place[1]] += 1

    def of(self, access: Access) -> Version | None:
        """Return the version of what `access` reads; None where it has none that can be trusted."""
        version: Version = []
        for place in access.reads:
            if not place:
                return None
            kind, *parts = place
            if kind == "name":
                version.append([parts[0], self._owner, self._writes[parts[0]], self._any_write])
                continue
            path = os.path.join(*parts)  # noqa: PTH118 - no object for each look
            found = self._file(path)
            if found is None:
                return None
            version.append([path, *found])
        return version

    def _file(self, path: str) -> list[str | int] | None:
        try:
            facts = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return ["absent"]
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(facts.st_mode):
            return None
        version: list[str | int] = [
            str(number) for number in (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        ]
        if max(facts.st_mtime_ns, facts.st_ctime_ns) > self._now() - _RACY_NS:
            digest = _content(path, facts)
            if digest is None:
                return None
            version.append(digest)
        return version


def _content(path: str, facts: os.stat_result) -> str | None:
    if facts.st_size > _CONTENT_LIMIT:
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not os.path.samestat(os.fstat(handle), facts):
            return None
        return hashlib.sha256(file.read(_CONTENT_LIMIT + 1)).hexdigest()
