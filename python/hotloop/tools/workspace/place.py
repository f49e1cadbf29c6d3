"""A workspace: its folder, and what was seen of its files."""

from __future__ import annotations

import difflib
import hashlib
import os
import time
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from ..._core import Folder
from ...errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

__all__ = ["Facts", "Place", "Seen", "facts_of"]

Facts = tuple[int, int, int, int, int]
"""Device, number, size, time of modification and of change: what tells one state of a file from another."""

_FRESH_NS = 2_000_000_000
"""A file that changed this recently may change again under the same time stamp; then its content counts too."""
_MAX_HASHED = 4 << 20


class Seen(NamedTuple):
    """The state of a file when it was read; `digest` of its content where the time stamps alone are in doubt."""

    facts: Facts
    digest: bytes | None


class Place:
    """The folder that the tools of one workspace share, and the states in which its files were read.

    Args:
        root: the folder.
        now: the time since the epoch in nanoseconds; replaced in tests.

    Raises:
        WorkspaceError: it is not there, is no folder, or may not be read.
    """

    def __init__(self, root: str | PathLike[str], now: Callable[[], int] = time.time_ns) -> None:
        try:
            self.folder = Folder(root)
        except OSError as error:
            raise WorkspaceError(f"the workspace {root} cannot be opened: {error.strerror or error}") from error
        self.base = PurePath(self.folder.path)
        self._now = now
        self._seen: dict[str, Seen] = {}

    def open(self, path: str) -> int:
        """Open a file for reading.

        Raises:
            WorkspaceError: it cannot be read; names the nearest where it is not there.
        """
        try:
            return self.folder.open(path)
        except IsADirectoryError as error:
            raise WorkspaceError(f"{path} is a folder, not a file; list it with list_directory") from error
        except WorkspaceError as error:
            raise self.hinted(path, error) from error

    def hinted(self, path: str, error: WorkspaceError) -> WorkspaceError:
        """Add the nearest name to the error of a path that does not exist."""
        if not str(error).endswith("does not exist"):
            return error
        wanted = PurePath(path)
        try:
            names = [name for name, _ in self.folder.entries(wanted.parent)]
        except (OSError, WorkspaceError):
            return error
        near = difflib.get_close_matches(wanted.name, names, n=1)
        return WorkspaceError(f"{error}; did you mean {wanted.parent / near[0]}?") if near else error

    # -- what was read -------------------------------------------------------------------------------------------

    def reading(self, path: str) -> list[PurePath]:
        """Return what a call that reads `path` touches, and note the state of the file.

        A result may come from the cache, without the tool being called; its key covers the state of the file, so the
        model then sees this state, or a later one.
        """
        try:
            handle = self.folder.open(path)
        except (OSError, WorkspaceError, ValueError):
            return [self.base / path]  # the call itself will say what is wrong
        try:
            self.note(path, handle)
        finally:
            os.close(handle)
        return [self.base / path]

    def note(self, path: str, handle: int) -> None:
        """Remember the state of an open file as the one that was read."""
        facts = os.fstat(handle)
        digest = None
        if max(facts.st_mtime_ns, facts.st_ctime_ns) > self._now() - _FRESH_NS and facts.st_size <= _MAX_HASHED:
            digest = hashlib.sha256(os.pread(handle, _MAX_HASHED, 0)).digest()
        self._seen[self._name(path)] = Seen(facts_of(facts), digest)

    def wrote(self, path: str, facts: Facts, content: bytes) -> None:
        """Remember the state that a file was given here."""
        self._seen[self._name(path)] = Seen(facts, hashlib.sha256(content).digest())

    def unchanged(self, path: str, facts: Facts, content: bytes) -> bool:
        """Return whether a file, of this state and content now, is what was read last; True where it was not read."""
        seen = self._seen.get(self._name(path))
        if seen is None:
            return True
        return seen.facts == facts and seen.digest in (None, hashlib.sha256(content).digest())

    def was_read(self, path: str) -> bool:
        """Return whether a file was read, or written, here."""
        return self._name(path) in self._seen

    def _name(self, path: str) -> str:
        return os.path.realpath(self.base / path)


def facts_of(found: os.stat_result) -> Facts:
    """Return what tells the state of a file."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
