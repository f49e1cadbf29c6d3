"""Anthropic's messages: what is sent and what comes back have the forms that its own SDK knows."""

import json

import pytest
from anthropic.types import Message, MessageCreateParams, RawMessageStreamEvent
from pydantic import TypeAdapter

from hotloop import Done, LLMClient, MemoryCache, TextDelta, ToolCall, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from hotloop.calls import Retry
from hotloop.errors import MissingKeyError, ModelError, ModelRequestError, ModelResponseError, ModelStatusError
from support.origin import Answer, Origin, streamed

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}}
COUNTS = {"input_tokens": 4, "output_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2}
USED = Usage(11, 7, 5, 2)
REQUEST = TypeAdapter(MessageCreateParams)
EVENT = TypeAdapter(RawMessageStreamEvent)
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def text(words):
    return {"type": "text", "text": words}


def use(identity="a", name="f", **arguments):
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


def message(*content, reason="end_turn", **fields) -> Answer:
    """A whole answer, checked against the SDK."""
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": list(content),
        "stop_reason": reason, "stop_sequence": None, "usage": COUNTS,
    } | fields  # fmt: skip
    Message.model_validate(body, strict=True)
    return Answer(body=body)


def event(kind, **fields) -> bytes:
    """An event of a stream, checked against the SDK."""
    value = {"type": kind, **fields}
    if kind not in ("ping", "error"):
        EVENT.validate_python(value)
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


def start():
    head = message(reason=None, usage={"input_tokens": 4, "output_tokens": 1, "cache_read_input_tokens": 5}).body
    return event("message_start", message=head)


def block(index, begin, *deltas):
    return [
        event("content_block_start", index=index, content_block=begin),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def end(reason="end_turn"):
    usage = {"output_tokens": 7, "cache_creation_input_tokens": 2}
    return [event("message_delta", delta={"stop_reason": reason}, usage=usage), event("message_stop")]


SAID = [
    start(),
    event("ping"),
    *block(0, text(""), *({"type": "text_delta", "text": t} for t in ("Hel", "lo"))),
    *end(),
]


@pytest.fixture
def origin():
    with Origin(message(text("Hello"))) as origin:
        yield origin


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def client(origin, **options):
    options.setdefault("retry", Retry(attempts=1))
    return LLMClient("anthropic:claude", base_url=origin.root, api_key="sk-ant-secret", **options)


def sent(origin):
    """The last request's body; the SDK would have sent it, too."""
    body = origin.requests[-1].body
    REQUEST.validate_python(body)
    return body


async def events_of(llm, **params):
    async with llm.stream(ASK, **params) as events:
        return [event async for event in events]


async def test_a_call(origin):
    async with client(origin) as llm:
        reply = await llm.chat([{"role": "system", "content": "Be brief."}, *ASK])
        assert llm.metrics().cached_tokens == 5
    request = origin.requests[0]
    assert request.path == "/v1/messages"
    assert request.headers["x-api-key"] == "sk-ant-secret"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert sent(origin) == {"model": "claude", "max_tokens": 4096, "system": "Be brief.", "messages": ASK}
    assert (reply.text, reply.finish_reason, reply.usage) == ("Hello", "stop", USED)
    assert reply.message == {"role": "assistant", "content": "Hello"}


async def test_the_base_url_may_hold_the_version(origin):
    async with LLMClient("anthropic:claude", base_url=origin.url) as llm:
        await llm.chat(ASK)
    assert origin.requests[0].path == "/v1/messages"
    assert "x-api-key" not in origin.requests[0].headers


def test_the_hosted_server_wants_a_key():
    with pytest.raises(MissingKeyError, match="ANTHROPIC_API_KEY"):
        LLMClient("anthropic:claude")


async def test_parameters_are_translated(origin):
    schema = {"type": "object", "properties": {}}
    async with client(origin) as llm:
        await llm.chat(
            ASK, tools=[TOOL], max_completion_tokens=9, stop="END", user="u", n=1, temperature=0.5, top_k=3,
            tool_choice={"type": "function", "function": {"name": "f"}}, parallel_tool_calls=False,
            reasoning_effort="low",
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )  # fmt: skip
    assert sent(origin) == {
        "model": "claude", "max_tokens": 9, "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "temperature": 0.5,
        "top_k": 3, "tools": [{"name": "f", "description": "F.", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema}}, "messages": ASK,
    }  # fmt: skip


@pytest.mark.parametrize(("given", "made"), [("auto", "auto"), ("required", "any"), ("none", "none")])
async def test_the_choice_of_tools(origin, given, made):
    async with client(origin) as llm:
        await llm.chat(ASK, tools=[TOOL], tool_choice=given)
    assert sent(origin)["tool_choice"] == {"type": made}


async def test_a_whole_conversation(origin):
    calls = [
        {"id": i, "type": "function", "function": {"name": "f", "arguments": a}}
        for i, a in (("a", '{"x":1}'), ("b", "[no"))
    ]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}
    talk = [
        {"role": "system", "content": "One."},
        {"role": "developer", "content": [{**text("Two."), "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [text("Look"), image, pdf]},
        {"role": "assistant", "content": "I call.", "tool_calls": calls, "refusal": None},
        {"role": "tool", "tool_call_id": "b", "content": "bad"},
        {"role": "tool", "tool_call_id": "a", "content": [text("good")]},
        {"role": "user", "content": "And?"},
    ]
    async with client(origin) as llm:
        await llm.chat(talk)
    body = sent(origin)
    assert body["system"] == [text("One."), {**text("Two."), "cache_control": {"type": "ephemeral"}}]
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert body["messages"] == [
        {"role": "user", "content": [
            text("Look"), {"type": "image", "source": source},
            {"type": "document", "source": {**source, "media_type": "application/pdf"}, "title": "a.pdf"},
        ]},
        {"role": "assistant", "content": [text("I call."), use("a", x=1), use("b", malformed="[no")]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "b", "content": "bad"},
            {"type": "tool_result", "tool_use_id": "a", "content": [text("good")]},
            text("And?"),
        ]},
    ]  # fmt: skip


async def test_blocks_of_other_kinds_go_back_as_they_came(origin):
    origin.script(message(THOUGHT, text("I call."), use(x=1), reason="tool_use"), message(text("Done")))
    async with client(origin) as llm:
        first = await llm.chat(ASK, tools=[TOOL])
        assert first.finish_reason == "tool_calls"
        result = {"role": "tool", "tool_call_id": "a", "content": "1"}
        await llm.chat([*ASK, first.message, result], tools=[TOOL])
        assert sent(origin)["messages"][1]["content"] == [THOUGHT, text("I call."), use(x=1)]
        await llm.chat([*ASK, {**first.message, "content": "Changed."}, result], tools=[TOOL])
        assert sent(origin)["messages"][1]["content"] == [text("Changed."), use(x=1)]
    async with LLMClient("openai:m", base_url=origin.url) as other:
        with pytest.raises(ModelResponseError):
            await other.chat([*ASK, first.message])
    assert "anthropic_content" not in origin.requests[-1].body["messages"][1]


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        ([], "no message of the user"),
        ([{"role": "system", "content": "x"}], "no message of the user"),
        ([{"role": "assistant", "content": "x"}], r"messages\[0\] is the assistant's"),
        ([*ASK, {"role": "function", "content": "x"}], r"messages\[1\] has the role 'function'"),
        ([*ASK, {"content": "x"}], r"messages\[1\] is no message"),
        ([*ASK, "x"], r"messages\[1\] is no message"),
        ([{"role": "user", "content": ""}], "empty"),
        ([{"role": "user"}], "no content"),
        ([*ASK, {"role": "assistant", "content": None}], "empty"),
        ([*ASK, {"role": "tool", "tool_call_id": "a", "content": "x"}], "no message before it asks for"),
        ([*ASK, {"role": "assistant", "tool_calls": [{"id": "a"}]}], "without id, name or arguments"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], r"messages\[0\].content\[0\] is .* 'input_audio'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "no image_url as"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "data:,x"}]}], "data URL"),
    ],
)  # fmt: skip
async def test_what_anthropic_has_no_form_for_is_said_at_once(origin, talk, says):
    async with client(origin) as llm:
        with pytest.raises(ModelRequestError, match=says):
            await llm.chat(talk)
    assert not origin.requests


async def test_a_call_without_its_result_is_said_at_once(origin):
    call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": ""}}]}
    async with client(origin) as llm:
        for rest in ([], ASK):
            with pytest.raises(ModelRequestError, match="the call 'a' of f"):
                await llm.chat([*ASK, call, *rest])


@pytest.mark.parametrize(
    "params",
    [
        {"seed": 1},
        {"n": 2},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "any"},
        {"reasoning_effort": "much"},
    ],
)
async def test_parameters_that_anthropic_does_not_know_are_not_dropped(origin, params):
    async with client(origin) as llm:
        with pytest.raises(ModelRequestError, match=next(iter(params))):
            await llm.chat(ASK, **params)
        with pytest.raises(TypeError, match="model"):
            await llm.chat(ASK, model="x")


@pytest.mark.parametrize(
    ("reason", "finish", "kept"),
    [
        ("end_turn", "stop", True),
        ("stop_sequence", "stop", True),
        ("max_tokens", "length", True),
        ("refusal", "content_filter", False),
        ("pause_turn", "pause_turn", False),
    ],
)
async def test_why_it_stopped(origin, reason, finish, kept):
    for answer, ask in ((message(text("x"), reason=reason), None), (streamed(*SAID[:-2], *end(reason)), events_of)):
        origin.script(answer)
        async with client(origin, cache=MemoryCache()) as llm:
            for state in ("miss", "hit" if kept else "miss"):
                reply = await llm.chat(ASK, temperature=0) if ask is None else (await ask(llm, temperature=0))[-1].reply
                assert (reply.finish_reason, reply.cache) == (finish, state)


async def test_a_stream(origin):
    origin.script(streamed(*SAID))
    async with client(origin) as llm:
        *events, done = await events_of(llm)
        assert llm.metrics().output_tokens == 7
    assert sent(origin)["stream"] is True
    assert events == [TextDelta("Hel"), TextDelta("lo"), USED]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.reply.text, done.reply.usage) == ("stop", "Hello", USED)


async def test_a_stream_of_thoughts_and_calls(origin):
    thinking = block(0, {**THOUGHT, "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "Hm."},
                     {"type": "signature_delta", "signature": "c2ln"})  # fmt: skip
    pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"x"', ": 1}"))
    origin.script(streamed(start(), *thinking, *block(1, use()), *block(2, use("b", "g"), *pieces), *end("tool_use")))
    async with client(origin) as llm:
        *events, done = await events_of(llm, tools=[TOOL])
    assert events == [
        ToolCallStart(0, "a", "f"),
        ToolCallEnd(0, ToolCall("f", "{}", "a")),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, '{"x"'),
        ToolCallDelta(1, ": 1}"),
        ToolCallEnd(1, ToolCall("g", '{"x": 1}', "b")),
        USED,
    ]
    assert done.reply.tool_calls == [ToolCall("f", "{}", "a"), ToolCall("g", '{"x":1}', "b")]
    assert done.reply.message["anthropic_content"] == [THOUGHT, use(), use("b", "g", x=1)]


OVERLOADED = {"type": "overloaded_error", "message": "Overloaded sk-ant-secret"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(529, {"type": "error", "error": OVERLOADED}), ModelStatusError),
        (Answer(200, {"type": "error", "error": OVERLOADED}), ModelStatusError),
        (Answer(200, {"type": "message"}), ModelResponseError),
        (Answer(200, {"content": [{"type": "text", "text": 5}]}), ModelResponseError),
        (Answer(200, "<html>"), ModelResponseError),
        (Answer(401, {"type": "error", "error": {"message": "bad sk-ant-secret"}}), ModelStatusError),
    ],
)
@pytest.mark.parametrize("retry", [1, 2])
async def test_errors_are_one_line_without_the_key(origin, answer, error, retry):
    origin.script(answer)
    async with client(origin, cache=MemoryCache(), retry=Retry(retry, base=0)) as llm:
        for _ in range(2):
            with pytest.raises(error) as caught:
                await llm.chat(ASK, temperature=0)
        assert "secret" not in str(caught.value)
        assert getattr(caught.value, "status", 529) in (401, 529)
        assert len(origin.requests) == 2 * (retry if caught.value.retryable else 1)


@pytest.mark.parametrize(
    "answer",
    [
        streamed(*SAID[:4], event("error", error=OVERLOADED)),
        streamed(*SAID[:-1]),
        streamed(start(), *block(0, text(""))[:1], *end()),
        streamed(*SAID[:2], b"data: {no\n\n"),
        streamed(event("ping"), *SAID[3:]),
        streamed(b"data: 5\n\n"),
    ],
)
async def test_a_broken_stream_is_an_error_and_is_not_stored(origin, answer):
    origin.script(answer)
    async with client(origin, cache=MemoryCache()) as llm:
        with pytest.raises(ModelError) as caught:
            await events_of(llm, temperature=0)
        assert "secret" not in str(caught.value)
        origin.script(streamed(*SAID))
        assert (await events_of(llm, temperature=0))[-1].reply.cache == "miss"


async def test_answers_of_tools_that_run_at_the_provider_are_not_stored(origin):
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            tools = [{"type": "web_search_20250305", "name": "web_search"}]
            assert (await llm.chat(ASK, tools=tools, temperature=0)).cache == "bypass"
    assert sent(origin)["tools"] == tools
