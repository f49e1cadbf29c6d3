"""Events of a stream that differ in their text alone are read as if each were decoded."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop import TextDelta
from hotloop.errors import ModelResponseError
from hotloop.llm.providers.openai import OpenAIStream

DUMPS = (
    lambda value: json.dumps(value).encode(),
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
    orjson.dumps,
)
TOKENS = (
    ",",
    ", ",
    ":",
    '"',
    '","',
    '":"',
    "\\",
    "{",
    "}]}",
    "content",
    "m",
    "null",
    " ",
    "\n",
    "é",
    "🎈",
    "\u2028",
    "",
)
text = st.lists(st.sampled_from(TOKENS), max_size=3).map("".join)


def read(events, *, learns, at_once):
    stream = OpenAIStream()
    if not learns:
        stream._frame._credit = 0
    pieces = [b"data: %b\n\n" % event for event in events]
    return [made for piece in ([b"".join(pieces)] if at_once else pieces) for made in stream.events(piece)]


@given(st.lists(text, max_size=12), st.fixed_dictionaries({"id": text, "model": text, "x": text}), st.data())
def test_a_frame_changes_nothing(texts, head, data):
    dump = data.draw(st.sampled_from(DUMPS))
    noise = data.draw(st.booleans())
    first = {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    events = [first]
    for number, piece in enumerate(texts):
        delta = {"content": piece} if data.draw(st.integers(0, 9)) else {"content": piece, "refusal": "r"}
        extra = {"obfuscation": "ab" * number} if noise else {}
        events.append({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **extra})
    lines = [*map(dump, events), b"[DONE]"]
    at_once = data.draw(st.booleans())
    quick, slow = read(lines, learns=True, at_once=at_once), read(lines, learns=False, at_once=at_once)
    assert [event for event in quick if isinstance(event, TextDelta)] == [TextDelta(piece) for piece in texts if piece]
    assert quick[:-1] == slow[:-1]
    assert quick[-1].reply.raw == slow[-1].reply.raw


def chunk(text, **more):
    return orjson.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}], **more})


def texts_read(events):
    stream = OpenAIStream()
    for event in events:
        list(stream.events(b"data: %b\n\n" % event))
    return stream._reader.texts


def test_events_that_differ_in_their_text_are_read_without_decoding_the_rest():
    assert texts_read([chunk(str(number)) for number in range(10)]) == 8  # the first names the answer, one is learned


def test_a_stream_of_events_that_all_differ_is_learned_from_no_more():
    assert texts_read([chunk("a", noise="b" * number) for number in range(10)] + [chunk("a", noise="b" * 9)]) == 0


def test_what_changes_now_and_then_is_learned_again():
    assert texts_read([chunk(str(number), part=number // 10) for number in range(100)]) == 89


def test_nothing_counts_after_the_end_mark_in_the_same_piece():
    stream = OpenAIStream()
    lines = [chunk("a"), chunk("b"), chunk("c"), b"[DONE]", chunk("d"), b"no JSON"]
    *_, done = stream.events(b"".join(b"data: %b\n\n" % line for line in lines))
    assert done.reply.text == "abc"


def test_what_came_before_an_error_in_the_same_piece_comes_before_it():
    lines = [chunk("a"), chunk("b"), chunk("c"), b'{"error":{"message":"overloaded"}}']
    events = OpenAIStream().events(b"".join(b"data: %b\n\n" % line for line in lines))
    assert [next(events) for _ in range(3)] == [TextDelta("a"), TextDelta("b"), TextDelta("c")]
    with pytest.raises(ModelResponseError, match="overloaded"):
        next(events)
