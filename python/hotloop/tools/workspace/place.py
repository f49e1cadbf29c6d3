"""A workspace: its folder, and what was seen of its files."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import time
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

from ..._core import Folder
from ...errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

__all__ = ["MAX_BYTES", "Facts", "Place", "Seen", "one_line"]

Facts = tuple[int, int, int, int, int]
"""Device, number, size, time of modification and of change: what tells one state of a file from another."""

_FRESH_NS = 2_000_000_000
"""A file that changed this recently may change again under the same time stamp; then its content counts too."""
MAX_BYTES = 32 << 20
"""Larger files can be read, and are not changed."""


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
        self._seen: dict[PurePath, Seen] = {}

    def open(self, path: str) -> int:
        """Open a file for reading, as the state of it that is read.

        Raises:
            WorkspaceError: it cannot be read; names the nearest where it is not there.
        """
        try:
            handle, found = self.folder.open(path)
        except IsADirectoryError as error:
            raise WorkspaceError(f"{path or '.'} is a folder, not a file; list it with list_directory") from error
        except WorkspaceError as error:
            raise self.hinted(path, error) from error
        self._note(found, handle)
        return handle

    def hinted(self, path: str, error: WorkspaceError) -> WorkspaceError:
        """Add the nearest name to the error of a path that does not exist."""
        if not str(error).endswith("does not exist"):
            return error
        wanted = PurePath(path)
        try:
            names = [name for name, _ in self.folder.entries(wanted.parent)]
        except (OSError, WorkspaceError):
            return error
        if wanted.name in names:
            return WorkspaceError(f"{path} is a link to something that does not exist")
        near = difflib.get_close_matches(wanted.name, names, n=1)
        if not near:
            return error
        meant = str(wanted.parent / near[0])
        alike = normalize("NFC", near[0]) == normalize("NFC", wanted.name)  # differ, and look the same
        return WorkspaceError(f"{error}; did you mean {json.dumps(meant) if alike else one_line(meant)}?")

    # -- what calls touch ----------------------------------------------------------------------------------------

    def touched(self, path: str) -> list[PurePath]:
        """Return what a call that looks at `path`, or changes it, touches."""
        try:
            return [self.base / self.folder.locate(path)]
        except (WorkspaceError, ValueError):
            return [self.base / path.partition("\0")[0]]  # the call itself will say what is wrong

    def reading(self, path: str) -> list[PurePath] | None:
        """Return what a call that reads the file at `path` touches, and note the state of the file.

        A result may come from the cache, without the tool being called; its key covers the state of the file, so the
        model then sees this state, or a later one. None where the path is no way to the file, because the workspace was
        moved, so that the file's state cannot be told from it.
        """
        try:
            handle, found = self.folder.open(path)
        except (OSError, WorkspaceError, ValueError):
            return self.touched(path)
        try:
            self._note(found, handle)
            named = Path(self.base / found).lstat()
            return [self.base / found] if os.path.samestat(named, os.fstat(handle)) else None
        except OSError:
            return None
        finally:
            os.close(handle)

    # -- what was read -------------------------------------------------------------------------------------------

    def _note(self, found: PurePath, handle: int) -> None:
        """Remember the state of an open file as the one that was read."""
        facts = os.fstat(handle)
        digest = None
        if max(facts.st_mtime_ns, facts.st_ctime_ns) > self._now() - _FRESH_NS and facts.st_size <= MAX_BYTES:
            digest = hashlib.sha256(os.pread(handle, MAX_BYTES, 0)).digest()
        self._seen[found] = Seen(_facts_of(facts), digest)

    def content(self, path: str) -> tuple[Facts, bytes]:
        """Return the state and the content of a file, if it is still what was read here.

        Raises:
            WorkspaceError: it changed since it was read, is too large, or cannot be read.
        """
        try:
            handle, found = self.folder.open(path)
        except IsADirectoryError as error:
            raise WorkspaceError(f"{path} is a folder, not a file") from error
        except WorkspaceError as error:
            raise self.hinted(path, error) from error
        with os.fdopen(handle, "rb") as file:
            facts = _facts_of(os.fstat(handle))
            if facts[2] > MAX_BYTES:
                raise WorkspaceError(f"{path} has {facts[2]} bytes; files above {MAX_BYTES} are not changed here")
            content = file.read(MAX_BYTES + 1)
        seen = self._seen.get(found)
        if seen is not None and (seen.facts != facts or seen.digest not in (None, hashlib.sha256(content).digest())):
            raise WorkspaceError(f"{path} changed since it was read; read it again, then change it")
        return facts, content

    def write(self, path: str, content: bytes, expected: Facts | None) -> None:
        """Replace a file, if it is still of the state that is expected, or make it.

        Raises:
            WorkspaceError: it is not, or it cannot be written.
        """
        try:
            facts = self.folder.write(path, content, expected=expected)
        except FileExistsError as error:
            raise WorkspaceError(f"{path} changed since it was read; read it again, then change it") from error
        except IsADirectoryError as error:
            raise WorkspaceError(f"{path} is a folder, not a file") from error
        self._seen[self.folder.locate(path)] = Seen(facts, hashlib.sha256(content).digest())

    def was_read(self, path: str) -> bool:
        """Return whether there is a file that was read, or written, here."""
        try:
            handle, found = self.folder.open(path)
        except (OSError, WorkspaceError, ValueError):
            return False  # writing will say what is wrong, if anything is
        os.close(handle)
        return found in self._seen


def one_line(name: str) -> str:
    """Return a name in one line: one that could pass for several, or for another, is written as JSON."""
    return name if name.isprintable() and not name.startswith('"') else json.dumps(name)


def _facts_of(found: os.stat_result) -> Facts:
    """Return what tells the state of a file."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
