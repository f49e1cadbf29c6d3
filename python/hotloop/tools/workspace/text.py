"""The lines of a file, whatever its size, encoding and line lengths."""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING

from ...errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

__all__ = ["MAX_CHARS", "read_lines"]

MAX_CHARS = 128 * 1024
"""Characters that are returned at once."""

_BLOCK = 128 * 1024
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_lines(handle: int, path: str, start: int, end: int | None) -> str:
    """Return lines of an open file as text, and close it.

    UTF-8, with or without a byte order mark, and UTF-16 with one are decoded; lines that are not UTF-8 are read as
    Latin-1. Lines end with LF or CR LF, and are given with LF. A last line in brackets says what is not as in the file,
    and where to go on when there is more than is returned.

    Args:
        handle: the descriptor.
        path: the file's name in error messages.
        start: the first line, from 1.
        end: the last line, itself included; None for the end of the file.

    Raises:
        WorkspaceError: the file is binary, or has no such line.
    """
    with os.fdopen(handle, "rb") as file:
        text = _taken(_blocks(file, path), path, start, None if end is None else end - start + 1)
    notes = []
    if len(text) > MAX_CHARS:
        whole = text.rfind("\n", 0, MAX_CHARS) + 1
        after = start + (text.count("\n", 0, whole) or 1)
        text = text[: whole or MAX_CHARS]
        goes_on = "the file goes on" if whole else f"line {start} is cut after {MAX_CHARS} characters"
        notes.append(f"{goes_on}; read more with start={after}")
    text = text.replace("\r\n", "\n")
    if not _is_unicode(text):
        text = "".join(line if _is_unicode(line) else _latin(line) for line in text.splitlines(keepends=True))
        notes.insert(0, "bytes that are not UTF-8 are shown as Latin-1")
    if notes:
        text += ("" if text.endswith("\n") or not text else "\n") + f"[{'; '.join(notes)}]"
    return text


def _blocks(file: BufferedReader, path: str) -> Iterator[str]:
    """Yield the text of a file in pieces; what is not UTF-8 in it as lone surrogates."""
    data = file.read(_BLOCK)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while data:
        text = decoder.decode(data)
        if "\0" in text:
            raise WorkspaceError(f"{path} is a binary file; only text can be read")
        yield text
        data = file.read(_BLOCK)
    yield decoder.decode(b"", final=True)


def _taken(blocks: Iterator[str], path: str, start: int, count: int | None) -> str:
    """Return `count` lines from line `start` on, or enough of them to know that they are too many."""
    taken = ""
    before = 0  # lines that ended ahead of those that are taken
    last = "\n"
    for block in blocks:
        last = block[-1:] or last
        at = 0
        if before < start - 1:
            ends = block.count("\n")
            if before + ends < start - 1:
                before += ends
                continue
            while before < start - 1:
                at = block.index("\n", at) + 1
                before += 1
        taken += block[at:]
        if len(taken) > MAX_CHARS:
            break
        if count is not None and taken.count("\n") >= count:
            break
    if not taken and start > 1:
        lines = before + (last != "\n")
        raise WorkspaceError(f"{path} has {lines} line{'' if lines == 1 else 's'}; there is no line {start}")
    if count is not None:
        lines_and_rest = taken.split("\n", count)
        if len(lines_and_rest) > count:
            taken = taken[: len(taken) - len(lines_and_rest[-1])]
    return taken


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _latin(line: str) -> str:
    return line.encode("utf-8", "surrogateescape").decode("latin-1")
