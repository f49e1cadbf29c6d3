"""Streams: events as they come, from bytes cut anywhere, stored only whole, replayed event for event."""

import asyncio
import threading
from contextlib import suppress

import pytest

from hotloop import Done, LLMClient, MemoryCache, TextDelta, ToolCall, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from hotloop.calls import Retry
from hotloop.errors import ModelConnectionError, ModelError, ModelResponseError, ModelStatusError
from support.origin import END, Answer, Origin, completion, data, delta, streamed, usage

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]
STRANGE = "a\u2028b\u0085c\r\nd é 🎈 data: x"
TEXT = [delta(role="assistant", content=""), delta(content="Hel"), delta(content=STRANGE), delta("stop"), usage(), END]


@pytest.fixture
def origin():
    with Origin(streamed(*TEXT)) as origin:
        yield origin


def client(origin, **options):
    options.setdefault("retry", Retry(attempts=1))
    return LLMClient("openai:m", base_url=origin.url, api_key="k", **options)


async def events_of(llm, **params):
    async with llm.stream(ASK, **params) as events:
        return [event async for event in events]


async def test_a_stream_gives_text_usage_and_the_whole_answer(origin):
    async with client(origin) as llm:
        *events, done = await events_of(llm, temperature=1)
        assert llm.metrics().output_tokens == 7
    assert events == [TextDelta("Hel"), TextDelta(STRANGE), Usage(11, 7, 5)]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.reply.text, done.reply.usage) == ("stop", "Hel" + STRANGE, Usage(11, 7, 5))
    assert done.reply.message == {"role": "assistant", "content": "Hel" + STRANGE}
    assert (done.reply.raw["id"], done.reply.raw["object"]) == ("c1", "chat.completion")
    sent = origin.requests[0].body
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}


async def test_tool_calls_come_piece_by_piece(origin):
    origin.script(
        streamed(
            delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
            delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
            delta("tool_calls"),
            END,
        )
    )
    async with client(origin) as llm:
        *events, done = await events_of(llm)
    assert events == [
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, '{"x"'),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, ": 1}"),
        ToolCallEnd(0, ToolCall("f", '{"x": 1}', "a")),
        ToolCallEnd(1, ToolCall("g", "{}", "b")),
        Usage(),
    ]
    assert done.reply.tool_calls == [ToolCall("f", '{"x": 1}', "a"), ToolCall("g", "{}", "b")]


async def test_calls_that_all_have_number_0_are_told_apart(origin):
    pieces = [{"index": 0, "id": i, "function": {"name": "f", "arguments": "{}"}} for i in "ab"]
    origin.script(streamed(delta(tool_calls=pieces), delta("tool_calls"), END))
    async with client(origin) as llm:
        done = (await events_of(llm))[-1]
    assert [call.id for call in done.reply.tool_calls] == ["a", "b"]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
async def test_the_bytes_may_be_cut_anywhere_and_lines_end_in_any_way(origin, size, newline):
    whole = b"\xef\xbb\xbf: hello\n\nretry: 5\n" + b"".join(TEXT)
    whole = whole.replace(b"\n", newline)
    origin.script(streamed(*(whole[at : at + size] for at in range(0, len(whole), size))))
    async with client(origin) as llm:
        events = await events_of(llm)
    assert events[:3] == [TextDelta("Hel"), TextDelta(STRANGE), Usage(11, 7, 5)]
    assert isinstance(events[3], Done)


async def test_data_may_have_several_lines(origin):
    first, _, rest = delta(content="Hi")[6:-2].partition(b", ")
    origin.script(streamed(b"data:" + first + b",\ndata: " + rest + b"\n\n", delta("stop"), END))
    async with client(origin) as llm:
        assert (await events_of(llm))[0] == TextDelta("Hi")


async def test_events_come_as_soon_as_they_are_there(origin):
    gate = threading.Event()
    origin.script(streamed(delta(content="first"), gate, delta("stop"), END))
    async with client(origin) as llm, llm.stream(ASK) as events:
        assert await anext(events) == TextDelta("first")
        gate.set()
        assert isinstance([event async for event in events][-1], Done)


async def test_a_stored_stream_gives_the_same_events(origin):
    async with client(origin, cache=MemoryCache()) as llm:
        *first, done = await events_of(llm, temperature=0)
        *second, again = await events_of(llm, temperature=0)
        assert first == second
        assert (done.reply.cache, again.reply.cache, again.reply.tier) == ("miss", "hit", "memory")
        assert again.reply.raw == done.reply.raw
        assert llm.metrics()[:4] == (2, 1, 0, 1)
        assert (await events_of(llm))[-1].reply.cache == "bypass"  # sampled
    assert len(origin.requests) == 2


async def test_a_stream_and_a_whole_answer_are_different_requests(origin):
    async with client(origin, cache=MemoryCache()) as llm:
        await events_of(llm, temperature=0)
        origin.script(completion())
        assert (await llm.chat(ASK, temperature=0)).cache == "miss"


async def test_identical_streams_in_flight_are_one_request(origin):
    gate = threading.Event()
    origin.script(streamed(TEXT[0], TEXT[1], gate, *TEXT[2:]))
    async with client(origin) as llm, llm.stream(ASK, temperature=0) as leader:
        assert await anext(leader) == TextDelta("Hel")
        others = [asyncio.create_task(events_of(llm, temperature=0)) for _ in range(8)]
        await asyncio.sleep(0)
        gate.set()
        rest = [event async for event in leader]
        for events in await asyncio.gather(*others):
            assert events[1:-1] == rest[:-1]
            assert events[-1].reply.cache == "joined"
    assert len(origin.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (streamed(*TEXT[:-3]), ModelResponseError),
        (streamed(*TEXT[:2]), ModelResponseError),
        (streamed(*TEXT[:3], data({"error": {"message": "overloaded"}}), END), ModelResponseError),
        (streamed(*TEXT[:3], b"event: error\ndata: {}\n\n", END), ModelResponseError),
        (streamed(*TEXT[:2], data(b"{nonsense"), END), ModelResponseError),
        (streamed(data(b"[]"), END), ModelResponseError),
        (streamed(delta(content=5), END), ModelResponseError),
        (streamed(delta(tool_calls=[{"index": 0, "function": {}}]), END), ModelResponseError),
        (streamed(*TEXT[:3], cut="body"), ModelConnectionError),
        (streamed(b"<html>"), ModelResponseError),
        (streamed(b""), ModelResponseError),
        (Answer(200, {"error": {"message": "overloaded"}}), ModelResponseError),
        (Answer(200, "<html>", {"content-type": "text/html"}), ModelResponseError),
        (completion(), ModelResponseError),
        (Answer(500), ModelStatusError),
        (Answer(429, {"error": {"message": "slow down"}}), ModelStatusError),
    ],
)
async def test_a_broken_stream_is_an_error_and_is_not_stored(origin, answer, error):
    origin.script(answer)
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            with pytest.raises(error) as caught:
                await events_of(llm, temperature=0)
        assert isinstance(caught.value, ModelError)
        assert len(origin.requests) == 2
        origin.script(streamed(*TEXT))
        assert (await events_of(llm, temperature=0))[-1].reply.cache == "miss"


@pytest.mark.parametrize("last", [delta("content_filter"), b""])
async def test_filtered_and_unfinished_streams_are_not_stored(origin, last):
    origin.script(streamed(delta(content="Hi"), last, END))
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            assert (await events_of(llm, temperature=0))[-1].reply.cache == "miss"


@pytest.mark.parametrize("end", [b"", b"data: [DONE]", b"data: [DONE]\n"])
async def test_an_answer_that_ended_is_whole_without_the_end_mark_and_is_not_stored(origin, end):
    origin.script(streamed(*TEXT[:-1], end))
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            events = await events_of(llm, temperature=0)
            assert events[-1].reply.text == f"Hel{STRANGE}"
            assert events[-1].reply.finish_reason == "stop"
            assert (events[-1].reply.cache, events[-2]) == ("miss", Usage(11, 7, 5))
        assert llm.metrics().errors == 0


async def test_text_in_parts_is_text_without_the_thoughts(origin):
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [delta(content=[thought]), delta(content=[{"type": "text", "text": "Hel"}]), delta(content="lo")]
    origin.script(streamed(*parts, delta("stop"), END))
    async with client(origin) as llm:
        *events, done = await events_of(llm)
    assert events[:2] == [TextDelta("Hel"), TextDelta("lo")]
    assert done.reply.text == "Hello"


async def test_an_attempt_is_repeated_only_before_its_first_chunk(origin):
    origin.script(Answer(503), streamed(*TEXT))
    async with client(origin, retry=Retry(attempts=3, base=0)) as llm:
        assert isinstance((await events_of(llm))[-1], Done)
        origin.script(streamed(TEXT[1], cut="body"))
        with pytest.raises(ModelConnectionError):
            await events_of(llm)
    assert len(origin.requests) == 3


async def test_leaving_early_is_no_answer_and_the_next_call_is_whole(origin):
    gate = threading.Event()
    origin.script(streamed(TEXT[1], gate, *TEXT[2:]))
    async with client(origin, cache=MemoryCache()) as llm:
        async with llm.stream(ASK, temperature=0) as events:
            await anext(events)
        gate.set()
        origin.script(streamed(*TEXT))
        assert (await events_of(llm, temperature=0))[-1].reply.cache == "miss"


async def test_a_stream_gives_one_answer(origin):
    async with client(origin) as llm:
        with pytest.raises(TypeError, match="one answer"):
            await events_of(llm, n=2)


FRAMED = [delta(content=text) for text in ("a", "b", 'c"}', "d\\", "é\u2028🎈", "\x00", " ")]
ODD = data(
    {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 1, "delta": {"content": "no"}}]}
)


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        ([delta(content=text) for text in (", ", ": ", ",", "m", "}", "y")], [", ", ": ", ",", "m", "}", "y"]),
        (FRAMED, ["a", "b", 'c"}', "d\\", "é\u2028🎈", "\x00", " "]),
        ([*FRAMED[:3], ODD, delta(content="")], ["a", "b", 'c"}']),
        ([FRAMED[0], FRAMED[0].replace(b'"a"', b'"a", "content": "z"')], ["a", "z"]),  # the last of a name counts
        ([FRAMED[0].replace(b'"a"', b'"a", "content": "z"'), FRAMED[1]], ["z", "b"]),
        ([*FRAMED[:2], FRAMED[0].replace(b'"a"', b'\n"x"').replace(b'\n"', b' "')], ["a", "b", "x"]),
        (
            [data({"o": "ab" * n, "choices": [{"delta": {"content": f"{n}"}}]}) for n in range(9)],
            [f"{n}" for n in range(9)],
        ),
        ([data({"choices": [{"delta": {"content": "m"}, "m": "m"}]})] * 3, ["m"] * 3),
    ],
)
async def test_events_that_differ_in_their_text_alone_mean_the_same_as_others(origin, pieces, texts):
    origin.script(streamed(delta(role="assistant"), *pieces, delta("stop"), END))
    async with client(origin) as llm:
        events = await events_of(llm)
    assert [event.text for event in events if isinstance(event, TextDelta)] == texts
    assert events[-1].reply.text == "".join(texts)


@pytest.mark.parametrize("bad", [b'"a", "b"', b'"a"x"b"', b"5", b"nope", b'"\\ud800"', b'"\xff"'])
async def test_what_fits_around_its_text_and_is_no_text_is_an_error(origin, bad):
    good = delta(content="a")
    origin.script(streamed(delta(role="assistant"), good, good, good.replace(b'"a"', bad), delta("stop"), END))
    async with client(origin) as llm:
        with pytest.raises(ModelResponseError):
            await events_of(llm)


async def test_a_first_chunk_that_names_nothing_hides_no_name(origin):
    filters = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    origin.script(streamed(data(filters), delta(content="Hi"), delta("stop"), b"data: [DONE] \n\n"))
    async with client(origin) as llm:
        raw = (await events_of(llm))[-1].reply.raw
    assert (raw["id"], raw["model"], raw["prompt_filter_results"]) == ("c1", "m", [{"prompt_index": 0}])


async def test_a_call_may_say_its_identifier_after_its_name(origin):
    pieces = [
        {"index": 0, "function": {"name": "f"}},
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
    ]
    origin.script(streamed(*(delta(tool_calls=[piece]) for piece in pieces), delta("tool_calls"), END))
    async with client(origin) as llm:
        assert (await events_of(llm))[-1].reply.tool_calls == [ToolCall("f", "{}", "a")]


async def test_each_stream_is_counted_once(origin):
    async with client(origin) as llm:
        async with llm.stream(ASK) as events:
            await anext(events)
        assert (llm.metrics().errors, llm.metrics().bypassed) == (1, 0)  # given up
        with suppress(KeyError):
            async with llm.stream(ASK) as events:
                _ = [event async for event in events]
                raise KeyError  # the reader's own affair
        assert (llm.metrics().calls, llm.metrics().errors, llm.metrics().bypassed) == (2, 1, 1)
