"""A server that misbehaves: the caller sees what it would see without hotloop, nothing wrong is stored, and the next
request is whole.
"""

import gzip
import threading

import pytest

from hotloop import MemoryCache
from support.bodies import PATHS, STREAMING, answer, ask, event, events
from support.callers import KINDS, Caller
from support.faults import CLOSE, RESET, Faulty, chunked, head, whole

GOOD = whole(answer("chat"))
CHAT = PATHS["chat"]
ERROR = {"error": {"message": "no", "type": "server_error", "code": None}}
BODY = whole(answer("chat"))[0]
STREAM = events("chat")


def cut(payload: bytes, share: float) -> bytes:
    return payload[: int(len(payload) * share)]


FAULTS = {
    "429": whole(ERROR, "429 Too Many Requests"),
    "429 with Retry-After": whole(ERROR, "429 Too Many Requests", retry_after=1, retry_after_ms=20),
    "400": whole(ERROR, "400 Bad Request"),
    "401": whole(ERROR, "401 Unauthorized"),
    "500": whole(ERROR, "500 Internal Server Error"),
    "502 of HTML": whole(b"<html>bad gateway</html>", "502 Bad Gateway", content_type="text/html"),
    "503 with a date": whole(ERROR, "503 Unavailable", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"),
    "529": whole(ERROR, "529 Overloaded"),
    "redirect": whole(b"", "302 Found", location="/elsewhere"),
    "204": [head("204 No Content")],
    "error under 200": whole(ERROR),
    "no JSON under 200": whole(b"oops"),
    "nothing under 200": whole(b""),
    "a list under 200": whole(b"[]"),
    "half of the JSON under 200": whole(cut(b'{"choices": [{"finish_reason": "stop"}]}', 0.5)),
    "length": whole(answer("chat", choices=[{"index": 0, "message": {}, "finish_reason": "length"}])),
    "filtered": whole(answer("chat", choices=[{"index": 0, "message": {}, "finish_reason": "content_filter"}])),
    "no-store": whole(answer("chat"), cache_control="private, no-store"),
    "closed before the head": [CLOSE],
    "reset before the head": [RESET],
    "closed in the head": [cut(BODY, 0.05), CLOSE],
    "reset in the head": [cut(BODY, 0.05), RESET],
    "closed in the body": [cut(BODY, 0.8), CLOSE],
    "reset in the body": [cut(BODY, 0.8), RESET],
    "body shorter than it says": [head(content_type="application/json", content_length=10_000) + b"{}", CLOSE],
    "body until the end, cut": [head(content_type="application/json") + b'{"choices": [', CLOSE],
    "no HTTP": [b"\x00\x01\x02\r\n\r\n", CLOSE],
    "broken chunk": [head(content_type="application/json", transfer_encoding="chunked") + b"zz\r\nabc", CLOSE],
    "gzip that is none": whole(b"not gzip at all", content_encoding="gzip"),
    "half of a gzip": whole(cut(gzip.compress(b'{"choices": []}' * 50), 0.7), content_encoding="gzip"),
}
STREAM_FAULTS = {
    "no end mark": chunked(*STREAM[:-1]),
    "no end mark, closed": [*chunked(*STREAM[:-1], end=False), CLOSE],
    "reset in the middle": [*chunked(*STREAM[:3], end=False), RESET],
    "closed in an event": [*chunked(*STREAM[:3], STREAM[3][:20], end=False), CLOSE],
    "ended in an event": chunked(*STREAM[:3], STREAM[3][:20]),
    "error event": chunked(*STREAM[:3], event(ERROR), STREAM[-1]),
    "malformed event": chunked(*STREAM[:3], b"data: {oops\n\n", *STREAM[3:]),
    "no finish reason": chunked(*STREAM[:3], STREAM[-1]),
    "events after the end mark": chunked(*STREAM, STREAM[1]),
    "an error as JSON": whole(ERROR),
    "a whole instead of a stream": whole(answer("chat")),
    "429": whole(ERROR, "429 Too Many Requests", retry_after=1, retry_after_ms=20),
    "nothing": chunked(),
}


def compare(kind, steps, body, good):
    """Ask bare and through hotloop; then again, with the server well."""
    cache = MemoryCache()
    sdk = {"x-stainless-retry-count": "0"}  # the SDK above owns the retries
    with Faulty(steps) as server:
        with Caller(kind, hot=False) as bare:
            want = bare.post(server.url[:-3] + CHAT, body, headers=sdk)
        with Caller(kind, cache=cache) as hot:
            got = hot.post(server.url[:-3] + CHAT, body, headers=sdk)
            assert got.plain == want.plain
            if got.status is not None:
                assert got.hotloop["cache"] == "miss"
            assert len(server.requests) == 2
            assert cache.stats()[0].entries == 0
            server.script(good)
            again = hot.post(server.url[:-3] + CHAT, body, headers=sdk)
            assert (again.status, again.error, again.hotloop["cache"]) == (200, None, "miss")
            served = hot.post(server.url[:-3] + CHAT, body, headers=sdk)
            assert (served.raw, served.hotloop["cache"], len(server.requests)) == (again.raw, "hit", 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_fails(kind, fault):
    compare(kind, FAULTS[fault], ask("chat"), GOOD)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_that_fails(kind, fault):
    compare(kind, STREAM_FAULTS[fault], ask("chat", stream=True), chunked(*STREAM))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_a_server_that_stalls(kind, when):
    never = threading.Event()
    steps = [never] if when == "before the head" else [cut(BODY, 0.8), never]
    cache = MemoryCache()
    with Faulty(steps) as server:
        with Caller(kind, hot=False, timeout=0.05) as bare:
            want = bare.post(server.url[:-3] + CHAT, ask("chat"))
        with Caller(kind, cache=cache, timeout=0.05) as hot:
            got = hot.post(server.url[:-3] + CHAT, ask("chat"))
        assert got.plain == want.plain
        assert got.error.startswith("ReadTimeout")
        assert (cache.stats()[0].entries, len(server.requests)) == (0, 2)
        never.set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there(kind):
    with Faulty(GOOD) as server:
        url = server.url[:-3] + CHAT
    sdk = {"x-stainless-retry-count": "0"}
    with Caller(kind, hot=False) as bare, Caller(kind) as hot:
        want, got = bare.post(url, ask("chat"), headers=sdk), hot.post(url, ask("chat"), headers=sdk)
    assert got.plain == want.plain
    assert got.error.startswith("ConnectError")


@pytest.mark.parametrize("endpoint", STREAMING)
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_no_part_of_a_stream_is_stored(endpoint, kept):
    pieces = events(endpoint)
    pieces = pieces[: int(len(pieces) * kept)]
    cache = MemoryCache()
    with Faulty(chunked(*pieces)) as server, Caller("httpx2-async", cache=cache) as hot:
        got = hot.post(server.root + PATHS[endpoint], ask(endpoint, stream=True))
        assert (got.raw, cache.stats()[0].entries) == (b"".join(pieces), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_that_fails_fails_no_call(kind, caplog):
    class Broken(MemoryCache):
        async def get(self, key):
            raise OSError("secret")

        async def put(self, key, record, ttl=None):
            raise OSError("secret")

        def peek(self, key):
            return None

    with Faulty(GOOD) as server, Caller(kind, cache=Broken()) as hot:
        got = hot.post(server.url[:-3] + CHAT, ask("chat"))
        assert (got.status, got.hotloop["cache"]) == (200, "miss")
    assert "a cache tier failed" in caplog.text
    assert "secret" not in caplog.text
