"""Models that stand in for others: when, in which order, and what is told of it."""

import asyncio
import threading

import pytest

from hotloop import LLMClient, MemoryCache, TextDelta
from hotloop.calls import Retry
from hotloop.errors import ModelConnectionError, ModelRequestError, ModelResponseError, ModelStatusError
from support.origin import END, Answer, Origin, completion, delta, streamed, usage

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]
SAID = streamed(delta(content="second"), delta("stop"), usage(), END)
ONCE = Retry(attempts=1)


@pytest.fixture
def first():
    with Origin() as origin:
        yield origin


@pytest.fixture
def second():
    with Origin(completion("second")) as origin:
        yield origin


def clients(first, second, **options):
    other = LLMClient("openai:other", base_url=second.url, retry=ONCE)
    return LLMClient("openai:m", base_url=first.url, retry=ONCE, fallback=[other], **options), other


@pytest.mark.parametrize(
    "answer",
    [Answer(500), Answer(429), Answer(404), Answer(529), Answer(cut="head"), Answer(200, "<html>"), Answer(501)],
)
async def test_who_cannot_answer_is_stood_in_for(first, second, answer):
    first.script(answer)
    llm, other = clients(first, second)
    async with llm, other:
        reply = await llm.chat(ASK)
        second.script(SAID)
        async with llm.stream(ASK) as events:
            streamed_reply = [event async for event in events][-1].reply
        for one in (reply, streamed_reply):
            assert (one.text, one.model) == ("second", "openai:other")
            assert len(one.failures) == 1
        assert (llm.metrics().errors, llm.metrics().fell_back) == (2, 2)
        assert llm.fallbacks()["openai:other"].output_tokens == 14


@pytest.mark.parametrize("status", [400, 401, 403, 422])
async def test_what_the_caller_must_mend_is_not_hidden(first, second, status):
    first.script(Answer(status))
    llm, other = clients(first, second)
    async with llm, other:
        with pytest.raises(ModelStatusError):
            await llm.chat(ASK)
        with pytest.raises(ModelStatusError):
            async with llm.stream(ASK):
                pass
        with pytest.raises(TypeError):
            await llm.chat(ASK, model="x")
    assert not second.requests


async def test_who_answers_says_nothing_of_others(first, second):
    llm, other = clients(first, second)
    async with llm, other:
        reply = await llm.chat(ASK)
        assert (reply.text, reply.model, reply.failures) == ("Hello", "openai:m", ())


async def test_where_all_fail_the_first_failure_tells_the_others(first, second):
    first.script(Answer(503))
    second.script(Answer(400, {"error": {"message": "too long"}}))
    llm, other = clients(first, second)
    async with llm, other:
        with pytest.raises(ModelStatusError) as caught:
            await llm.chat(ASK)
        gate = threading.Event()
        first.script(Answer(503, gate=gate))
        twins = [asyncio.create_task(llm.chat(ASK, temperature=0)) for _ in range(2)]
        await asyncio.sleep(0)
        gate.set()
        for error in await asyncio.gather(*twins, return_exceptions=True):
            assert len(error.__notes__) == 1  # it is one error, which both hear
    assert caught.value.status == 503
    assert "then openai:other" in caught.value.__notes__[0]
    assert "too long" in caught.value.__notes__[0]


async def test_nobody_stands_in_after_the_first_byte(first, second):
    gate = threading.Event()
    first.script(streamed(delta(content="Hel"), gate, cut="body"))
    second.script(SAID)
    llm, other = clients(first, second)
    async with llm, other, llm.stream(ASK) as events:
        assert await anext(events) == TextDelta("Hel")
        gate.set()
        with pytest.raises(ModelConnectionError):
            await anext(events)
    assert not second.requests


async def test_names_are_models_with_the_same_cache_and_settings(first, second, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", second.root)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    first.script(Answer(503))
    content = [{"type": "text", "text": "second"}]
    second.script(Answer(200, {"content": content, "stop_reason": "end_turn"}))
    async with LLMClient(
        "openai:m", base_url=first.url, retry=ONCE, cache=MemoryCache(), fallback=["anthropic:claude"]
    ) as llm:
        for state in ("miss", "hit"):
            reply = await llm.chat(ASK, temperature=0)
            assert (reply.model, reply.cache) == ("anthropic:claude", state)
        with pytest.raises(ModelStatusError) as caught:
            await llm.chat(ASK, seed=1)  # a parameter that only the first model knows
        assert "'seed'" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="list"):
        LLMClient("openai:m", base_url=first.url, fallback="anthropic:claude")


async def test_an_answer_of_the_wrong_type_is_none(first, second):
    first.script(completion("many"))
    second.script(completion('{"value": 5}'))
    llm, other = clients(first, second)
    async with llm, other:
        reply = await llm.chat(ASK, output_type=int)
        assert (reply.output, reply.model) == (5, "openai:other")
        assert isinstance(reply.failures[0], ModelResponseError)


async def test_a_request_without_form_at_the_first_model_is_an_error(first, second):
    async with (
        LLMClient("openai:other", base_url=second.url) as other,
        LLMClient("anthropic:claude", base_url=first.url, fallback=[other]) as llm,
    ):
        with pytest.raises(ModelRequestError):
            await llm.chat(ASK, seed=1)
