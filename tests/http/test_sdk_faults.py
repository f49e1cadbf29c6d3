"""Every fault of the server, as the users of the SDKs and frameworks see it: as without hotloop.

The cache holds nothing wrong after it, and the next request is whole.
"""

import os
from contextlib import asynccontextmanager

import pytest
from test_faults import FAULTS, STREAM_FAULTS
from test_sdks import USER, Model

import hotloop
from hotloop import Config, MemoryCache, Retry
from support.faults import Faulty

httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")
openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

SAMPLED = Config().replace(response_cache={"cache_sampled": True})
PLAIN = {"model": "m", "messages": USER, "temperature": 0}
ONCE = Retry(attempts=1)  # who does not say that he retries is retried for
CLOSED = {"verify": False}  # nothing is encrypted, and reading certificates takes long


def once(client, make):
    """What stands on `client`, made once: making an SDK takes longer than a request."""
    if not hasattr(client, "_above"):
        client._above = make()
    return client._above


async def with_openai(server, client, stream):
    sdk = once(client, lambda: openai.AsyncOpenAI(base_url=server.url, api_key="k", http_client=client, max_retries=0))
    if stream:
        chunks = [one async for one in await sdk.chat.completions.create(**PLAIN, stream=True)]
        return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    answer = await sdk.chat.completions.create(**PLAIN)
    return answer.choices[0].message.content


async def with_anthropic(server, client, stream):
    sdk = once(
        client,
        lambda: anthropic.AsyncAnthropic(base_url=server.root, api_key="k", http_client=client, max_retries=0),
    )
    ask = {"model": "m", "messages": USER, "max_tokens": 9}
    if stream:
        async with sdk.messages.stream(**ask) as events:
            return "".join([text async for text in events.text_stream])
    return (await sdk.messages.create(**ask)).content[0].text


async def with_pydantic_ai(server, client, stream):
    ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    sdk = once(client, lambda: openai.AsyncOpenAI(base_url=server.url, api_key="k", http_client=client, max_retries=0))
    agent = ai.Agent(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=sdk)), retries=0)
    if stream:
        async with agent.run_stream("hi", model_settings={"temperature": 0}) as run:
            return "".join([text async for text in run.stream_text(delta=True)])
    return (await agent.run("hi", model_settings={"temperature": 0})).output


async def with_langchain(server, client, stream):
    os.environ["LANGSMITH_TRACING"] = "false"
    langchain = pytest.importorskip("langchain_openai")
    options = {"http_async_client": client, "max_retries": 0, "base_url": server.url, "api_key": "k"}
    chat = once(client, lambda: langchain.ChatOpenAI(model="m", temperature=0, **options))
    if stream:
        return "".join([one.content async for one in chat.astream("hi")])
    return (await chat.ainvoke("hi")).content


async def with_litellm(server, client, stream):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm = pytest.importorskip("litellm")
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    handler = once(client, AsyncHTTPHandler)  # it closes its client when it goes
    if handler.client is not client:
        await handler.client.aclose()
        handler.client = client
    ask = PLAIN | {"model": "hosted_vllm/m", "api_base": server.url, "api_key": "k", "client": handler}
    answer = await litellm.acompletion(**ask, max_retries=0, num_retries=0, stream=stream)
    if stream:
        return "".join([one.choices[0].delta.content or "" async for one in answer])
    return answer.choices[0].message.content


WAYS = {
    "openai": with_openai,
    "anthropic": with_anthropic,
    "pydantic-ai": with_pydantic_ai,
    "langchain": with_langchain,
    "litellm": with_litellm,
}


@asynccontextmanager
async def bare(way):
    library = httpx if way == "litellm" else httpx2
    async with library.AsyncClient(timeout=5, transport=library.AsyncHTTPTransport(**CLOSED)) as client:
        yield client


@asynccontextmanager
async def hot(way, cache):
    if way == "litellm":
        from hotloop.http.legacy import AsyncHotTransport

        transport = AsyncHotTransport(httpx.AsyncHTTPTransport(**CLOSED), cache=cache, config=SAMPLED, retry=ONCE)
        async with httpx.AsyncClient(timeout=5, transport=transport) as client:
            yield client
    else:
        async with hotloop.http_client(timeout=5, cache=cache, config=SAMPLED, **CLOSED) as client:
            yield client


async def outcome(way, server, client, stream):
    before = len(server.requests)
    try:
        seen = await WAYS[way](server, client, stream)
    except Exception as error:  # noqa: BLE001 - whatever they raise is to be the same
        seen = f"{type(error).__name__}: {error}".partition("Traceback")[0]  # which litellm puts into its texts
    return seen, len(server.requests) - before


CASES = [(name, False, steps) for name, steps in FAULTS.items() if name != "redirect"]
CASES += [(name, True, steps) for name, steps in STREAM_FAULTS.items()]


@pytest.mark.filterwarnings("ignore")  # those of the frameworks themselves
@pytest.mark.parametrize("way", WAYS)
async def test_faults_are_what_they_are_without_hotloop(way):
    model = Model()
    with Faulty(model) as server:
        async with bare(way) as plain:
            for name, stream, steps in CASES:
                cache = MemoryCache()
                model.fault = steps
                want = await outcome(way, server, plain, stream)
                async with hot(way, cache) as client:
                    assert await outcome(way, server, client, stream) == want, name
                    assert cache.stats()[0].entries == 0, name
                    model.fault = None
                    for requests in (1, 0):
                        assert await outcome(way, server, client, stream) == ("hello", requests), name
