"""The key of a mapping that grows and changes in place: never that of an earlier state."""

from __future__ import annotations

import gc
import json
import sys
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotloop._core import KeyChain, request_key
from hotloop.errors import CanonicalError

PAD = "long enough to be remembered " * 200


def fresh(body, **scope):
    """The key from text that nothing remembers."""
    return request_key(bytearray(json.dumps(body).encode()), **scope)


def conversation(turns: int) -> dict:
    messages: list = [{"role": "system", "content": PAD}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    for n in range(turns):
        call = {"id": f"call_{n}", "function": {"name": "f", "arguments": json.dumps({"n": n})}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{n}", "content": f"result {n}", "score": n / 7})
    return {"model": "m", "tools": [{"name": "f", "parameters": {"type": "object"}}], "messages": messages, "seed": 1}


def test_growing_by_a_turn_at_a_time():
    whole = conversation(30)["messages"]
    body = conversation(0)
    chain = KeyChain(body)
    for message in whole[2:]:
        body["messages"].append(message)
        chain.append(message)
        assert request_key(body) == fresh(body) == chain.digest()
        rebuilt = {**body, "messages": [*body["messages"]]}
        assert (
            request_key(rebuilt) == request_key({**rebuilt, "messages": tuple(rebuilt["messages"])}) == chain.digest()
        )


CHANGES = [
    lambda body: body["messages"][0].update(content=PAD + "!"),
    lambda body: body["messages"][1]["content"][0].update(text="ho"),
    lambda body: body["messages"][1]["content"].append({"type": "text", "text": "more"}),
    lambda body: body["messages"][1]["content"].clear(),
    lambda body: body["messages"][2]["tool_calls"][0]["function"].update(arguments="{}"),
    lambda body: body["messages"][2]["tool_calls"][0]["function"].pop("name"),
    lambda body: body["messages"][2]["tool_calls"][0]["function"].update(extra=None),
    lambda body: body["messages"][3].update(score=2),
    lambda body: body["messages"][3].update(score=True),
    lambda body: body["messages"][3].update(content=["result 0"]),
    lambda body: body["messages"][3].update(content=("result 0",)),
    lambda body: body["messages"].insert(3, {}),
    lambda body: body["messages"].pop(),
    lambda body: body["messages"].reverse(),
    lambda body: body["messages"].__setitem__(4, [1]),
    lambda body: body["messages"].__setitem__(4, None),
    lambda body: body["tools"][0]["parameters"].update(type="array"),
    lambda body: body["tools"].append({}),
    lambda body: body.update(seed=2),
    lambda body: body.update(seed=1.0),
    lambda body: body.pop("seed"),
    lambda body: body.update(new=[]),
    lambda body: body.update(messages={}),
    lambda body: body.update(messages=body["messages"][:1]),
    lambda body: body.pop("messages"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_is_noticed(change):
    body = conversation(3)
    before = request_key(body)
    assert request_key(body) == before
    change(body)
    assert request_key(body) == fresh(body)


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_any_row_of_changes(rng):
    body = conversation(4)
    others = [conversation(2), body]
    for _ in range(12):
        target = rng.choice(others)
        containers = list(_containers(target))
        container = rng.choice(containers)
        value = rng.choice([None, "x", 1, 1.0, 0.5, True, [], {}, [1], {"k": "v"}, rng.choice(containers)])
        if isinstance(container, dict):
            name = rng.choice([*container, "new"])
            container.pop(name, None) if rng.random() < 0.3 else container.__setitem__(name, value)
        elif container and rng.random() < 0.5:
            container[rng.randrange(len(container))] = value
        else:
            container.append(value)
        for one in others:
            try:
                text = json.dumps(one)
            except ValueError:  # it contains itself
                with pytest.raises(CanonicalError):
                    request_key(one)
                return
            assert request_key(one) == request_key(bytearray(text.encode()))


def _containers(value, depth=0):
    if isinstance(value, dict | list) and depth < 8:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item, depth + 1)


def test_the_scope_is_part_of_what_is_remembered():
    body = conversation(3)
    scopes = [{}, {"url": "a"}, {"tenant": b"a"}, {"namespace": "a"}, {"headers": {"accept": "a"}}]
    for _ in range(2):
        keys = [request_key(body, **scope) for scope in scopes]
        assert keys == [fresh(body, **scope) for scope in scopes]
        assert len(set(keys)) == len(keys)


def test_messages_at_the_address_of_others():
    for n in range(300):
        body = {"messages": [{"content": PAD + str(n)}, {"content": str(n)}]}
        assert request_key(body) == fresh(body)
        del body


def test_containers_are_not_kept_alive():
    class Tracked(list):
        __slots__ = ("__weakref__",)

    body = conversation(3)
    request_key(body)
    holder = Tracked([body])
    watch = weakref.ref(holder)
    message = body["messages"][0]
    held = sys.getrefcount(message)
    request_key(body)
    assert sys.getrefcount(message) == held
    del holder
    gc.collect()
    assert watch() is None


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="nothing is remembered without a GIL")
def test_what_is_remembered_is_bounded():
    first = {"messages": [{"content": "\x00" + PAD}, {}]}
    text = first["messages"][0]["content"]
    request_key(first)
    held = sys.getrefcount(text)
    others = [{"messages": [{"content": f"{n}" + PAD}, {"n": n}]} for n in range(40)]
    for body in others:
        request_key(body)
    assert sys.getrefcount(text) == held - 1
