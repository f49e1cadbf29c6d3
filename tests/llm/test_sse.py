"""Server-sent events from bytes."""

from hypothesis import given
from hypothesis import strategies as st

from hotloop.llm.sse import SSEReader


def read(*chunks: bytes) -> list[tuple[bytes, bytes]]:
    reader = SSEReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def test_the_examples_of_the_standard():
    assert read(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [(b"", b"YHOO\n+2\n10")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    assert read(stream) == [(b"", b"first event"), (b"", b"second event")]
    assert read(b"data\n\ndata\ndata\n\ndata:") == [(b"", b""), (b"", b"\n")]
    assert read(b"data:test\n\ndata: test\n\n") == [(b"", b"test"), (b"", b"test")]


def test_names_belong_to_one_event():
    assert read(b"event: a\ndata: 1\n\ndata: 2\n\nevent:b\n\ndata: 3\n\n") == [(b"a", b"1"), (b"", b"2"), (b"", b"3")]


line = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20).map(
        lambda text: b"data: " + text.encode()
    ),
    st.sampled_from(
        [b"", b"", b"event: e", b": comment", b"data", b"data:x", b"dataset: 1", b"id: 7", b"\xef\xbb\xbf"]
    ),
)


@given(st.lists(line), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.data())
def test_cuts_and_line_ends_change_nothing(lines, newline, bom, data):
    lines = [b"x: 1", *lines]  # so that the first bytes are no byte order mark by chance
    expected = read(b"".join(line + b"\n" for line in lines))
    whole = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line + newline for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(*pieces) == expected


def test_a_whole_event_after_part_of_one_is_a_part_of_it():
    assert read(b"data: a\n", b"data: b\n\n") == [(b"", b"a\nb")]
    assert read(b"event: e\n", b"data: a\n\n", b"data: b\n\n") == [(b"e", b"a"), (b"", b"b")]
    assert read(b"data: a\r", b"data: b\n\n") == [(b"", b"a\nb")]
    assert read(b": ", b"data: b\n\n", b"data: c\n\n") == [(b"", b"c")]


def test_a_long_line_in_small_pieces_is_put_together_once():
    reader = SSEReader()  # gathered anew for each piece, this would copy 180 GB
    assert not any(reader.feed(b"x") for _ in [*b"data: ", *range(600_000)])
    assert reader.feed(b"\n\n") == []
    pieces = (b"data: ", *(b"x" for _ in range(600_000)), b"\n\n")
    assert [len(data) for _, data in read(*pieces)] == [600_000]
