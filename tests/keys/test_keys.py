"""Cache keys: what they cover, what they leave out, and that the three ways to a request key agree."""

from __future__ import annotations

import collections
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop._core import KeyChain, cache_key, canonical_json, request_key
from hotloop.errors import CanonicalError

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e15, 1e15)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
NAMES = st.text().filter(lambda name: name != "messages")
HEADS = st.dictionaries(NAMES, VALUES, max_size=4)
MESSAGES = st.lists(VALUES, max_size=4)
BODY = {
    "model": "m",
    "temperature": 0,
    "messages": [{"role": "system", "content": "é"}, {"role": "user", "content": "hi"}],
}


@given(HEADS, MESSAGES, st.text(), st.binary(), st.text())
def test_mapping_text_and_chain_agree(head, messages, url, tenant, namespace):
    scope = {"url": url, "tenant": tenant, "namespace": namespace}
    body = {**head, "messages": messages}
    want = request_key(body, **scope)
    backwards = dict(reversed(body.items()))
    assert request_key(backwards, **scope) == want
    assert request_key(collections.OrderedDict(body), **scope) == want
    assert request_key({**body, "messages": tuple(messages)}, **scope) == want
    for text in (json.dumps(body), json.dumps(backwards, ensure_ascii=False, indent=2)):
        assert request_key(text.encode(), **scope) == want
        assert request_key(text, **scope) == want
    chain = KeyChain(head, **scope)
    for message in messages:
        chain.append(message)
    assert chain.digest() == want
    assert len(chain) == len(messages)
    assert KeyChain(body, **scope).digest() == want


@given(VALUES, VALUES)
def test_keys_are_equal_where_values_are(one, other):
    same = canonical_json(one) == canonical_json(other)
    assert (cache_key(one) == cache_key(other)) == same
    assert (request_key({"a": one}) == request_key({"a": other})) == same
    assert (request_key({"messages": [one]}) == request_key({"messages": [other]})) == same


def test_whatever_can_change_the_answer_changes_the_key():
    bodies = [
        {},
        {"messages": []},
        {"messages": None},
        {"messages": {}},
        {"messages": ""},
        {"messages": [[]]},
        {"messages": [None]},
        {"messages": [{}, {}]},
        {"messages": [[{}, {}]]},
        {"input": []},
        {"input": [{}]},
        {"messages": [], "input": []},
        BODY,
        {**BODY, "temperature": 0.5},
        {**BODY, "never heard of": None},
        {**BODY, "messages": BODY["messages"][::-1]},
        {**BODY, "messages": BODY["messages"][:1]},
    ]
    header = {"anthropic-beta": "tools"}
    keys = [request_key(body) for body in bodies]
    keys += [
        request_key(BODY, url="https://a/v1"),
        request_key(BODY, url="https://b/v1"),
        request_key(BODY, headers=header),
    ]
    keys += [
        request_key(BODY, headers={"accept": "text/event-stream"}),
        request_key(BODY, headers={"x-unheard-of": "1"}),
    ]
    keys += [request_key(BODY, tenant=b"a"), request_key(BODY, namespace="a"), request_key(BODY, url="a")]
    keys += [cache_key(BODY), cache_key(BODY, namespace="a"), KeyChain(BODY).digest()[::-1]]
    assert len(set(keys)) == len(keys)
    assert all(isinstance(key, bytes) and len(key) == 32 for key in keys)


def test_what_cannot_change_the_answer_does_not():
    noise = {
        "Authorization": "Bearer secret",
        "User-Agent": "x",
        "X-Stainless-Retry-Count": "2",
        "Idempotency-Key": "1",
        "Content-Length": "5",
        "Connection": "close",
        "traceparent": "00-1",
        "x-hotloop-mode": "use",
    }
    assert request_key(BODY, headers=noise) == request_key(BODY) == request_key(BODY, headers={})


def test_headers_in_any_form():
    want = request_key(BODY, headers={"accept": "a, b", "OpenAI-Beta": "x"})
    assert request_key(BODY, headers=[(b"openai-beta", b" x "), (b"Accept", b"a"), ("ACCEPT", "b")]) == want
    assert request_key(BODY, headers={b"Openai-Beta": b"x", b"accept": b"a, b"}) == want
    with pytest.raises(TypeError, match="str or bytes"):
        request_key(BODY, headers={"accept": 1})


@pytest.mark.parametrize("body", [[], 1, None, "[]", b"[1]", b"1", b"null", object()])
def test_a_body_is_an_object(body):
    with pytest.raises(CanonicalError, match="JSON object"):
        request_key(body)


@pytest.mark.parametrize("of", [request_key, KeyChain])
def test_errors_say_where(of):
    with pytest.raises(CanonicalError) as caught:
        of({"messages": [{}, {"content": {1}}]})
    assert caught.value.path == "$.messages[1].content"
    with pytest.raises(CanonicalError) as caught:
        of({"seed": float("nan"), "messages": []})
    assert caught.value.path == "$.seed"


def test_a_chain_has_a_list_of_messages():
    with pytest.raises(CanonicalError, match="list"):
        KeyChain({"messages": "none"})
    assert KeyChain({}).digest() == request_key({"messages": []}) != request_key({})


def test_a_failed_append_changes_nothing():
    chain = KeyChain({})
    before = chain.digest()
    with pytest.raises(CanonicalError):
        chain.append({"content": float("inf")})
    assert (chain.digest(), len(chain)) == (before, 0)


def test_a_fork_goes_its_own_way():
    chain = KeyChain({"model": "m"})
    chain.append({"a": 1})
    fork = chain.fork()
    fork.append({"b": 1})
    chain.append({"c": 1})
    assert fork.digest() == request_key({"model": "m", "messages": [{"a": 1}, {"b": 1}]})
    assert chain.digest() == request_key({"model": "m", "messages": [{"a": 1}, {"c": 1}]})


def test_appends_from_threads_are_all_there():
    chain = KeyChain({})
    threads = [threading.Thread(target=lambda: [chain.append({"n": 1}) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chain) == 800
    assert chain.digest() == request_key({"messages": [{"n": 1}] * 800})


def test_a_message_whose_methods_append_to_the_chain():
    class Inward(dict):
        def items(self):
            chain.append({"inner": 1})
            return super().items()

    chain = KeyChain({})
    chain.append(Inward(outer=1))
    assert chain.digest() == request_key({"messages": [{"inner": 1}, {"outer": 1}]})


def test_wire_bytes_are_remembered_exactly():
    pad = "x" * 5000
    bodies = [json.dumps({"n": n, "messages": [pad]}).encode() for n in range(50)]
    for _ in range(2):
        for n, body in enumerate(bodies):
            assert request_key(body) == request_key(bytearray(body)) == request_key({"n": n, "messages": [pad]})
            assert request_key(body, url="u") == request_key(bytearray(body), url="u") != request_key(body)
            assert request_key(body, headers={"accept": "a"}) == request_key(bytearray(body), headers={"accept": "a"})
