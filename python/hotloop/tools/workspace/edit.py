"""One exact replacement in the bytes of a file, whatever its encoding and line ends."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from ...errors import WorkspaceError

__all__ = ["Edited", "replaced"]

_SHOWN_LINES = 5


class Edited(NamedTuple):
    """The new content, and the lines where something was replaced, as numbers from 1."""

    content: bytes
    lines: list[int]


def replaced(content: bytes, path: str, old: str, new: str, *, every: bool) -> Edited:
    """Return `content` with `old` replaced by `new`.

    The text is looked for as `read_file` shows it: in UTF-16 files by their byte order mark, in files that are not
    UTF-8 as Latin-1, and with CR LF at the ends of lines that have it. New lines get the ends that all others have.

    Args:
        content: the bytes of the file.
        path: the file's name in error messages.
        old: the text to replace; it must be there once.
        new: what takes its place.
        every: whether to replace it wherever it is.

    Raises:
        WorkspaceError: the text is not there, or more than once without `every`; or it cannot be written in the
            encoding of the file.
    """
    if old == new:
        raise WorkspaceError("old_string and new_string are the same; nothing to change")
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return _replaced_utf16(content, path, old, new, every=every)
    encoding = _encoding(content)
    if "\r" not in old + new and (ends := content.count(b"\r\n")):
        every_end = ends == content.count(b"\n")
        if every_end or _encoded(old, encoding) not in content:
            old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    before, after = _encoded(old, encoding), _encoded(new, encoding)
    if b"\r\n" in before and before not in content:
        before = _mixed(content, before)
    starts = _starts(content, before)
    _check(len(starts), path, [content.count(b"\n", 0, start) + 1 for start in starts[:_SHOWN_LINES]], every=every)
    lines = [content.count(b"\n", 0, start) + 1 for start in starts]
    return Edited(content.replace(before, after), lines)


def _mixed(content: bytes, part: bytes) -> bytes:
    """Return `part` with the line ends that it has in a file that mixes them, if there is one such spelling."""
    lines = map(re.escape, part.split(b"\r\n"))
    found = set(re.findall(b"\r?\n".join(lines), content))
    return found.pop() if len(found) == 1 else part


def _replaced_utf16(content: bytes, path: str, old: str, new: str, *, every: bool) -> Edited:
    name = "utf-16-le" if content.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    try:
        text = content[2:].decode(name).encode()
    except UnicodeError as error:
        raise WorkspaceError(f"{path} is not valid UTF-16; it cannot be edited") from error
    edited = replaced(text, path, old, new, every=every)
    return Edited(content[:2] + edited.content.decode().encode(name), edited.lines)


def _starts(content: bytes, part: bytes) -> list[int]:
    """Return where `part` begins; once more than it can be replaced where it overlaps with itself."""
    starts: list[int] = []
    start = content.find(part)
    while start >= 0:
        starts.append(start)
        start = content.find(part, start + 1)
    return starts


def _check(count: int, path: str, lines: list[int], *, every: bool) -> None:
    if not count:
        raise WorkspaceError(
            f"old_string is not in {path}; it must match exactly, white space and all: read the file and copy from it"
        )
    if count > 1 and not every:
        shown = ", ".join(map(str, lines)) + (", …" if count > len(lines) else "")
        raise WorkspaceError(
            f"old_string is {count} times in {path} (lines {shown}); add lines around it until it is there once, or "
            "set replace_all"
        )


def _encoding(content: bytes) -> str:
    """Return UTF-8 for a file that is, and for one that has some of it among other bytes; else Latin-1."""
    try:
        content.decode()
    except UnicodeDecodeError:
        text = content.decode("utf-8", "surrogateescape")
        return "latin-1" if all(char < "\x80" or "\udc80" <= char <= "\udcff" for char in text) else "utf-8"
    return "utf-8"


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        bad = text[error.start : error.start + 1]
        raise WorkspaceError(f"the file is in {encoding.upper()}, which cannot hold {bad!a}") from error
