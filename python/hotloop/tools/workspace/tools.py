"""The tools that look at a workspace."""

from __future__ import annotations

import difflib
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..._core import Folder, __version__
from ...errors import WorkspaceError
from ..tool import Tool, tool
from .text import read_lines

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["workspace_tools"]

_MAX_ENTRIES = 1000
_MAX_MATCHES = 200
_MAX_COLUMNS = 240
_KEPT = 30 * 86_400.0
"""Seconds that what was read is kept; it is found only while the file is unchanged."""

_SUFFIX = {"file": "", "folder": "/", "link": "@", "other": "?"}

Path = Annotated[str, Field(description="Path in the workspace, as in src/main.py")]


def workspace_tools(root: str | PathLike[str]) -> list[Tool]:
    """Return the tools that look at the files of a folder: list_directory, read_file and grep_file.

    They never leave the folder: `..`, absolute paths and links that lead out of it are refused, also when a file is
    swapped for a link meanwhile. What `.gitignore` names is neither listed nor searched; it can be read by its name.

    Args:
        root: the folder.

    Raises:
        WorkspaceError: it is not there, is no folder, or may not be read.
    """
    try:
        folder = Folder(root)
    except OSError as error:
        raise WorkspaceError(f"the workspace {root} cannot be opened: {error.strerror or error}") from error
    base = PurePath(folder.path)

    @tool(effect="read", resources=lambda path: [base / path])
    def list_directory(path: Annotated[str, Field(description="Folder in the workspace")] = ".") -> str:
        """List the files and folders in a folder of the workspace. Folders end with /."""
        try:
            entries = folder.entries(path)
        except NotADirectoryError as error:
            raise WorkspaceError(f"{path} is a file, not a folder; read it with read_file") from error
        except WorkspaceError as error:
            raise _hinted(folder, path, error) from error
        lines = [name + _SUFFIX[kind] for name, kind in entries[:_MAX_ENTRIES]]
        if len(entries) > _MAX_ENTRIES:
            lines.append(f"[the first {_MAX_ENTRIES} of {len(entries)} names]")
        return "\n".join(lines) if lines else "[the folder is empty]"

    @tool(effect="read", resources=lambda path: [base / path], cache_ttl=_KEPT)
    def read_file(
        path: Path,
        start: Annotated[int, Field(ge=1, description="First line, from 1")] = 1,
        end: Annotated[int | None, Field(ge=1, description="Last line; the end of the file if left out")] = None,
    ) -> str:
        """Read a text file of the workspace, or some of its lines."""
        if end is not None and end < start:
            raise WorkspaceError(f"the last line ({end}) is before the first ({start})")
        try:
            handle = folder.open(path)
        except IsADirectoryError as error:
            raise WorkspaceError(f"{path} is a folder, not a file; list it with list_directory") from error
        except WorkspaceError as error:
            raise _hinted(folder, path, error) from error
        return read_lines(handle, path, start, end)

    @tool(effect="read", resources=lambda path: [base / path])
    def grep_file(
        pattern: Annotated[str, Field(min_length=1, description="Regular expression to look for in each line")],
        path: Annotated[str, Field(description="File or folder in the workspace")] = ".",
    ) -> str:
        """Search a file, or all files in a folder, for lines that match a pattern. Gives path:line: text."""
        try:
            found = folder.grep(pattern, path, max_matches=_MAX_MATCHES, max_columns=_MAX_COLUMNS)
        except ValueError as error:
            raise WorkspaceError(str(error)) from error
        except WorkspaceError as error:
            raise _hinted(folder, path, error) from error
        lines = [f"{file}:{number}: {text}" for file, number, text in found.matches]
        if found.more:
            lines.append(f"[the first {_MAX_MATCHES} lines; there are more: narrow the pattern or the path]")
        if not lines:
            left_out = f", {found.binary} binary left out" if found.binary else ""
            lines.append(f"[no line matches in {found.files} file{'' if found.files == 1 else 's'}{left_out}]")
        if found.unreadable and not found.more:
            lines.append(f"[{found.unreadable} could not be read]")
        return "\n".join(lines)

    tools: list[Tool] = [list_directory, read_file, grep_file]
    for made in tools:
        # what they close over is in the version of what they read, so their results outlive the process
        made.identity = f"hotloop.workspace.{made.name}/{__version__}"
    return tools


def _hinted(folder: Folder, path: str, error: WorkspaceError) -> WorkspaceError:
    """Add the nearest name to the error of a path that does not exist."""
    if not str(error).endswith("does not exist"):
        return error
    wanted = PurePath(path)
    try:
        names = [name for name, _ in folder.entries(wanted.parent)]
    except (OSError, WorkspaceError):
        return error
    near = difflib.get_close_matches(wanted.name, names, n=1)
    return WorkspaceError(f"{error}; did you mean {wanted.parent / near[0]}?") if near else error
