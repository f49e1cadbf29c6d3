"""A conversation is append-only, says the same bytes for ever, and forks cheaply."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop import CanonicalError, Conversation

ROLE = st.sampled_from(["system", "user", "assistant", "tool"])
MESSAGE = st.builds(lambda role, content: {"role": role, "content": content}, ROLE, st.text(max_size=20))


def say(text: str, role: str = "user") -> dict:
    return {"role": role, "content": text}


def test_the_body_is_the_head_and_the_messages():
    talk = Conversation([say("be kind", "system"), say("hello")])
    body = json.loads(talk.body(model="m", temperature=0))
    assert body == {"model": "m", "temperature": 0, "messages": [say("be kind", "system"), say("hello")]}
    assert json.loads(Conversation().body()) == {"messages": []}


def test_what_was_said_does_not_change_with_the_callers_objects():
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    talk = Conversation([message])
    key, body = talk.key(), talk.body()
    message["tool_calls"][0]["id"] = "2"
    talk.messages[0]["tool_calls"][0]["id"] = "3"
    assert (talk.key(), talk.body(), talk.messages[0]["tool_calls"][0]["id"]) == (key, body, "1")


@given(st.lists(MESSAGE, max_size=6), st.lists(MESSAGE, max_size=4), st.lists(MESSAGE, max_size=4))
def test_forks_share_the_past_and_nothing_else(past, left, right):
    trunk = Conversation(past)
    branch = trunk.fork()
    for ours, theirs in zip(left, right, strict=False):
        trunk.append(ours)
        branch.append(theirs)
    shared = min(len(left), len(right))
    assert trunk.messages == past + left[:shared]
    assert branch.messages == past + right[:shared]
    assert len(branch) == len(past) + shared
    assert trunk.key() == Conversation(trunk.messages).key()
    assert (trunk.key() == branch.key()) == (trunk.messages == branch.messages)


def test_a_fork_of_a_fork_that_was_overtaken():
    trunk = Conversation([say("a")])
    late = trunk.fork()
    trunk.append(say("b"))
    last = late.fork()
    late.append(say("c"))
    last.append(say("d"))
    assert [m["content"] for m in trunk.messages + late.messages + last.messages] == list("abacad")


@pytest.mark.parametrize("message", [{}, {"role": "wizard"}, {"role": None, "content": "x"}])
def test_a_message_without_a_known_role_is_refused(message):
    with pytest.raises(ValueError, match="role"):
        Conversation([message])


def test_a_message_that_json_cannot_hold_is_refused_and_leaves_no_trace():
    talk = Conversation([say("a")])
    before = talk.body()
    for bad in (float("nan"), {1: 2}, object(), "\ud800"):
        with pytest.raises(CanonicalError):
            talk.append({"role": "user", "content": bad})
    assert (talk.body(), len(talk)) == (before, 1)


def test_no_message_is_serialised_again_for_a_body_and_its_bytes_are_copied_once():
    talk = Conversation([say("x" * 1_000_000)])
    talk.body()
    tracemalloc.start()
    try:
        size = len(talk.body(model="m"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * size
