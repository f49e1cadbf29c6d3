"""The client against a real server: what is asked, answered, stored, joined and counted."""

import asyncio
import threading

import httpx2
import pytest

from hotloop import CanonicalError, Config, LLMClient, MemoryCache, ToolCall, Usage
from hotloop.calls import Policy, Retry
from hotloop.errors import ConfigError, MissingKeyError, ModelError, ModelStatusError, UnknownModelError
from hotloop.observe.events import CallFinished, CallStarted
from support.origin import Answer, Origin, completion

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def client(origin, **options):
    options.setdefault("retry", Retry(attempts=1))
    return LLMClient("openai:m", base_url=origin.url, api_key="sk-secret", **options)


async def test_a_call_sends_what_it_was_given_and_returns_the_answer(origin):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    async with client(origin) as llm:
        reply = await llm.chat(ASK, tools=tools, temperature=0.5, seed=None, logit_bias={"5": -1})
    request = origin.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "model": "m", "temperature": 0.5, "logit_bias": {"5": -1}, "tools": tools, "messages": ASK,
    }  # fmt: skip
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("Hello", [], "stop")
    assert reply.message == {"role": "assistant", "content": "Hello"}
    assert reply.usage == Usage(11, 7, 5)
    assert reply.raw["id"] == "c1"
    assert (reply.cached, reply.cache) == (False, "bypass")


async def test_tool_calls_carry_their_arguments_as_the_model_wrote_them(origin):
    origin.script(completion(calls=[("a", "f", '{"x": 1.0}'), ("b", "g", "")]))
    async with client(origin) as llm:
        reply = await llm.chat(ASK)
    assert reply.tool_calls == [ToolCall("f", '{"x": 1.0}', "a"), ToolCall("g", "{}", "b")]
    assert reply.text == ""


@pytest.mark.parametrize("role", [{}, {"role": None}, {"role": "model"}])
async def test_the_message_is_the_assistants_whatever_the_server_calls_it(origin, role):
    origin.script(Answer(body={"choices": [{"message": {**role, "content": "Hello"}}]}))
    async with client(origin) as llm:
        assert (await llm.chat(ASK)).message == {"role": "assistant", "content": "Hello"}


async def test_parts_of_an_answer_that_are_no_text_are_not_its_text(origin):
    parts = [{"type": "text", "text": "Hel"}, {"type": "audio"}, {"text": 5}, {"text": None}, {"text": "lo"}]
    origin.script(Answer(body={"choices": [{"message": {"role": "assistant", "content": parts}}]}))
    async with client(origin) as llm:
        assert (await llm.chat(ASK)).text == "Hello"


async def test_a_tool_describes_itself(origin):
    class Described:
        def schema(self, provider):
            return {"type": "function", "function": {"name": provider}}

    async with client(origin) as llm:
        await llm.chat(ASK, tools=(Described(),))
    assert origin.requests[0].body["tools"] == [{"type": "function", "function": {"name": "openai"}}]


@pytest.mark.parametrize("params", [{"temperature": 0}, {"temperature": 0.0}, {"seed": 4}, {"seed": 0}])
async def test_deterministic_calls_are_served_from_the_cache(origin, params):
    async with client(origin, cache=MemoryCache()) as llm:
        first = await llm.chat(ASK, **params)
        second = await llm.chat([dict(ASK[0])], **params)
    assert (first.cache, second.cache, second.tier) == ("miss", "hit", "memory")
    assert second.cached
    assert second.raw == first.raw
    assert second.usage == first.usage
    assert len(origin.requests) == 1


@pytest.mark.parametrize("params", [{}, {"temperature": 0.1}, {"temperature": None}])
async def test_sampled_calls_are_not(origin, params):
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(2):
            assert (await llm.chat(ASK, **params)).cache == "bypass"
    assert len(origin.requests) == 2


async def test_sampled_calls_are_stored_when_the_caller_says_so(origin):
    async with client(origin, cache=MemoryCache()) as llm:
        await llm.chat(ASK, policy=Policy())
        assert (await llm.chat(ASK, policy=Policy())).cache == "hit"
    sampled = Config().replace(response_cache={"cache_sampled": True, "disk": False})
    async with client(origin, config=sampled) as llm:
        await llm.chat(ASK)
        assert (await llm.chat(ASK)).cache == "hit"


async def test_without_a_cache_nothing_is_stored(origin):
    async with client(origin) as llm:
        for _ in range(2):
            assert not (await llm.chat(ASK, temperature=0)).cached
    assert len(origin.requests) == 2


async def test_whatever_changes_the_answer_changes_the_key(origin):
    cache = MemoryCache()
    with Origin() as elsewhere:
        async with (
            client(origin, cache=cache) as llm,
            client(elsewhere, cache=cache) as other_url,
            LLMClient("openai:m", base_url=origin.url, api_key="other", cache=cache) as other_tenant,
            LLMClient("openai:n", base_url=origin.url, api_key="sk-secret", cache=cache) as other_model,
        ):
            calls = [
                llm.chat(ASK, temperature=0),
                llm.chat(ASK, temperature=0, max_tokens=5),
                llm.chat(ASK, temperature=0, vendor_field=[1]),
                llm.chat(ASK, temperature=0, tools=[{"type": "function", "function": {"name": "f"}}]),
                llm.chat([*ASK, *ASK], temperature=0),
                llm.chat(ASK, temperature=0, policy=Policy(namespace="n")),
                other_url.chat(ASK, temperature=0),
                other_tenant.chat(ASK, temperature=0),
                other_model.chat(ASK, temperature=0),
            ]
            assert [(await call).cache for call in calls] == ["miss"] * len(calls)


async def test_the_credential_is_in_no_record_and_no_text(origin):
    kept = []

    class Spy(MemoryCache):
        async def put(self, key, record, ttl=None):
            kept.append((key, record))
            await super().put(key, record, ttl)

    async with client(origin, cache=Spy()) as llm:
        await llm.chat(ASK, temperature=0)
        origin.script(Answer(401, {"error": {"message": "Incorrect API key provided: sk-secret"}}))
        with pytest.raises(ModelStatusError) as caught:
            await llm.chat(ASK)
    assert kept
    assert "sk-secret" not in repr(kept) + str(caught.value) + repr(llm) + repr(llm.provider)


async def test_a_changed_answer_does_not_change_the_next_hit(origin):
    async with client(origin, cache=MemoryCache()) as llm:
        for _ in range(3):
            reply = await llm.chat(ASK, temperature=0)
            assert reply.message == {"role": "assistant", "content": "Hello"}
            reply.message["content"] = "changed"


async def test_identical_calls_in_flight_are_one_request_and_separate_answers(origin):
    gate = threading.Event()
    origin.script(Answer(body=completion().body, gate=gate))
    async with client(origin) as llm:
        calls = [asyncio.create_task(llm.chat(ASK, temperature=0)) for _ in range(64)]
        await asyncio.to_thread(origin.wait_for, 1)
        gate.set()
        replies = await asyncio.gather(*calls)
    assert len(origin.requests) == 1
    assert sorted(reply.cache for reply in replies) == ["bypass"] + ["joined"] * 63
    assert len({id(reply.message) for reply in replies}) == 64
    assert llm.metrics()[:5] == (64, 0, 63, 0, 1)
    assert llm.metrics().input_tokens == 11


async def test_independent_samples_are_not_joined(origin):
    async with client(origin) as llm:
        await asyncio.gather(*(llm.chat(ASK) for _ in range(5)))
        await asyncio.gather(*(llm.chat(ASK, seed=1, policy=Policy(join=False)) for _ in range(5)))
        off = Config().replace(response_cache={"single_flight": False, "enabled": False})
        async with client(origin, config=off) as single:
            await asyncio.gather(*(single.chat(ASK, seed=1) for _ in range(5)))
    assert len(origin.requests) == 15


async def test_messages_changed_under_way_are_refused_not_stored(origin):
    asked = [dict(ASK[0])]

    class Slow(MemoryCache):
        async def get(self, key):
            asked[0]["content"] = "another question"
            return await super().get(key)

    async with client(origin, cache=Slow()) as llm:
        with pytest.raises(ModelError, match="changed while"):
            await llm.chat(asked, temperature=0)
    assert not origin.requests


async def test_filtered_answers_are_not_stored_and_cut_ones_are(origin):
    async with client(origin, cache=MemoryCache()) as llm:
        origin.script(completion(finish="content_filter"))
        for _ in range(2):
            assert (await llm.chat(ASK, temperature=0)).cache == "miss"
        origin.script(completion(finish="length"))
        assert [(await llm.chat(ASK, seed=1)).cache for _ in range(2)] == ["miss", "hit"]


async def test_counters_and_events(origin):
    heard = []
    async with client(origin, cache=MemoryCache(), observer=heard.append, retry=Retry(2, base=0)) as llm:
        origin.script(Answer(500), completion())
        await llm.chat(ASK, temperature=0, call_id="turn 1")
        await llm.chat(ASK, temperature=0)
        origin.script(Answer(400))
        with pytest.raises(ModelStatusError):
            await llm.chat(ASK)
        metrics = llm.metrics()
    assert (metrics.calls, metrics.hits, metrics.misses, metrics.errors, metrics.retries) == (3, 1, 1, 1, 1)
    assert (metrics.input_tokens, metrics.output_tokens, metrics.cached_tokens) == (11, 7, 5)
    assert metrics.seconds > 0
    assert heard[0] == CallStarted("llm", "openai:m", "turn 1")
    assert [event.cache for event in heard if isinstance(event, CallFinished)] == ["miss", "hit", "bypass"]


def test_one_client_works_in_one_event_loop_after_another(origin):
    llm = client(origin)
    for _ in range(3):
        assert asyncio.run(llm.chat(ASK)).text == "Hello"
    asyncio.run(llm.aclose())
    assert len(origin.requests) == 3


async def test_a_wire_of_the_callers_is_used_and_left_open(origin):
    headers = {"authorization": "Bearer theirs", "openai-beta": "x"}
    async with httpx2.AsyncClient(headers=headers) as http, httpx2.AsyncClient() as plain:
        cache = MemoryCache()
        async with LLMClient("openai:m", base_url=origin.url, http=http, cache=cache) as llm:
            await llm.chat(ASK, temperature=0)
        async with LLMClient("openai:m", base_url=origin.url, http=plain, cache=cache) as llm:
            assert (await llm.chat(ASK, temperature=0)).cache == "miss"  # another tenant
        assert not http.is_closed
    assert origin.requests[0].headers["authorization"] == "Bearer theirs"
    assert origin.requests[0].headers["openai-beta"] == "x"
    assert "authorization" not in origin.requests[1].headers


async def test_the_environment_names_server_and_key(origin, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", origin.url + "/")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env\n")
    async with LLMClient("openai:m") as llm:
        await llm.chat(ASK)
    assert origin.requests[0].path == "/v1/chat/completions"
    assert origin.requests[0].headers["authorization"] == "Bearer sk-env"


@pytest.mark.parametrize(
    ("model", "options", "error", "says"),
    [
        ("gpt-5", {}, UnknownModelError, "openai:MODEL"),
        ("", {}, UnknownModelError, "local:smollm2"),
        (None, {}, UnknownModelError, "no provider serves None"),
        ("openai:m", {"base_url": "http://h", "api_key": "k", "fallback": [None]}, UnknownModelError, "serves None"),
        ("openai:", {}, UnknownModelError, "local:smollm2"),
        ("mistral:x", {}, UnknownModelError, "no provider 'mistral'"),
        ("local:llama", {}, UnknownModelError, "local:smollm2"),
        ("openai:gpt-5", {}, MissingKeyError, "OPENAI_API_KEY"),
        ("openai:m", {"base_url": "localhost:80"}, ConfigError, "https://host"),
        ("openai:m", {"base_url": "http://[::1"}, ConfigError, "https://host"),
        ("openai:m", {"base_url": "http://user:pass@h/v1"}, ConfigError, "api_key"),
        ("openai:m", {"base_url": "http://h", "api_key": "a\nb"}, ConfigError, "header"),
        ("openai:m", {"base_url": "http://h", "api_key": "schlüssel"}, ConfigError, "header"),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(model, options, error, says):
    with pytest.raises(error) as caught:
        LLMClient(model, **options)
    assert says in str(caught.value)
    assert "pass@" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [{1, 2}, "\ud800", object(), 2**70 + 1])
@pytest.mark.parametrize("params", [{}, {"temperature": 0}])
async def test_what_json_cannot_hold_is_refused(origin, bad, params):
    async with client(origin) as llm:
        with pytest.raises(CanonicalError, match=r"messages\[0\]"):
            await llm.chat([{"role": "user", "content": bad}], **params)
    assert not origin.requests


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_a_parameter_that_json_cannot_hold_is_refused(origin, number):
    async with client(origin) as llm:
        with pytest.raises(CanonicalError, match=r"^\$\.top_p: (nan|inf) is not a JSON number"):
            await llm.chat(ASK, top_p=number)
    assert not origin.requests


@pytest.mark.parametrize("messages", ["Hi", b"Hi", 5, None])
async def test_messages_are_a_list(origin, messages):
    async with client(origin) as llm:
        with pytest.raises(TypeError, match="give a list"):
            await llm.chat(messages)


@pytest.mark.parametrize("name", ["model", "stream", "extra_body", "extra_headers"])
async def test_the_clients_own_fields_are_no_parameters(origin, name):
    async with client(origin) as llm:
        with pytest.raises(TypeError, match=name):
            await llm.chat(ASK, **{name: "x"})


async def test_a_cancelled_call_ends_its_request(origin):
    gate = threading.Event()
    origin.script(Answer(body=completion().body, gate=gate), completion("second"))
    async with client(origin) as llm:
        call = asyncio.create_task(llm.chat(ASK, temperature=0))
        await asyncio.to_thread(origin.wait_for, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await llm.chat(ASK, temperature=0)).text == "second"
    gate.set()


async def test_a_large_answer_is_read_into_a_pooled_buffer_where_pooling_is_on(origin, wire):
    origin.script(completion("x" * 400_000))
    for enabled, takes in ((True, 3 if wire == "httpx2" else 0), (False, 0)):
        config = Config().replace(memory_pool={"enabled": enabled}, response_cache={"disk": False})
        async with LLMClient("openai:m", base_url=origin.url, config=config) as llm:
            kept = await llm.chat(ASK, temperature=0)
            again = await llm.chat(ASK, temperature=0)
            free = [await llm.chat(ASK) for _ in range(2)]
            assert (again.cache, again.raw) == ("hit", kept.raw)
            assert [len(reply.text) for reply in (kept, *free)] == [400_000] * 3
            stats = llm.pool_stats()
            assert (stats.takes, stats.reuses, stats.live) == (takes, max(0, takes - 1), 0)


@pytest.mark.parametrize(
    ("headers", "secret"),
    [({"authorization": "Bearer sk-hidden-1"}, "sk-hidden-1"), ({"x-goog-api-key": "hidden-2"}, "hidden-2")],
)
@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_what_a_wire_of_the_callers_own_sends_is_in_no_error(origin, headers, secret, status):
    origin.script(*[Answer(status, ("x" * 170 + f" no {secret} here").encode())] * 2)
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        LLMClient("openai:m", base_url=origin.url, http=http, retry=Retry(attempts=1)) as llm,
    ):
        with pytest.raises(ModelError) as caught:
            await llm.chat([{"role": "user", "content": "Hi"}])
    assert secret[:6] not in str(caught.value)
    assert "[the key]" in str(caught.value)


@pytest.mark.parametrize(
    "base",
    ["user:sk-hidden@host/v1", "ftp://user:sk-hidden@host", "https://user:sk-hidden@host:x/v1", "host?key=sk-hidden"],
)
def test_a_base_url_that_cannot_be_used_is_told_without_what_it_hides(monkeypatch, base):
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    with pytest.raises(ConfigError, match="host") as caught:
        LLMClient("openai:m", api_key="k")
    assert "sk-hidden" not in str(caught.value)


def test_a_model_that_nobody_serves_is_told_before_anything_is_opened(tmp_path):
    file = tmp_path / "responses.db"
    with pytest.raises(UnknownModelError):
        LLMClient("nowhere:m", config=Config().replace(response_cache={"path": str(file)}))
    assert not file.exists()
