"""Which answers are whole and good."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop.http.answers import kept, replayed, whole
from support.bodies import PATHS, STREAMING, answer, event, events


def raw(headers):
    return [(name.encode(), value.encode()) for name, value in headers]


def no_other(payload, encoding):
    raise ValueError(encoding)


def good(endpoint, payload, *, streamed=False, status=200, **headers):
    kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    payload = json.dumps(payload).encode() if isinstance(payload, dict | list) else payload
    return whole(endpoint, streamed, payload, kept(status, raw(headers.items())), no_other)


@pytest.mark.parametrize("endpoint", PATHS)
def test_good_answers(endpoint):
    assert good(endpoint, answer(endpoint))
    assert good(endpoint, b"\xef\xbb\xbf" + json.dumps(answer(endpoint)).encode())
    assert not good(endpoint, answer(endpoint), status=201)
    assert not good(endpoint, answer(endpoint), content_type="text/event-stream")
    assert not good(endpoint, answer(endpoint), cache_control="no-store")
    assert not good(endpoint, answer(endpoint), content_length="1")


@pytest.mark.parametrize("endpoint", STREAMING)
def test_good_streams(endpoint):
    assert good(endpoint, b"".join(events(endpoint)), streamed=True)
    assert good(endpoint, b"\xef\xbb\xbf: hello\n\n" + b"".join(events(endpoint)), streamed=True)
    assert good(endpoint, b"".join(events(endpoint)).replace(b"\n", b"\r\n"), streamed=True)


@pytest.mark.parametrize("endpoint", STREAMING)
@given(data=st.data())
def test_no_part_of_a_good_stream_is_good(endpoint, data):
    payload = b"".join(events(endpoint))
    size = data.draw(st.integers(0, len(payload) - 1))
    assert not good(endpoint, payload[:size], streamed=True) or payload[size:].strip() == b""


@pytest.mark.parametrize("endpoint", STREAMING)
def test_an_error_anywhere_in_a_stream_spoils_it(endpoint):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
    pieces = events(endpoint)
    for place in range(len(pieces) + 1):
        spoilt = [*pieces[:place], event(error, "error"), *pieces[place:]]
        assert not good(endpoint, b"".join(spoilt), streamed=True)


@pytest.mark.parametrize("endpoint", PATHS)
@given(body=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_what_the_protocol_does_not_promise_is_not_good(endpoint, body):
    assert not good(endpoint, json.dumps(body).encode())
    assert not good(endpoint, event(json.dumps(body)) + event("[DONE]"), streamed=True)


@pytest.mark.parametrize(
    "reason", [None, "length", "content_filter", "max_tokens", "refusal", "pause_turn", "novel", 1, []]
)
def test_answers_that_did_not_end_by_themselves(reason):
    choices = [{"index": 0, "finish_reason": "stop"}, {"index": 1, "finish_reason": reason}]
    assert not good("chat", answer("chat", choices=choices))
    assert not good("messages", answer("messages", stop_reason=reason))
    chunks = [event({"choices": [choice]}) for choice in choices]
    assert not good("chat", b"".join([*chunks, event("[DONE]")]), streamed=True)
    assert not good(
        "messages", b"".join(events("messages")).replace(b'"end_turn"', json.dumps(reason).encode()), streamed=True
    )


@pytest.mark.parametrize("status", ["in_progress", "incomplete", "failed", "queued", "cancelled", None])
def test_responses_that_were_not_completed(status):
    assert not good("responses", answer("responses", status=status))
    assert not good("responses", answer("responses", error={"code": "server_error"}))


def test_no_choices_and_no_data_are_no_answers():
    assert not good("chat", answer("chat", choices=[]))
    assert not good("embeddings", answer("embeddings", data=[]))
    assert not good("chat", event("[DONE]"), streamed=True)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress)]
)
def test_packed_answers_are_looked_into(encoding, pack):
    packed = pack(json.dumps(answer("chat")).encode())
    assert good("chat", packed, content_encoding=encoding)
    assert not good("chat", packed[:-4], content_encoding=encoding)
    assert not good("chat", packed + b"x", content_encoding=encoding)
    assert not good("chat", pack(b'{"error": {}}'), content_encoding=encoding)
    assert not good("chat", packed, content_encoding="br")


def test_only_what_stays_true_is_kept_of_the_head():
    headers = [
        ("Content-Type", "application/json"),
        ("x-request-id", "r1"),
        ("Set-Cookie", "a=b"),
        ("x-ratelimit-remaining-tokens", "5"),
        ("anthropic-ratelimit-requests-remaining", "5"),
        ("retry-after", "1"),
        ("age", "7"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
    ]
    meta = kept(200, raw(headers))
    assert dict(replayed(meta, b"{} ", 12.9)) == {
        "content-type": "application/json",
        "x-request-id": "r1",
        "content-length": "3",
        "age": "12",
    }


def test_vary_is_kept_as_far_as_it_asks_for_more_than_encodings():
    def vary(*values):
        return kept(200, [(b"Vary", value) for value in values])

    assert vary(b"Accept-Encoding") == {"status": "200"}
    assert vary(b"Origin, accept-encoding", b"User-Agent") == {"status": "200", "vary": "origin,user-agent"}
    assert "no-store" in vary(b"Origin, *")


def test_what_could_not_be_given_again_is_not_kept():
    assert kept(200, [(b"request-id", "ä".encode()), (b"x-request-id", b"r")]) == {"status": "200", "x-request-id": "r"}
