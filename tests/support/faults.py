"""A model's server that misbehaves byte by byte: it says on the socket exactly what it is told to."""

import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import NamedTuple

from .listener import Listener

RESET = object()  # the connection breaks: the client's kernel hears RST
CLOSE = object()  # the connection ends: the client's kernel hears FIN
Step = bytes | threading.Event | object


class Seen(NamedTuple):
    """A request that reached the server."""

    path: str
    headers: dict[str, str]  # names in lower case
    raw: bytes
    method: str = "POST"

    @property
    def body(self):
        return json.loads(self.raw)


def head(status: str = "200 OK", **headers: str | int) -> bytes:
    """The head of an answer; underscores in names stand for hyphens."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(body: bytes | dict, status: str = "200 OK", **headers: str | int) -> list[Step]:
    """A well-formed answer."""
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"content_type": "application/json", **headers}
    return [head(status, **headers, content_length=len(body)) + body]


def chunked(*pieces: bytes | threading.Event, end: bool = True, **headers: str) -> list[Step]:
    """A stream of events, each piece in a chunk of its own."""
    steps: list[Step] = [head(content_type="text/event-stream", **headers, transfer_encoding="chunked")]
    steps += [
        piece if isinstance(piece, threading.Event) else b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces
    ]
    return [*steps, b"0\r\n\r\n"] if end else steps


class Faulty(Listener):
    """The server; a context manager.

    Args:
        answer: what to say to a request: bytes to send, events to wait for, and `RESET` or `CLOSE`. Given the
            request; a list is said to every request.
    """

    def __init__(self, answer: list[Step] | Callable[[Seen], list[Step]]) -> None:
        super().__init__()
        self.answer = answer if callable(answer) else (lambda _: answer)
        self.requests: list[Seen] = []
        self.gone = threading.Semaphore(0)  # released for each connection that has ended
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def script(self, answer: list[Step]) -> None:
        """Say this from now on."""
        self.answer = lambda _: answer

    def __exit__(self, *_):
        super().__exit__()
        with self._lock:
            for connection in self._open:
                connection.close()

    def _take(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
        super()._take(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while (seen := self._read(stream)) is not None:
                    with self._lock:
                        self.requests.append(seen)
                    if not self._say(connection, self.answer(seen)):
                        return
        except OSError:
            pass  # the client has gone
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()
            self.gone.release()

    @staticmethod
    def _read(stream) -> Seen | None:
        first = stream.readline().split()
        if len(first) < 2:
            return None
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        raw = stream.read(length)
        if len(raw) < length:  # the client may go in the middle
            return None
        return Seen(first[1].decode(), headers, raw, first[0].decode())

    @staticmethod
    def _say(connection: socket.socket, steps: list[Step]) -> bool:
        for step in steps:
            if step is RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if step is CLOSE:
                return False
            if isinstance(step, threading.Event):
                step.wait(30)
            else:
                connection.sendall(step)
        return True
