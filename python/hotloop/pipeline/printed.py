"""What tools print: it belongs to their results, not to the program's own output."""

from __future__ import annotations

import io
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

__all__ = ["Printed", "Printer", "capture", "hold", "let_go", "release"]

_KEPT = 16_384
"""Characters that are kept of what one call prints."""


class Printed:
    """What one call printed; its threads may write at once."""

    __slots__ = ("_parts", "length")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.length = 0

    def write(self, text: str) -> None:
        """Keep `text`, up to the limit."""
        if self.length <= _KEPT:
            self._parts.append(text[: _KEPT + 1 - self.length])
        self.length += len(text)

    def text(self) -> str:
        """Return what was printed, with a mark where the rest was cut."""
        text = "".join(self._parts)
        return text if len(text) <= _KEPT else f"{text[:_KEPT]}\n[cut: {self.length} characters were printed]"


class Printer:
    """Who prints; most never do."""

    __slots__ = ("printed",)

    def __init__(self) -> None:
        self.printed: Printed | None = None

    def write(self, text: str) -> None:
        """Keep `text`. What comes after the end of a call is kept too, and nobody reads it."""
        if self.printed is None:
            self.printed = Printed()
        self.printed.write(text)


_into: ContextVar[Printer | None] = ContextVar("hotloop_printed", default=None)
_users = 0
_lock = threading.Lock()


class _Bytes(io.RawIOBase):
    """The `buffer` of the output of a call."""

    def __init__(self, printed: Printer) -> None:
        super().__init__()
        self._printed = printed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._printed.write(bytes(data).decode(errors="replace"))
        return len(data)


class _Output:
    """Stands in for `sys.stdout`: a tool's words go to its call, all others where they went before."""

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def write(self, text: str) -> int:
        printed = _into.get()
        if printed is None:
            return self.real.write(text)
        printed.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if _into.get() is None:
            self.real.flush()

    @property
    def buffer(self) -> Any:
        printed = _into.get()
        return self.real.buffer if printed is None else _Bytes(printed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def hold() -> None:
    """Catch what tools print, until `let_go` was called as often."""
    global _users
    with _lock:
        _users += 1
        if not isinstance(sys.stdout, _Output) and sys.stdout is not None:
            sys.stdout = cast("TextIO", _Output(sys.stdout))


def let_go() -> None:
    """Undo one `hold`; the last gives the standard output back, unless another has taken it since."""
    global _users
    with _lock:
        _users -= 1
        if not _users and isinstance(sys.stdout, _Output):
            sys.stdout = sys.stdout.real


capture: Callable[[Printer], Token[Printer | None]] = _into.set
"""Hands what this context prints, and the threads and tasks that are started in it, to a printer."""

release: Callable[[Token[Printer | None]], None] = _into.reset
"""Undoes a `capture`."""
