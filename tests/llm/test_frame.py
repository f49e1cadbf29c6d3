"""Events of a stream that differ in their text alone are read as if each were decoded."""

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from hotloop import TextDelta
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


def read(events, *, learns):
    stream = OpenAIStream()
    if not learns:
        stream._frame._credit = 0
    return [made for event in events for made in stream.feed(b"", event)]


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
    quick, slow = read(lines, learns=True), read(lines, learns=False)
    assert [event for event in quick if isinstance(event, TextDelta)] == [TextDelta(piece) for piece in texts if piece]
    assert quick[:-1] == slow[:-1]
    assert quick[-1].reply.raw == slow[-1].reply.raw
