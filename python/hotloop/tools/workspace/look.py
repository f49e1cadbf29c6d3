"""The tools that look at a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...errors import WorkspaceError
from ..tool import Tool, tool
from .place import one_line
from .text import read_lines

if TYPE_CHECKING:
    from .place import Place

__all__ = ["looking"]

_MAX_ENTRIES = 1000
_MAX_MATCHES = 200
_MAX_COLUMNS = 240
_KEPT = 30 * 86_400.0
"""Seconds that what was read is kept; it is found only while the file is unchanged."""

_SUFFIX = {"file": "", "folder": "/", "link": "@", "other": "?"}

Path = Annotated[str, Field(description="Path in the workspace, as in src/main.py")]


def looking(place: Place) -> list[Tool]:
    """Return list_directory, read_file, grep_file and find_files for a workspace."""
    folder = place.folder

    @tool(effect="read", resources=place.touched)
    def list_directory(path: Annotated[str, Field(description="Folder in the workspace")] = ".") -> str:
        """List the files and folders in a folder of the workspace. Folders end with /."""
        try:
            entries = folder.entries(path)
        except NotADirectoryError as error:
            raise WorkspaceError(f"{path} is a file, not a folder; read it with read_file") from error
        except WorkspaceError as error:
            raise place.hinted(path, error) from error
        lines = [one_line(name) + _SUFFIX[kind] for name, kind in entries[:_MAX_ENTRIES]]
        if len(entries) > _MAX_ENTRIES:
            lines.append(f"[the first {_MAX_ENTRIES} of {len(entries)} names]")
        return "\n".join(lines) if lines else "[the folder is empty]"

    @tool(effect="read", resources=place.reading, cache_ttl=_KEPT)
    def read_file(
        path: Path,
        start: Annotated[int, Field(ge=1, description="First line, from 1")] = 1,
        end: Annotated[int | None, Field(ge=1, description="Last line; the end of the file if left out")] = None,
    ) -> str:
        """Read a text file of the workspace, or some of its lines."""
        if end is not None and end < start:
            raise WorkspaceError(f"the last line ({end}) is before the first ({start})")
        return read_lines(place.open(path), path, start, end)

    @tool(effect="read", resources=place.touched)
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
            raise place.hinted(path, error) from error
        lines = [f"{one_line(file)}:{number}: {text}" for file, number, text in found.matches]
        if found.more:
            lines.append(f"[the first {_MAX_MATCHES} lines; there are more: narrow the pattern or the path]")
        if not lines:
            left_out = f", {found.binary} binary left out" if found.binary else ""
            lines.append(f"[no line matches in {found.files} file{'' if found.files == 1 else 's'}{left_out}]")
        if found.unreadable and not found.more:
            lines.append(f"[{found.unreadable} could not be read]")
        return "\n".join(lines)

    @tool(effect="read", resources=place.touched)
    def find_files(
        pattern: Annotated[str, Field(min_length=1, description="Glob, as in *.py or src/**/test_*.py")],
        path: Annotated[str, Field(description="Folder in the workspace to look in")] = ".",
    ) -> str:
        """Find files by their names, in a folder and those in it. A pattern without / matches names in any folder."""
        try:
            paths, more, unreadable = folder.find(pattern, path, max_files=_MAX_ENTRIES)
        except ValueError as error:
            raise WorkspaceError(str(error)) from error
        except NotADirectoryError as error:
            raise WorkspaceError(f"{path} is a file, not a folder") from error
        except WorkspaceError as error:
            raise place.hinted(path, error) from error
        lines = [one_line(name) for name in paths]
        if more:
            lines.append(f"[the first {_MAX_ENTRIES} files; there are more: narrow the pattern or the path]")
        elif unreadable:
            lines.append(f"[{unreadable} folder{'' if unreadable == 1 else 's'} could not be read]")
        return "\n".join(lines) if lines else "[no file matches]"

    return [list_directory, read_file, grep_file, find_files]
