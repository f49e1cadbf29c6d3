"""The lines of a file, whatever its size, encoding and line lengths."""

from __future__ import annotations

import codecs
import io
import os

from ...errors import WorkspaceError

__all__ = ["MAX_CHARS", "read_lines"]

MAX_CHARS = 128 * 1024
"""Characters that are returned at once."""

_SAMPLE = 8192
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_lines(handle: int, path: str, start: int, end: int | None) -> str:
    """Return lines of an open file as text, and close it.

    UTF-8, with or without a byte order mark, and UTF-16 with one are decoded; lines that are not UTF-8 are read as
    Latin-1, and a last line in brackets says so, as it does when there is more than is returned.

    Args:
        handle: the descriptor.
        path: the file's name in error messages.
        start: the first line, from 1.
        end: the last line, itself included; None for the end of the file.

    Raises:
        WorkspaceError: the file is binary, or has no such line.
    """
    with os.fdopen(handle, "rb") as file:
        sample = file.peek(_SAMPLE)[:_SAMPLE]
        encoding = next((name for mark, name in _MARKS if sample.startswith(mark)), "utf-8")
        if encoding != "utf-16" and b"\0" in sample:
            raise WorkspaceError(f"{path} is a binary file; only text can be read")
        errors = "replace" if encoding == "utf-16" else "surrogateescape"
        with io.TextIOWrapper(file, encoding, errors) as lines:
            text, last, more = _take(lines, path, start, end)
    notes = []
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join(map(_latin, text.splitlines(keepends=True)))
        notes.append("bytes that are not UTF-8 are shown as Latin-1")
    if more:
        notes.append(f"the file goes on; read more with start={last + 1}")
    if notes:
        text += ("" if text.endswith("\n") or not text else "\n") + f"[{'; '.join(notes)}]"
    return text


def _take(file: io.TextIOWrapper, path: str, start: int, end: int | None) -> tuple[str, int, bool]:
    """Return the text of the lines, the number of the last one, and whether it was cut short."""
    number = 1
    while number < start:
        piece = file.readline(_SAMPLE)  # bounded: a line may be as long as the file
        if not piece:
            lines = number - 1
            raise WorkspaceError(f"{path} has {lines} line{'' if lines == 1 else 's'}; there is no line {start}")
        number += piece.endswith("\n")
    pieces: list[str] = []
    room = MAX_CHARS
    while end is None or number <= end:
        piece = file.readline(room)
        pieces.append(piece)
        room -= len(piece)
        if not piece:
            return "".join(pieces), number, False
        if not room:
            whole = piece.endswith("\n")
            return "".join(pieces), number if whole else max(number - 1, start), bool(file.read(1))
        number += piece.endswith("\n")
    return "".join(pieces), number - 1, False


def _latin(line: str) -> str:
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line
