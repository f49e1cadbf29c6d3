"""A server that speaks HTTP/2 alone, over TLS, and gives every request the same answer."""

import contextlib
import socket
import ssl

import h2.config
import h2.connection
import h2.events

from .listener import Listener


class Http2(Listener):
    """The server; a context manager.

    Args:
        certificate, key: files.
        body: of every answer.
    """

    def __init__(self, certificate, key, body: bytes) -> None:
        super().__init__()
        self.paths: list[str] = []
        self.connections = 0
        self._body = body
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(["h2"])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1"

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as stream:
            if stream.selected_alpn_protocol() != "h2":
                return
            self.connections += 1
            talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            talk.initiate_connection()
            stream.sendall(talk.data_to_send())
            while data := stream.recv(65536):
                for event in talk.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.paths.append(dict(event.headers)[b":path"].decode())
                    elif isinstance(event, h2.events.DataReceived):
                        talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        head = [(":status", "200"), ("content-type", "application/json")]
                        talk.send_headers(event.stream_id, head)
                        talk.send_data(event.stream_id, self._body, end_stream=True)
                stream.sendall(talk.data_to_send())
