"""OpenAI's Responses: what is sent and what comes back have the forms that OpenAI's own SDK knows."""

import json

import pytest
from openai.types.responses import Response, ResponseCreateParams, ResponseStreamEvent
from pydantic import TypeAdapter

from hotloop import Done, LLMClient, MemoryCache, TextDelta, ToolCall, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from hotloop.calls import Retry
from hotloop.errors import ModelError, ModelRequestError, ModelResponseError, ModelStatusError
from support.origin import Answer, Origin, streamed

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}}
USED = Usage(11, 7, 5, 2)
REQUEST = TypeAdapter(ResponseCreateParams)
EVENT = TypeAdapter(ResponseStreamEvent)
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AAAA"}


def said(words, **fields):
    part = {"type": "output_text", "text": words, "annotations": []} | fields
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def call(identity="a", name="f", arguments='{"x": 1}'):
    return {"type": "function_call", "id": "fc_" + identity, "call_id": identity, "name": name, "arguments": arguments}


def response(*output, status="completed", **fields):
    """A response, checked against the SDK."""
    usage = {
        "input_tokens": 11, "output_tokens": 7, "total_tokens": 18,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    body = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": list(output),
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage, "error": None,
    } | fields  # fmt: skip
    Response.model_validate(body)
    return body


def event(kind, **fields) -> bytes:
    """An event of a stream, checked against the SDK."""
    value = {"type": kind, "sequence_number": 0, **fields}
    EVENT.validate_python(value)
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


def delta(words):
    return event("response.output_text.delta", delta=words, item_id="i", output_index=0, content_index=0, logprobs=[])


BEGUN = event("response.created", response=response(status="in_progress", usage=None))
ENDED = event("response.completed", response=response(said("Hello")))
SAID = [BEGUN, delta("Hel"), delta("lo"), ENDED]


@pytest.fixture
def origin():
    with Origin(Answer(body=response(said("Hello")))) as origin:
        yield origin


def client(origin, **options):
    options.setdefault("retry", Retry(attempts=1))
    return LLMClient("openai-responses:m", base_url=origin.url, api_key="sk-secret", **options)


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
    assert origin.requests[0].path == "/v1/responses"
    assert origin.requests[0].headers["authorization"] == "Bearer sk-secret"
    assert sent(origin) == {"model": "m", "input": [{"role": "system", "content": "Be brief."}, *ASK]}
    assert (reply.text, reply.finish_reason, reply.usage) == ("Hello", "stop", USED)
    assert reply.message == {"role": "assistant", "content": "Hello"}


async def test_parameters_are_translated(origin):
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True}
    async with client(origin) as llm:
        await llm.chat(
            ASK, tools=[TOOL], max_tokens=99, n=1, temperature=0.5, store=False, verbosity="low",
            reasoning_effort="low", tool_choice={"type": "function", "function": {"name": "f"}},
            response_format={"type": "json_schema", "json_schema": schema},
        )  # fmt: skip
    assert sent(origin) == {
        "model": "m", "max_output_tokens": 99, "temperature": 0.5, "store": False, "input": ASK,
        "text": {"verbosity": "low", "format": {"type": "json_schema", **schema}}, "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [
            {"type": "function", "strict": False, "name": "f", "description": "F.", "parameters": {"type": "object"}}
        ],
    }  # fmt: skip


async def test_a_whole_conversation(origin):
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
    image = {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "low"}}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image]},
        {"role": "assistant", "content": "I call.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "good"},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
    ]
    async with client(origin) as llm:
        await llm.chat(talk)
    assert sent(origin)["input"] == [
        {"role": "user", "content": [
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": "https://h/a.png", "detail": "low"},
        ]},
        {"role": "assistant", "content": "I call."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call_output", "call_id": "a", "output": "good"},
        {"role": "assistant", "content": "Done."},
    ]  # fmt: skip


async def test_items_of_other_kinds_go_back_as_they_came(origin):
    bare = {name: value for name, value in THOUGHT.items() if name != "encrypted_content"}
    origin.script(Answer(body=response(bare, THOUGHT, call())), Answer(body=response(said("Done"))))
    async with client(origin) as llm:
        first = await llm.chat(ASK, tools=[TOOL])
        talk = [*ASK, first.message, {"role": "tool", "tool_call_id": "a", "content": "1"}]
        await llm.chat(talk)
        assert sent(origin)["input"][1:4] == [bare, THOUGHT, call()]
        await llm.chat(talk, store=False)
        assert sent(origin)["input"][1:3] == [THOUGHT, call()]  # what the server does not store it does not know
        await llm.chat([*ASK, {**first.message, "content": "Changed."}, talk[2]])
        assert sent(origin)["input"][1] == {"role": "assistant", "content": "Changed."}


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        ([], "no message"),
        ([{"role": "function", "content": "x"}], "role 'function'"),
        (["x"], r"messages\[0\] is no message"),
        ([{"role": "user"}], "no content"),
        ([{"role": "tool", "content": "x"}], "tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"id": "a"}]}], "without id, name or arguments"),
        ([{"role": "assistant", "content": [{"type": "image_url"}]}], "something else than text"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "'input_audio'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "no image_url as"),
    ],
)
async def test_what_responses_have_no_form_for_is_said_at_once(origin, talk, says):
    async with client(origin) as llm:
        with pytest.raises(ModelRequestError, match=says):
            await llm.chat(talk)
        for name in ("stop", "seed", "n"):
            with pytest.raises(ModelRequestError, match=name):
                await llm.chat(ASK, **{name: 5})
    assert not origin.requests


@pytest.mark.parametrize(
    ("body", "finish", "kept"),
    [
        (response(call()), "tool_calls", True),
        (response(said("x"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length", True),
        (
            response(said("x"), status="incomplete", incomplete_details={"reason": "content_filter"}),
            "content_filter",
            False,
        ),
    ],
)
async def test_why_it_stopped(origin, body, finish, kept):
    kind = "response.completed" if body["status"] == "completed" else "response.incomplete"
    for answer, streams in ((Answer(body=body), False), (streamed(BEGUN, event(kind, response=body)), True)):
        origin.script(answer)
        async with client(origin, cache=MemoryCache()) as llm:
            for state in ("miss", "hit" if kept else "miss"):
                ask = (await events_of(llm, temperature=0))[-1].reply if streams else await llm.chat(ASK, temperature=0)
                assert (ask.finish_reason, ask.cache) == (finish, state)


async def test_a_refusal_is_in_the_message(origin):
    item = {**said(""), "content": [{"type": "refusal", "refusal": "No."}]}
    origin.script(Answer(body=response(item)))
    async with client(origin) as llm:
        assert (await llm.chat(ASK)).message == {"role": "assistant", "content": "", "refusal": "No."}


async def test_a_stream(origin):
    origin.script(streamed(*SAID))
    async with client(origin) as llm:
        *events, done = await events_of(llm)
    assert sent(origin)["stream"] is True
    assert events == [TextDelta("Hel"), TextDelta("lo"), USED]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.reply.text) == ("stop", "Hello")


async def test_a_stream_of_calls(origin):
    origin.script(
        streamed(
            BEGUN,
            event("response.output_item.added", output_index=0, item=THOUGHT),
            event("response.output_item.done", output_index=0, item=THOUGHT),
            event("response.output_item.added", output_index=1, item=call(arguments="")),
            event("response.function_call_arguments.delta", delta='{"x"', item_id="fc_a", output_index=1),
            event("response.function_call_arguments.delta", delta=": 1}", item_id="fc_a", output_index=1),
            event("response.output_item.done", output_index=1, item=call()),
            event("response.completed", response=response(THOUGHT, call())),
        )
    )
    async with client(origin) as llm:
        *events, done = await events_of(llm, tools=[TOOL])
    assert events == [
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ": 1}"),
        ToolCallEnd(0, ToolCall("f", '{"x": 1}', "a")),
        USED,
    ]
    assert done.reply.message["openai_items"] == [THOUGHT, call()]


FAILURE = {"code": "server_error", "message": "boom sk-secret"}
FAILED = response(status="failed", error=FAILURE)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(200, FAILED), ModelResponseError),
        (Answer(200, response(status="queued")), ModelResponseError),
        (Answer(200, {"object": "response"}), ModelResponseError),
        (Answer(200, "sk-secret"), ModelResponseError),
        (Answer(500, {"error": FAILURE}), ModelStatusError),
    ],
)
async def test_errors_are_one_line_without_the_key(origin, answer, error):
    origin.script(answer)
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            with pytest.raises(error) as caught:
                await llm.chat(ASK, temperature=0)
        assert "secret" not in str(caught.value)
    assert len(origin.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        streamed(*SAID[:2], event("error", code="x", message="boom sk-secret", param=None)),
        streamed(BEGUN, event("response.failed", response=FAILED)),
        streamed(*SAID[:-1]),
        streamed(*SAID[:2], b"data: {no\n\n"),
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
