"""A model's server for tests: real HTTP on the loopback interface, scripted answer by answer."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What reached the server."""

    path: str
    headers: dict[str, str]  # names in lower case
    raw: bytes

    @property
    def body(self):
        return json.loads(self.raw)


@dataclass
class Answer:
    """What the server says to one request.

    `chunks` are sent one by one, chunked; an Event among them is waited for. `cut` ends the connection in the middle:
    "head" before anything is sent, "body" before the end.
    """

    status: int = 200
    body: bytes | str | dict = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes | threading.Event] | None = None
    gate: threading.Event | None = None
    cut: str | None = None


def completion(text="Hello", *, calls=(), finish=None, usage=(11, 7, 5), **fields) -> Answer:
    """A chat completion; `calls` are (id, name, arguments as text)."""
    message = {"role": "assistant", "content": None if calls else text}
    if calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls
        ]
    finish = finish or ("tool_calls" if calls else "stop")
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": usage[0] + usage[1]}
    counts["prompt_tokens_details"] = {"cached_tokens": usage[2]}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Answer(
        body={"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counts, **fields}
    )


def data(value) -> bytes:
    """One server-sent event."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def delta(finish=None, **fields) -> bytes:
    """One chunk of a streamed completion."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return data({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def usage(read=11, written=7, cached=5) -> bytes:
    """The chunk that tells the tokens."""
    counts = {"prompt_tokens": read, "completion_tokens": written, "prompt_tokens_details": {"cached_tokens": cached}}
    return data({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": counts})


END = data(b"[DONE]")


def streamed(*pieces: bytes | threading.Event, **fields) -> Answer:
    """A streamed answer of these pieces."""
    return Answer(chunks=list(pieces), headers={"content-type": "text/event-stream"}, **fields)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # its default of 5 would keep the sixth of many clients waiting for a second


class Origin:
    """The server; a context manager.

    Answers are given in the order in which they were scripted; the last one is repeated.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers) or [completion()]
        self._changed = threading.Condition()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                origin._serve(self)

            def log_message(self, *args):
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def script(self, *answers: Answer) -> None:
        """Say these from now on."""
        with self._changed:
            self._answers = list(answers)

    def wait_for(self, count: int) -> None:
        """Return when that many requests have come in."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, timeout=30)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._changed:
            self.requests.append(Request(handler.path, headers, raw))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            self._changed.notify_all()
        if answer.gate is not None:
            answer.gate.wait(30)
        try:
            self._say(handler, answer)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True  # the client has gone

    def _say(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.cut == "head":
            handler.close_connection = True
            return
        body = json.dumps(answer.body) if isinstance(answer.body, dict) else answer.body
        body = body.encode() if isinstance(body, str) else body
        handler.send_response(answer.status)
        headers = {"content-type": "application/json", **answer.headers}
        if answer.chunks is None:
            headers["content-length"] = str(len(body) + (10 if answer.cut else 0))
        else:
            headers["transfer-encoding"] = "chunked"
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if answer.chunks is None:
            handler.wfile.write(body)
        else:
            for chunk in answer.chunks:
                if isinstance(chunk, threading.Event):
                    chunk.wait(30)
                elif chunk:
                    handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    handler.wfile.flush()
            if not answer.cut:
                handler.wfile.write(b"0\r\n\r\n")
        if answer.cut:
            handler.close_connection = True
