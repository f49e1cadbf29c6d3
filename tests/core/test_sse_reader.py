"""Server-sent events from bytes."""

import gc
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop._core import SSEReader

BOM = b"\xef\xbb\xbf"


def read(*pieces: bytes) -> list[tuple[bytes, bytes] | str]:
    reader = SSEReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def obvious(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Read a stream that is there as a whole, as the standard says."""
    events, name, data = [], b"", []
    *lines, _unfinished = re.split(rb"\r\n|\r|\n", stream.removeprefix(BOM))
    for line in lines:
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
        elif field == b"data":
            data.append(value)
        elif field == b"event" and colon:
            name = value
    return events


def test_the_examples_of_the_standard():
    assert read(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [(b"", b"YHOO\n+2\n10")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    assert read(stream) == [(b"", b"first event"), (b"", b"second event")]
    assert read(b"data\n\ndata\ndata\n\ndata:") == [(b"", b""), (b"", b"\n")]
    assert read(b"data:test\n\ndata: test\n\n") == [(b"", b"test"), (b"", b"test")]


def test_names_belong_to_one_event():
    assert read(b"event: a\ndata: 1\n\ndata: 2\n\nevent:b\n\ndata: 3\n\n") == [(b"a", b"1"), (b"", b"2"), (b"", b"3")]


def test_data_keeps_what_only_text_would_take_for_the_end_of_a_line():
    data = "\u2028 \u0085 \x0b \x0c \x1c \x00".encode()
    assert read(b"data: " + data + b"\n\n") == [(b"", data)]


FIELDS = (b"data", b"data:", b"data: ", b"event", b"event:", b"event: e", b"datum: 1", b"id: 7", b":")
ENDS = (b"\n", b"\r", b"\r\n", b"\n\n")
OTHER = (b" ", b"x", BOM, BOM[:2], "é🎈\u2028".encode(), b"\xff", b"\x00")
piece = st.sampled_from((*FIELDS, *ENDS, *OTHER))


@given(st.lists(piece, max_size=30).map(b"".join), st.data())
def test_however_it_is_cut_a_stream_reads_as_the_standard_says_as_soon_as_it_can(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, events = SSEReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += reader.feed(stream[start:end])
        assert events == obvious(stream[:end])


def test_events_that_were_not_taken_yet_come_with_the_next_piece():
    reader = SSEReader()
    assert next(reader.feed(b"data: 1\n\ndata: 2\n\ndata: ")) == (b"", b"1")
    assert list(reader.feed(b"3\n\n")) == [(b"", b"2"), (b"", b"3")]


def test_a_long_line_in_small_pieces_is_looked_at_once():
    reader = SSEReader()  # gathered or searched anew for each piece, this would take 180 GB
    assert not any(list(reader.feed(b"x")) for _ in [*b"data: ", *range(600_000)])
    assert list(reader.feed(b"\n\n")) == []
    pieces = (b"data: ", *(b"x" for _ in range(600_000)), b"\n\n")
    assert [len(data) for _, data in read(*pieces)] == [600_000]


# -- texts alone

DUMPS = (
    json.dumps,
    lambda value: json.dumps(value, ensure_ascii=False),
    lambda value: json.dumps(value).replace("/", r"\/").replace("a", r"\u0061"),
)


@given(st.lists(st.text(st.sampled_from('a/é🎈"\\\n\t\b\f\r\x00\x1f\x7f\u2028,}'))), st.data())
def test_an_event_in_the_frame_comes_as_its_text_or_as_it_is(texts, data):
    reader = SSEReader()
    reader.expect(b'{"t":', b',"more":[]}')
    for text in texts:
        raw = b'{"t":' + data.draw(st.sampled_from(DUMPS))(text).encode() + b',"more":[]}'
        (event,) = reader.feed(b"data: " + raw + b"\n\n")
        assert event in (text, (b"", raw))
        assert (event == text) == (text != "" and b"\\ud8" not in raw)


@pytest.mark.parametrize(
    "data",
    [
        b'["",1]',  # no text
        b"[1,1]",
        b'["a","b",1]',  # two strings
        b'["a"b",1]',
        b'["a\\",1]',
        b'["a\\x",1]',
        b'["a\\u12",1]',
        b'["a\\u+123",1]',
        b'["a\\ud83c",1]',
        b'["a\tb",1]',
        b'["\xff",1]',
        b'["a",1] ',
        b' ["a",1]',
        b'["a",2]',
        b'[",1]',
    ],
)
def test_whatever_does_not_fit_the_frame_comes_as_it_is(data):
    reader = SSEReader()
    reader.expect(b"[", b",1]")
    assert list(reader.feed(b"data: " + data + b"\n\n")) == [(b"", data)]
    assert list(reader.feed(b'event: e\ndata: ["a",1]\n\n')) == [(b"e", b'["a",1]')]
    assert reader.texts == 0
    assert list(reader.feed(b'data: ["a",1]\n\n')) == ["a"]
    assert reader.texts == 1


def test_a_frame_holds_from_the_next_event_on():
    reader = SSEReader()
    events = reader.feed(b'data: ["a",1]\n\ndata: ["b",1]\n\ndata: ["c",2]\n\n')
    assert next(events) == (b"", b'["a",1]')
    reader.expect(b"[", b",1]")
    assert next(events) == "b"
    reader.expect(b"[", b",2]")
    assert next(events) == "c"


def test_a_reader_in_use_can_be_used_by_what_the_garbage_collector_runs():
    reader = SSEReader()
    heard = []

    class Circle:
        def __init__(self):
            self.me = self

        def __del__(self):
            heard.extend(reader.feed(b"data: x\n\n"))

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(100):
            Circle()
            list(reader.feed(b"data: y\n\n"))
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert heard
