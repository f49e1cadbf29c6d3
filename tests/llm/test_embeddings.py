"""Embeddings: shared requests, each text stored by itself, in order, and errors to whom they belong."""

import asyncio
import base64
import json
import struct
import threading

import pytest
from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams
from pydantic import TypeAdapter

from hotloop import Config, LLMClient, MemoryCache
from hotloop.calls import Retry
from hotloop.errors import ModelRequestError, ModelResponseError, ModelStatusError
from support.faults import Faulty, whole

pytestmark = pytest.mark.usefixtures("wire")
REQUEST = TypeAdapter(EmbeddingCreateParams)


def vector(text, coded=False):
    numbers = [float(len(text)), float(ord(text[0]))]
    return base64.b64encode(struct.pack("<2f", *numbers)).decode() if coded else numbers


def embed(request):
    """Answer as OpenAI does, in another order than asked; refuse the request where it holds "bad"."""
    REQUEST.validate_python(request.body)
    texts = request.body["input"]
    if "bad" in texts:
        return whole({"error": {"message": "a text is bad"}}, "400 Bad Request")
    coded = request.body.get("encoding_format") == "base64"
    data = [{"object": "embedding", "index": n, "embedding": vector(t, coded)} for n, t in enumerate(texts)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    body = {"object": "list", "model": "m", "data": data[::-1], "usage": usage}
    if not coded:
        CreateEmbeddingResponse.model_validate(body)
    return whole(body)


@pytest.fixture
def server():
    with Faulty(embed) as server:
        yield server


def client(server, window=0.0, batch=256, **options):
    options.setdefault("retry", Retry(attempts=1))
    config = Config().replace(
        llm_client={"embedding_window": window, "embedding_batch": batch}, response_cache={"enabled": False}
    )
    return LLMClient(
        "openai:text-embedding-3-small", base_url=server.url, api_key="sk-secret", config=config, **options
    )


async def until(true):
    """Return when something that another thread does is done."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - a thread cannot set an event of the loop
            await asyncio.sleep(0)


def asked(server):
    return [request.body["input"] for request in server.requests]


async def test_vectors_come_in_the_order_of_the_texts(server):
    async with client(server) as llm:
        found = await llm.embed(["a", "bb", "a", "ccc"], dimensions=2)
        one = await llm.embed("a", encoding_format="base64")
        metrics = llm.metrics()
    assert found.vectors == [vector(text) for text in ("a", "bb", "a", "ccc")]
    assert one.vectors == [vector("a")]
    assert asked(server) == [["a", "bb", "ccc"], ["a"]]  # what comes twice is asked once
    assert server.requests[0].body["dimensions"] == 2
    assert server.requests[0].path == "/v1/embeddings"
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
    assert (metrics.texts, metrics.requests, metrics.input_tokens) == (5, 2, 4)
    assert metrics.cost == pytest.approx(4 * 0.02 / 1e6)


async def test_calls_at_the_same_time_share_a_request(server):
    async with client(server, window=0.05) as llm:
        found = await asyncio.gather(*(llm.embed([f"{n}", "x"]) for n in range(8)), llm.embed("y", dimensions=2))
    assert [one.vectors for one in found[:-1]] == [[vector(f"{n}"), vector("x")] for n in range(8)]
    assert sorted(map(len, asked(server))) == [1, 9]  # another parameter is another request


async def test_a_request_holds_so_many_texts_at_most(server):
    async with client(server, window=30.0, batch=2) as llm:
        await llm.embed(["a", "b", "c", "d"])
    assert sorted(asked(server)) == [["a", "b"], ["c", "d"]]


async def test_each_text_is_stored_by_itself(server):
    async with client(server, cache=MemoryCache()) as llm:
        assert (await llm.embed(["a", "b"])).hits == 0
        found = await llm.embed(["c", "b", "a"])
        assert (found.vectors, found.hits) == ([vector(text) for text in "cba"], 2)
        assert (await llm.embed("a", dimensions=2)).hits == 0
        found.vectors[1].append(0.0)
        assert (await llm.embed("b")).vectors == [vector("b")]
    assert asked(server) == [["a", "b"], ["c"], ["a"]]


async def test_a_bad_text_harms_only_its_caller(server):
    async with client(server, window=0.05, cache=MemoryCache()) as llm:
        good, bad, other = await asyncio.gather(
            llm.embed(["a", "b"]), llm.embed(["c", "bad"]), llm.embed("d"), return_exceptions=True
        )
    assert (good.vectors, other.vectors) == ([vector("a"), vector("b")], [vector("d")])
    assert isinstance(bad, ModelStatusError)
    assert sorted(asked(server)) == [["a", "b"], ["a", "b", "c", "bad", "d"], ["c", "bad"], ["d"]]


async def test_what_succeeded_is_stored_where_the_rest_failed(server):
    async with client(server, batch=1, cache=MemoryCache()) as llm:
        with pytest.raises(ModelStatusError):
            await llm.embed(["a", "bad", "c"])
        assert (await llm.embed(["a", "c"])).hits == 2


async def test_failures_that_pass_are_tried_again(server):
    failures = iter([whole({}, "503 Service Unavailable")])
    server.answer = lambda request: next(failures, None) or embed(request)
    async with client(server, retry=Retry(2, base=0)) as llm:
        assert (await llm.embed("a")).vectors == [vector("a")]
        assert llm.metrics().requests == 2


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": -1, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "AADAfw=="}],  # not a number
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": ["x"]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "!"}],
        "sk-secret",
    ],
)
async def test_an_answer_without_a_vector_for_each_text_is_none(server, data):
    server.script(whole(json.dumps({"data": data}).encode()))
    async with client(server, cache=MemoryCache()) as llm:
        with pytest.raises(ModelResponseError, match="2 embeddings") as caught:
            await llm.embed(["a", "b"])
        assert "secret" not in str(caught.value)
        server.answer = embed
        assert (await llm.embed(["a", "b"])).hits == 0


@pytest.mark.parametrize(("texts", "says"), [("", "empty"), (["a", ""], r"texts\[1\]"), ([5], "a int")])
async def test_texts_that_are_none_are_said_at_once(server, texts, says):
    async with client(server) as llm:
        with pytest.raises(ModelRequestError, match=says):
            await llm.embed(texts)
        with pytest.raises(TypeError, match="input"):
            await llm.embed("a", input="b")
        assert (await llm.embed([])).vectors == []
    assert not server.requests


async def test_anthropic_has_none(server):
    async with LLMClient("anthropic:claude", base_url=server.url) as llm:
        with pytest.raises(ModelRequestError, match="no embeddings"):
            await llm.embed("a")


async def test_a_cancelled_call_takes_no_other_with_it_and_the_last_one_ends_the_request(server):
    gate = threading.Event()
    server.answer = lambda request: [gate, *embed(request)]
    async with client(server, window=0.0) as llm:
        first, second = (asyncio.create_task(llm.embed(text)) for text in ("a", "b"))
        await until(lambda: len(server.requests) == 1)
        first.cancel()
        gate.set()
        assert (await second).vectors == [vector("b")]
        assert asked(server) == [["a", "b"]]
        gate.clear()
        last = asyncio.create_task(llm.embed("c"))
        await until(lambda: len(server.requests) == 2)
        last.cancel()
        with pytest.raises(asyncio.CancelledError):
            await last
        gate.set()
        assert (await llm.embed("c")).vectors == [vector("c")]
