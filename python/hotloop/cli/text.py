"""Text on its way to a terminal."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["bytes_text", "duration", "one_line", "plural", "printable", "short"]


def printable(text: str) -> str:
    """Return `text` with control characters replaced: what a model or a server says must not steer a terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else "�" for char in text)


def one_line(text: str, limit: int = 1000) -> str:
    """Return `text` as one printable line of at most `limit` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def short(args: dict[str, Any] | str, limit: int) -> str:
    """Return the arguments of a call as ``name=value, …``, each value cut at `limit` characters."""
    if isinstance(args, str):
        try:
            decoded = json.loads(args)
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            return one_line(args, limit)
        args = decoded
    return ", ".join(f"{name}={one_line(json.dumps(value, ensure_ascii=False), limit)}" for name, value in args.items())


def duration(seconds: float) -> str:
    """Return seconds as a person reads them: ``0.4 ms``, ``12 ms``, ``3.21 s``."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def plural(count: int, noun: str) -> str:
    """Return ``1 turn``, ``2 turns``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def bytes_text(count: int) -> str:
    """Return bytes as ``12 B``, ``3.4 MiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
