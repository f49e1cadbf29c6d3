"""Server-sent events, read from bytes that may be cut anywhere.

https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6, less the fields that only matter to a
reader that reconnects (`id`, `retry`).
"""

from __future__ import annotations

__all__ = ["SSEReader"]

_BOM = b"\xef\xbb\xbf"


class SSEReader:
    """Turns chunks of a stream into events."""

    __slots__ = ("_between", "_data", "_name", "_rest", "_skip", "_started")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # an unfinished line
        self._skip = False  # the last line ended with a CR: an LF that follows belongs to it
        self._name = b""
        self._data: list[bytes] = []
        self._started = False
        self._between = True  # nothing of an event has come

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Return the events that `chunk` completes, each as its name (empty for none) and its data.

        An event that the stream ends in the middle of is never returned, as the standard wants it.
        """
        if (
            self._between
            and chunk[:6] == b"data: "
            and chunk.find(b"\n") == len(chunk) - 2
            and chunk[-1:] == b"\n"
            and b"\r" not in chunk
        ):  # one whole event, as most servers send them
            self._started = True
            return [(b"", chunk[6:-2])]
        if not chunk:
            return []
        if self._skip:
            chunk = chunk.removeprefix(b"\n")
            self._skip = False
        if self._rest:
            self._rest.append(chunk)
            if self._started and b"\n" not in chunk and b"\r" not in chunk:
                return []  # a long line is put together once, however small its pieces are
            chunk = b"".join(self._rest)
            self._rest = []
        if not self._started:
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest = [chunk]
                self._between = False
                return []
            chunk = chunk.removeprefix(_BOM)
            self._started = True
        # bytes split at CR, LF and CRLF only; str would also split at U+2028 and others, which data may hold
        lines = chunk.splitlines()
        self._skip = chunk.endswith(b"\r")
        self._rest = [lines.pop()] if lines and not self._skip and not chunk.endswith(b"\n") else []
        events: list[tuple[bytes, bytes]] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append((self._name, data))
                    self._data = []
                self._name = b""
            elif line.startswith(b"event:"):
                self._name = line[6:].removeprefix(b" ")
            elif line == b"data":
                self._data.append(b"")
        self._between = not (self._rest or self._data or self._skip or self._name)
        return events
