"""What a server can do wrong, and the one line that comes of it."""

import asyncio
import json
import socket
import threading
import traceback

import pytest

from hotloop import Config, LLMClient, MemoryCache
from hotloop.calls import Retry
from hotloop.errors import (
    ConfigError,
    ModelConnectionError,
    ModelError,
    ModelResponseError,
    ModelStatusError,
    ModelTimeoutError,
)
from support.origin import Answer, Origin, completion, data, streamed

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]
ONCE = Retry(attempts=1)


@pytest.fixture
def origin():
    with Origin() as origin:
        yield origin


def client(origin, **options):
    options.setdefault("retry", ONCE)
    return LLMClient("openai:m", base_url=origin.url, api_key="sk-secret", **options)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(401, {"error": {"message": "bad key sk-secret"}}), ModelStatusError, "OPENAI_API_KEY"),
        (Answer(403), ModelStatusError, "OPENAI_API_KEY"),
        (Answer(404, {"error": {"message": "no such model"}}), ModelStatusError, "'m'"),
        (Answer(404, "<html>nginx</html>"), ModelStatusError, "/v1/chat/completions"),
        (Answer(400, {"detail": "too long"}), ModelStatusError, "too long"),
        (Answer(429, headers={"retry-after": "0.01"}), ModelStatusError, "wait 0.01 s"),
        (Answer(500, {"error": "boom"}), ModelStatusError, "boom"),
        (Answer(502, "<html>" + "x" * 5000), ModelStatusError, "HTML"),
        (Answer(307, headers={"location": "https://elsewhere"}), ModelStatusError, "https://elsewhere"),
        (Answer(200, ""), ModelResponseError, "not JSON"),
        (Answer(200, "<html>\n<body>Welcome"), ModelResponseError, "Welcome"),
        (Answer(200, '{"choices": [{"message"'), ModelResponseError, "not JSON"),
        (Answer(200, "[]"), ModelResponseError, "no chat completion"),
        (Answer(200, "null"), ModelResponseError, "no chat completion"),
        (Answer(200, {"choices": []}), ModelResponseError, "no chat completion"),
        (Answer(200, {"choices": [{"message": {"content": 5}}]}), ModelResponseError, "no chat completion"),
        (Answer(200, {"choices": [{"message": {"tool_calls": [{}]}}]}), ModelResponseError, "no chat completion"),
        (Answer(200, {"choices": "\x1b[31mred"}), ModelResponseError, "no chat completion"),
        (Answer(200, {"error": {"message": "overloaded"}}), ModelResponseError, "overloaded"),
        (Answer(200, {"error": {"message": "overloaded", "code": 503}}), ModelStatusError, "overloaded"),
        (Answer(200, b"\xff\xfe\x00"), ModelResponseError, "not JSON"),
        (Answer(200, completion().body, cut="body"), ModelConnectionError, "broke off"),
        (Answer(cut="head"), ModelConnectionError, "broke off"),
        (Answer(200, b"no gzip", headers={"content-encoding": "gzip"}), ModelConnectionError, "broke off"),
    ],
)
async def test_one_line_and_nothing_stored(origin, answer, error, says):
    origin.script(answer)
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            with pytest.raises(error) as caught:
                await llm.chat(ASK, temperature=0)
        line = str(caught.value)
        assert says in line
        assert line.isprintable()
        assert len(line) < 500
        assert "sk-secret" not in line
        assert len(origin.requests) == 2  # the failure was not stored
        origin.script(completion())
        assert (await llm.chat(ASK, temperature=0)).text == "Hello"  # and the next call is whole


async def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with LLMClient("openai:m", base_url=f"http://127.0.0.1:{port}", retry=ONCE) as llm:
        with pytest.raises(ModelConnectionError, match=f"127.0.0.1:{port} could not be reached"):
            await llm.chat(ASK)


async def test_a_silent_server(origin):
    gate = threading.Event()
    origin.script(Answer(gate=gate))
    async with client(origin) as llm:
        with pytest.raises(ModelTimeoutError, match=r"silent for 0.05 s"):
            await llm.chat(ASK, timeout=0.05)
    async with client(origin, config=Config().replace(llm_client={"timeout": 0.05})) as llm:
        with pytest.raises(TimeoutError):
            await llm.chat(ASK)
    gate.set()


async def test_what_may_pass_is_tried_again(origin):
    origin.script(Answer(503), Answer(cut="head"), Answer(429, headers={"retry-after": "0"}), completion())
    async with client(origin, retry=Retry(attempts=4, base=0)) as llm:
        assert (await llm.chat(ASK)).text == "Hello"
        assert llm.metrics().retries == 3


async def test_the_configuration_says_how_often(origin):
    origin.script(Answer(503, headers={"retry-after": "0"}))
    async with client(origin, retry=None, config=Config().replace(llm_client={"max_retries": 1})) as llm:
        with pytest.raises(ModelStatusError):
            await llm.chat(ASK)
    assert len(origin.requests) == 2


async def test_what_cannot_pass_is_not(origin):
    origin.script(Answer(400))
    async with client(origin, retry=Retry(attempts=4, base=0)) as llm:
        with pytest.raises(ModelStatusError):
            await llm.chat(ASK)
    assert len(origin.requests) == 1


async def test_the_servers_wait_is_in_the_error(origin):
    origin.script(Answer(429, headers={"Retry-After": "Thu, 01 Jan 2099 00:00:00 GMT"}))
    async with client(origin) as llm:
        with pytest.raises(ModelStatusError) as caught:
            await llm.chat(ASK)
    assert caught.value.retry_after > 1e6


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"error": {"message": "no such key: sk-secret"}}),
        Answer(200, {"error": {"key": "sk-secret"}}),
        Answer(200, {"you said": "sk-secret"}),
        Answer(200, "you said sk-secret"),
        Answer(302, headers={"location": "/login?key=sk-secret"}),
        Answer(401, {"error": {"message": "x" * 195 + "sk-secret"}}),
        Answer(500, "x" * 195 + "sk-secret"),
        streamed(data({"error": {"message": "no such key: sk-secret"}})),
        streamed(data({"choices": ["sk-secret"]})),
    ],
)
async def test_a_key_that_the_server_repeats_is_not_shown(origin, answer):
    async def ask(llm):
        if answer.chunks is None:
            return await llm.chat(ASK)
        async with llm.stream(ASK) as events:
            return [event async for event in events]

    origin.script(answer)
    async with client(origin) as llm:
        with pytest.raises(ModelError) as caught:
            await ask(llm)
    assert "sk-s" not in str(caught.value)


async def test_waiting_for_a_connection_of_ours_is_no_silence_of_the_server(origin):
    gate = threading.Event()
    origin.script(Answer(200, completion().body, gate=gate), completion())
    config = Config().replace(llm_client={"max_connections": 1}, response_cache={"enabled": False})
    async with client(origin, config=config) as llm:
        first = asyncio.create_task(llm.chat(ASK))
        await asyncio.to_thread(origin.wait_for, 1)
        second = asyncio.create_task(llm.chat(ASK, timeout=0.05))  # shorter than it has to wait
        await asyncio.wait([second], timeout=0.2)
        gate.set()
        assert [(await call).text for call in (first, second)] == ["Hello", "Hello"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(origin, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    async with client(origin) as llm:
        assert (await llm.chat(ASK)).text == "Hello"


async def test_a_proxy_that_is_none_is_one_line(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "foo://x")
    async with LLMClient("openai:m", base_url="http://models.invalid/v1", api_key="k", retry=ONCE) as llm:
        with pytest.raises(ConfigError, match="proxy"):
            await llm.chat(ASK)


async def test_a_byte_order_mark_is_passed_by(origin):
    origin.script(Answer(200, b"\xef\xbb\xbf" + json.dumps(completion("Hello").body).encode()))
    async with client(origin, cache=MemoryCache()) as llm:
        assert [(await llm.chat(ASK, temperature=0)).cache for _ in range(2)] == ["miss", "hit"]


async def test_a_word_that_stands_for_a_key_is_not_taken_out_of_errors(origin):
    origin.script(Answer(404, {"error": {"message": "ollama: pull the model first"}}))
    async with LLMClient("openai:m", base_url=origin.url, api_key="ollama", retry=ONCE) as llm:
        with pytest.raises(ModelStatusError, match="ollama: pull the model first"):
            await llm.chat(ASK)


async def events_of(llm):
    async with llm.stream(ASK) as events:
        return [event async for event in events]


async def test_a_credential_in_the_base_url_is_in_no_error_and_in_no_name(origin):
    gate = threading.Event()
    bad = [Answer(cut="head"), Answer(500), completion(), completion(), streamed(cut="body"), Answer(gate=gate)]
    bad[2].cut, bad[3].status = "body", 404
    origin.script(*bad)
    limited = Config().replace(llm_client={"timeout": 0.2, "breaker_failures": 4})
    async with LLMClient("openai:m", base_url=f"{origin.url}?key=query-secret", retry=ONCE, config=limited) as llm:
        texts = []
        for n in range(10):
            with pytest.raises(ModelError) as caught:
                await (events_of(llm) if n == 4 else llm.chat(ASK))
            texts += traceback.format_exception(caught.value)
        assert "left alone" in "".join(texts)  # by the breaker, which names the server
        assert "query-secret" not in "".join(texts)
        assert "query-secret" not in llm._asker.scope  # what quotas are shared under
    gate.set()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with LLMClient("openai:m", base_url=f"http://127.0.0.1:{port}?key=query-secret", retry=ONCE) as llm:
        with pytest.raises(ModelConnectionError) as caught:
            await llm.chat(ASK)
    assert "query-secret" not in "".join(traceback.format_exception(caught.value))
