"""A forward proxy on the loopback interface: absolute URIs and CONNECT, every host is the one it is made for."""

import contextlib
import socket
import threading

from .listener import Listener


class Proxy(Listener):
    """The proxy; a context manager.

    Args:
        target: (host, port) that all requests and tunnels go to, whatever they name.
        answer: what to say instead, such as a refusal; None to work.
    """

    def __init__(self, target, answer: bytes | None = None) -> None:
        super().__init__()
        self.heads: list[bytes] = []  # what was asked of it
        self._target = target
        self._answer = answer

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(65536)):
                    return
                head += more
            self.heads.append(head.partition(b"\r\n\r\n")[0])
            if self._answer is not None:
                client.sendall(self._answer)
                return
            with socket.create_connection(self._target) as server:
                if head.startswith(b"CONNECT "):
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head)
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
