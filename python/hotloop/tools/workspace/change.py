"""The tools that change the files of a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...errors import WorkspaceError
from ..effects import Touches
from ..tool import Tool, tool
from .edit import replaced

if TYPE_CHECKING:
    from ..approval import Approval
    from .place import Place

__all__ = ["changing"]

Path = Annotated[str, Field(description="Path in the workspace, as in src/main.py")]


def changing(place: Place, approval: Approval) -> list[Tool]:
    """Return write_file and edit_file for a workspace.

    A file is replaced whole, at once, by one that was written beside it; mode and owner stay. Both refuse a file that
    changed since it was read here, until it is read again.
    """

    def touched(path: str) -> Touches:
        places = place.touched(path)
        return Touches(reads=places, writes=places)

    @tool(effect="write", resources=place.touched, approval=approval)
    def write_file(path: Path, content: Annotated[str, Field(description="The whole text of the file")]) -> str:
        """Write a text file of the workspace: make it, with the folders on the way to it, or replace all its text."""
        try:
            data = content.encode()
        except UnicodeEncodeError as error:
            raise WorkspaceError(f"the content is not text: {content[error.start]!a} stands in it") from error
        expected = place.content(path)[0] if place.was_read(path) else None
        place.write(path, data, expected)
        lines = content.count("\n") + (not content.endswith("\n") and bool(content))
        return f"wrote {path}: {lines} line{'' if lines == 1 else 's'}, {len(data)} bytes"

    @tool(effect="write", resources=touched, approval=approval)
    def edit_file(
        path: Path,
        old_string: Annotated[str, Field(min_length=1, description="Text to replace, exactly as it is in the file")],
        new_string: Annotated[str, Field(description="Text that takes its place")],
        replace_all: Annotated[bool, Field(description="Replace it everywhere; else it must be there once")] = False,
    ) -> str:
        """Replace a piece of text in a file of the workspace. The text must be there exactly, and only once."""
        facts, content = place.content(path)
        edited = replaced(content, path, old_string, new_string, every=replace_all)
        place.write(path, edited.content, facts)
        places = ", ".join(map(str, edited.lines[:10])) + (", …" if len(edited.lines) > 10 else "")
        return f"changed {path} at line{'' if len(edited.lines) == 1 else 's'} {places}"

    return [write_file, edit_file]
