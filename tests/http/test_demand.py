"""What the drop-in asks of a server, and what it learns from it."""

import gzip
import json

import pytest

from hotloop.calls import Breaking, Limits, Retry
from hotloop.http.tokens import Tokens, Watch, tokens_of
from support.bodies import PATHS, STREAMING, answer, ask, events
from support.callers import KINDS, Caller
from support.faults import RESET, Faulty, chunked, head, whole

CHAT = PATHS["chat"]
SDK = {"x-stainless-retry-count": "0"}
QUOTAS = {
    "x_ratelimit_limit_requests": 600,
    "x_ratelimit_remaining_requests": 500,
    "x_ratelimit_limit_tokens": 60_000,
    "x_ratelimit_remaining_tokens": 50_000,
}


def accounts(caller):
    return caller.transport._body.core.path._gate.limiter._accounts


def quota(caller):
    (account,) = accounts(caller).values()
    return account.quota


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [True, False])
def test_quotas_are_learned_from_the_head_of_an_answer(kind, kept):
    fields = {"temperature": 0} if kept else {"temperature": 1}
    with Faulty(whole(answer("chat"), **QUOTAS)) as server, Caller(kind) as hot:
        assert hot.post(server.root + CHAT, ask("chat") | fields, headers=SDK).status == 200
        requests, tokens, *_ = quota(hot)._buckets
    assert (requests.learned, tokens.learned) == (600, 60_000)
    assert requests.level <= 510
    assert tokens.level <= 51_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_what_an_answer_took_is_counted_in_place_of_the_estimate(kind, kept, stream):
    taken = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 600}}
    chunk = b'data: {"choices": [], "usage": %b}\n\n' % json.dumps(taken).encode()
    steps = chunked(*events("chat")[:-1], chunk, b"data: [DONE]\n\n") if stream else whole(answer("chat", usage=taken))
    body = ask("chat", stream=stream) | {"max_tokens": 5000, "temperature": 0 if kept else 1}
    limits = Limits(tokens_per_minute=600, burst=60, slack=0, learn=False)  # so slow that time hardly counts
    with Faulty(steps) as server, Caller(kind, limits=limits) as hot:
        assert hot.post(server.root + CHAT, body, headers=SDK).status == 200
        assert 600 - 1200 <= quota(hot)._buckets[1].level <= 600 - 1200 + 100


@pytest.mark.parametrize("kind", KINDS)
def test_servers_models_and_accounts_are_counted_apart(kind):
    with Faulty(whole(answer("chat"))) as server, Faulty(whole(answer("chat"))) as other, Caller(kind) as hot:
        for root, model, key in ((server, "a", "k"), (server, "b", "k"), (server, "a", "l"), (other, "a", "k")):
            hot.post(root.root + CHAT, ask("chat") | {"model": model}, headers=SDK | {"authorization": key})
        assert len(accounts(hot)) == 4
        assert all("secret" not in scope for scope in accounts(hot))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("fault", [whole(b"no", "500 Oh"), [RESET], [head()[:9], RESET]])
def test_a_server_that_keeps_failing_is_left_alone_and_asked_again(kind, kept, fault):
    time = [0.0]
    body = ask("chat") | {"temperature": 0 if kept else 1}
    with Faulty(fault) as server, Faulty(whole(answer("chat"))) as other, Caller(kind) as hot:
        path = hot.transport._body.core.path
        path._gate._breakers._monotonic = lambda: time[0]
        for _ in range(Breaking().failures):
            hot.post(server.root + CHAT, body, headers=SDK)
        alone = hot.post(server.root + CHAT, body, headers=SDK)
        assert (alone.status, dict(alone.headers)["retry-after"]) == (503, "5")
        assert json.loads(alone.content)["error"]["type"] == "circuit_open"
        assert len(server.requests) == Breaking().failures
        assert hot.post(other.root + CHAT, body, headers=SDK).status == 200  # other servers are well
        server.script(whole(answer("chat")))
        time[0] = 5.1
        assert hot.post(server.root + CHAT, body, headers=SDK).status == 200
        assert hot.post(server.root + CHAT, body, headers=SDK | {"x-hotloop-mode": "bypass"}).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_refusals_are_no_failures(kind):
    with Faulty(whole(b"no", "429 Slow down")) as server, Caller(kind, retry=Retry(attempts=1)) as hot:
        for _ in range(Breaking().failures + 2):
            assert hot.post(server.root + CHAT, ask("chat"), headers=SDK).status == 429


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_is_given_back_when_an_answer_is_left_early(kind):
    limits = Limits(concurrency=1)
    with Faulty(chunked(*events("chat"))) as server, Caller(kind, limits=limits) as hot:
        for _ in range(3):
            assert (
                hot.post(server.root + CHAT, ask("chat", stream=True) | {"temperature": 1}, headers=SDK).status == 200
            )


# -- tokens, as each provider tells them


def test_tokens_are_read_as_each_provider_counts_them():
    details = {"cached_tokens": 30}
    openai = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": details}
    responses = {"input_tokens": 100, "output_tokens": 20, "input_tokens_details": details}
    anthropic = {"input_tokens": 60, "output_tokens": 20, "cache_read_input_tokens": 30}
    anthropic["cache_creation_input_tokens"] = 10
    for usage in (openai, responses, anthropic):
        raw = json.dumps({"usage": usage}).encode()
        assert tokens_of(raw, {}, None) == Tokens(100, 20, 30)
        assert tokens_of(gzip.compress(raw), {"content-encoding": "gzip"}, None) == Tokens(100, 20, 30)
    assert tokens_of(json.dumps({"usage": {"prompt_tokens": 7, "total_tokens": 7}}).encode(), {}, None) == (7, 0, 0)


def test_an_answer_that_is_too_long_to_be_kept_counts_as_estimated():
    said = []

    class Heard:
        def settle(self, *tokens):
            said.append(tokens)

    usage = b'data: {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n'
    for filler in (b"", bytes(1 << 20)):
        watch = Watch(Heard(), {"content-type": "text/event-stream"}, lambda payload, _: payload)
        for _ in range(20):
            watch.see(filler)
        watch.see(usage)
        watch.end()
    assert said == [(1, 2, 0)]
    assert not watch._chunks


def test_tokens_of_a_stream_may_come_in_parts():
    parts = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 60, "cache_read_input_tokens": 40}}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 20, "input_tokens": None}},
    ]
    raw = b"".join(b"data: %b\n\n" % json.dumps(part).encode() for part in parts)
    assert tokens_of(raw, {"content-type": "text/event-stream"}, None) == Tokens(100, 20, 40)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"usage": 3}', b'{"usage": {"prompt_tokens": "x"}}', b"null"])
def test_an_answer_that_does_not_say_what_it_took_is_counted_as_estimated(raw):
    assert tokens_of(raw, {}, None) is None


@pytest.mark.parametrize("endpoint", STREAMING)
def test_the_streams_of_the_tests_tell_tokens_or_none(endpoint):
    found = tokens_of(b"".join(events(endpoint)), {"content-type": "text/event-stream"}, None)
    assert found is None or found.output > 0
