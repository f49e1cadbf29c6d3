"""The SDKs and frameworks that people use, over hotloop by changing one line."""

import asyncio
import os

import pytest

import hotloop
from support.bodies import answer, event, events
from support.faults import RESET, Faulty, Seen, chunked, whole

anthropic = pytest.importorskip("anthropic")
openai = pytest.importorskip("openai")
httpx2 = pytest.importorskip("httpx2")

USER = [{"role": "user", "content": "hi"}]


def endpoint_of(path: str) -> str:
    return {"completions": "chat"}.get(last := path.rpartition("/")[2], last)


class Model:
    """A model that answers every endpoint, whole or streamed, and counts."""

    def __init__(self):
        self.fault = None

    def __call__(self, seen: Seen):
        if self.fault is not None:
            return self.fault
        endpoint = endpoint_of(seen.path)
        return chunked(*events(endpoint)) if seen.body.get("stream") else whole(answer(endpoint), request_id="r1")


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def server(model):
    with Faulty(model) as server:
        yield server


@pytest.fixture
async def client():
    async with hotloop.http_client() as client:
        yield client


@pytest.fixture
def sync_client():
    with httpx2.Client(transport=hotloop.HotTransport(httpx2.HTTPTransport(verify=False))) as client:
        yield client


def of_openai(server, client, **options):
    kind = openai.AsyncOpenAI if isinstance(client, httpx2.AsyncClient) else openai.OpenAI
    return kind(base_url=server.url, api_key="k", http_client=client, **options)


def of_anthropic(server, client, **options):
    kind = anthropic.AsyncAnthropic if isinstance(client, httpx2.AsyncClient) else anthropic.Anthropic
    return kind(base_url=server.root, api_key="k", http_client=client, **options)


CHAT = {"model": "m", "messages": USER, "temperature": 0}


async def twice(ask):
    return [await ask() for _ in range(2)]


# -- openai


async def test_openai(server, client):
    sdk = of_openai(server, client)
    for ask in (
        lambda: sdk.chat.completions.create(**CHAT),
        lambda: sdk.responses.create(model="m", input="hi", temperature=0),
        lambda: sdk.embeddings.create(model="m", input="hi", encoding_format="float"),
    ):
        before = len(server.requests)
        first, second = await twice(ask)
        assert first == second
        assert len(server.requests) == before + 1
    first = await sdk.chat.completions.create(**CHAT)
    assert (first.choices[0].message.content, first.usage.total_tokens) == ("hello", 5)


async def test_openai_streams(server, client):
    sdk = of_openai(server, client)

    async def chat():
        stream = await sdk.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        return [chunk async for chunk in stream]

    async def responses():
        return [one async for one in await sdk.responses.create(model="m", input="hi", temperature=0, stream=True)]

    first, second = await twice(chat)
    assert first == second
    assert "".join(chunk.choices[0].delta.content or "" for chunk in first if chunk.choices) == "hello"
    assert second[-1].usage.total_tokens == 5
    first, second = await twice(responses)
    assert first == second
    assert second[-1].response.usage.total_tokens == 5
    assert len(server.requests) == 2


async def test_openai_tells_where_an_answer_came_from_and_takes_modes(server, client):
    sdk = of_openai(server, client)
    raw = sdk.chat.completions.with_raw_response
    told = [(await raw.create(**CHAT)).http_response.extensions["hotloop"]["cache"] for _ in range(2)]
    new = await raw.create(**CHAT, extra_headers={"x-hotloop-mode": "refresh"})
    assert [*told, new.http_response.extensions["hotloop"]["cache"]] == ["miss", "hit", "miss"]
    with pytest.raises(openai.InternalServerError, match="nothing is stored"):
        await raw.create(**{**CHAT, "seed": 1}, extra_headers={"x-hotloop-mode": "only"})
    assert len(server.requests) == 2


def test_openai_in_threads(server, sync_client):
    sdk = of_openai(server, sync_client)
    first, second = (sdk.chat.completions.create(**CHAT) for _ in range(2))
    assert first == second
    streams = [list(sdk.chat.completions.create(**CHAT, stream=True)) for _ in range(2)]
    assert streams[0] == streams[1]
    assert len(streams[0]) == 8
    assert len(server.requests) == 2


# -- anthropic


# Its SDK knows no temperature and no seed, so that nobody can say "no chance": storing is asked for.
MESSAGE = {"model": "m", "messages": USER, "max_tokens": 9}
SAMPLED = hotloop.Config().replace(response_cache={"cache_sampled": True, "disk": False})


async def test_anthropic(server):
    client = hotloop.http_client(config=SAMPLED)
    sdk = of_anthropic(server, client)
    ask = MESSAGE
    first, second = await twice(lambda: sdk.messages.create(**ask))
    assert first == second
    assert (second.content[0].text, second.usage.output_tokens) == ("hello", 2)

    async def stream():
        async with sdk.messages.stream(**ask) as events:
            return [one async for one in events], await events.get_final_message()

    first, second = await twice(stream)
    assert first == second
    assert second[1].content[0].text == "hello"
    assert len(server.requests) == 2
    await client.aclose()


async def test_anthropic_request_by_request(server, client):
    sdk = of_anthropic(server, client)
    wish = {"x-hotloop-sampled": "true"}
    first, second = await twice(lambda: sdk.messages.create(**MESSAGE, extra_headers=wish))
    assert first == second
    assert len(server.requests) == 1
    await sdk.messages.create(**MESSAGE)
    assert len(server.requests) == 2


def test_anthropic_in_threads(server, sync_client):
    sdk = of_anthropic(server, sync_client)
    wish = {"x-hotloop-sampled": "true"}
    first, second = (sdk.messages.create(**MESSAGE, extra_headers=wish) for _ in range(2))
    assert first == second
    assert len(server.requests) == 1


# -- errors are what they would be without hotloop


ERROR = {"error": {"message": "no", "type": "t", "code": None}}
FAULTS = {
    "429": whole(ERROR, "429 Too Many Requests", retry_after_ms=1),
    "500": whole(ERROR, "500 Internal Server Error", retry_after_ms=1),
    "400": whole(ERROR, "400 Bad Request"),
    "reset": [RESET],
    "malformed": whole(b"{oops"),
    "error under 200": whole(ERROR),
    "error in the stream": chunked(*events("chat")[:3], event(ERROR)),
    "broken stream": [*chunked(*events("chat")[:3], end=False), RESET],
    "malformed event": chunked(events("chat")[0], b"data: {oops\n\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_openai_sees_the_same_errors(server, model, client, monkeypatch, fault):
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr(openai._base_client, "MAX_RETRY_DELAY", 0.001)

    async def outcome(sdk):
        before = len(server.requests)
        try:
            if "stream" in fault or "event" in fault:
                seen = [chunk async for chunk in await sdk.chat.completions.create(**CHAT, stream=True)]
            else:
                seen = await sdk.chat.completions.create(**CHAT)
        except (openai.OpenAIError, ValueError) as error:
            seen = f"{type(error).__name__}: {error}"
        return seen, len(server.requests) - before

    model.fault = FAULTS[fault]
    async with openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=2) as bare:
        want = await outcome(bare)
    sdk = of_openai(server, client, max_retries=2)
    assert await outcome(sdk) == want
    model.fault = None
    assert (await sdk.chat.completions.create(**CHAT)).choices[0].message.content == "hello"


async def test_a_run_that_is_cancelled_leaves_the_client_whole(server, client):
    sdk = of_openai(server, client)
    for n in range(20):
        task = asyncio.create_task(sdk.chat.completions.create(**{**CHAT, "seed": n}))
        await asyncio.sleep(0.001 * (n % 5))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    got = await asyncio.gather(*(sdk.chat.completions.create(**CHAT) for _ in range(8)))
    assert {one.choices[0].message.content for one in got} == {"hello"}


# -- frameworks


async def test_pydantic_ai(server, client):
    ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=of_openai(server, client))
    agent = ai.Agent(OpenAIChatModel("m", provider=provider), model_settings={"temperature": 0})
    first, second = await twice(lambda: agent.run("hi"))
    assert (first.output, second.output, len(server.requests)) == ("hello", "hello", 1)
    assert first.usage == second.usage or first.usage() == second.usage()


async def test_langchain(server, client, sync_client):
    os.environ["LANGSMITH_TRACING"] = "false"
    langchain_openai = pytest.importorskip("langchain_openai")
    chat = langchain_openai.ChatOpenAI(
        model="m", temperature=0, base_url=server.url, api_key="k", http_async_client=client, http_client=sync_client
    )
    first, second = await twice(lambda: chat.ainvoke("hi"))
    assert (first.content, second.usage_metadata) == ("hello", first.usage_metadata)
    streams = [[one.content async for one in chat.astream("hi")] for _ in range(2)]
    assert streams[0] == streams[1]
    assert "".join(streams[0]) == "hello"
    chat.invoke("hi")
    chat.invoke("hi")
    assert len(server.requests) == 3  # the synchronous client has a memory of its own


async def test_litellm_on_legacy_httpx(server):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm = pytest.importorskip("litellm")
    import httpx
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    from hotloop.http.legacy import AsyncHotTransport

    handler = AsyncHTTPHandler()
    await handler.client.aclose()
    handler.client = httpx.AsyncClient(transport=AsyncHotTransport(httpx.AsyncHTTPTransport(verify=False)))
    ask = {
        "model": "hosted_vllm/m", "messages": USER, "temperature": 0, "api_base": server.url, "api_key": "k",
        "client": handler,
    }  # fmt: skip
    first, second = await twice(lambda: litellm.acompletion(**ask))
    assert first.choices[0].message.content == second.choices[0].message.content == "hello"
    assert (second.usage.total_tokens, len(server.requests)) == (5, 1)

    async def stream():
        return [one.choices[0].delta.content async for one in await litellm.acompletion(**ask, stream=True)]

    first, second = await twice(stream)
    assert first == second
    assert len(server.requests) == 2
    await handler.client.aclose()
