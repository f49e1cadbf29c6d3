"""The loop: a real server scripts the model, real tools run."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass

import pytest

import hotloop
from hotloop import Agent, Config, Conversation, LLMClient, MemoryCache
from hotloop.agent import RunFinished, ToolFinished, ToolStarted, TurnFinished, TurnStarted
from hotloop.errors import MaxTurnsError, ModelResponseError, ModelStatusError, NoAnswerError, ToolDefinitionError
from support.origin import Answer, Origin, completion


@pytest.fixture
def origin():
    with Origin() as server:
        yield server


@pytest.fixture
async def client(origin):
    async with LLMClient("openai:m", base_url=origin.url, api_key="k") as made:
        yield made


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def asks(*calls) -> Answer:
    return completion(calls=[(f"c{n}", name, json.dumps(args)) for n, (name, args) in enumerate(calls)])


async def test_an_answer_without_tools(origin, client):
    result = await Agent(client, instructions="Be kind.").run("Hi")
    assert (result.output, result.turns, result.usage.output_tokens) == ("Hello", 1, 7)
    assert origin.requests[0].body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]
    assert "tools" not in origin.requests[0].body


async def test_results_go_back_in_the_order_of_the_calls_whatever_ends_first(origin, client):
    second = asyncio.Event()

    async def slow() -> str:
        await second.wait()
        return "slow"

    async def quick() -> str:
        second.set()
        return "quick"

    origin.script(asks(("slow", {}), ("quick", {})), completion("done"))
    result = await Agent(client, [slow, quick]).run("go")
    sent = origin.requests[1].body["messages"][-2:]
    assert [(m["role"], m["tool_call_id"], m["content"]) for m in sent] == [
        ("tool", "c0", "slow"),
        ("tool", "c1", "quick"),
    ]
    assert [e.result.content for e in result.events if isinstance(e, ToolFinished)] == ["quick", "slow"]
    assert (result.turns, result.usage.input_tokens) == (2, 22)


async def test_one_after_the_other_when_parallel_tools_are_off(origin, client):
    running = peak = 0

    async def work(n: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return n

    for parallel, most in ((True, 3), (False, 1)):
        peak = 0
        origin.script(asks(*(("work", {"n": n}) for n in range(3))), completion("done"))
        config = Config().replace(agent_execution={"parallel_tools": parallel})
        await Agent(client, [work], config=config).run("go")
        assert peak == most


async def test_what_goes_wrong_with_a_call_is_told_to_the_model_and_leaves_the_others_alone(origin, client):
    def broken() -> str:
        raise RuntimeError("no luck")

    origin.script(
        completion(
            calls=[
                ("c0", "broken", "{}"),
                ("c1", "ad", '{"a": 1, "b": 2}'),
                ("c2", "add", '{"a": 1'),
                ("c3", "add", '{"a": "x", "b": 2}'),
                ("c4", "add", '{"a": 1, "b": 2}'),
            ]
        ),
        completion("done"),
    )
    assert (await Agent(client, [broken, add]).run("go")).output == "done"
    told = [m["content"] for m in origin.requests[1].body["messages"][-5:]]
    assert "no luck" in told[0]
    assert "add" in told[1]
    assert "JSON" in told[2]
    assert "a" in told[3]
    assert told[4] == "3"


async def test_equal_calls_of_one_turn_each_get_their_result(origin, client):
    origin.script(completion(calls=[("same", "add", '{"a": 1, "b": 2}')] * 2), completion("done"))
    await Agent(client, [add]).run("go")
    assert [m["content"] for m in origin.requests[1].body["messages"][-2:]] == ["3", "3"]


async def test_a_run_ends_when_its_turns_are_used_up(origin, client):
    origin.script(asks(("add", {"a": 1, "b": 2})))
    with pytest.raises(MaxTurnsError, match="after 3 turns"):
        await Agent(client, [add], max_turns=3).run("go")
    assert len(origin.requests) == 3


async def test_the_models_error_ends_the_run(origin, client):
    origin.script(Answer(status=400, body={"error": {"message": "bad"}}))
    with pytest.raises(ModelStatusError):
        await Agent(client).run("go")


async def test_a_message_that_cannot_be_kept_is_the_servers_error(origin, client):
    odd = {"role": "assistant", "content": "x", "stamp": 2**63 - 1}
    origin.script(Answer(body={"choices": [{"message": odd}]}))
    with pytest.raises(ModelResponseError, match=r"cannot be kept: \$.stamp"):
        await Agent(client).run("go")


async def test_a_stream_tells_what_happens_and_ends_with_the_result(origin, client):
    origin.script(asks(("add", {"a": 1, "b": 2})), completion("done"))
    agent = Agent(client, [add])
    events = [event async for event in agent.stream("go")]
    assert [type(event) for event in events] == [
        TurnStarted,
        TurnFinished,
        ToolStarted,
        ToolFinished,
        TurnStarted,
        TurnFinished,
        RunFinished,
    ]
    assert events[-1].result.output == "done"
    assert events[-1].result.events == tuple(events[:-1])
    quiet = Agent(client, [add], config=Config().replace(profiling={"events": False}))
    assert (await quiet.run("go")).events == ()


async def test_leaving_a_stream_early_cancels_the_run(origin, client):
    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    origin.script(asks(("wait", {})))
    async with aclosing(Agent(client, [wait]).stream("go")) as events:
        async for event in events:
            if isinstance(event, ToolStarted):
                break
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_cancelling_a_run_reaches_its_tools(origin, client):
    started, cancelled = asyncio.Event(), []

    async def wait(n: int) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(n)
            raise

    origin.script(asks(*(("wait", {"n": n}) for n in range(3))))
    run = asyncio.create_task(Agent(client, [wait]).run("go"))
    await started.wait()
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(cancelled) == [0, 1, 2]
    assert len(asyncio.all_tasks()) == 1


async def test_a_conversation_goes_on_and_the_callers_stays_as_it_was(origin, client):
    agent = Agent(client, instructions="Be kind.")
    first = await agent.run("one")
    length = len(first.conversation)
    second = await agent.run("two", conversation=first.conversation)
    assert len(first.conversation) == length == 3
    assert [m["role"] for m in second.conversation.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert len(origin.requests[1].body["messages"]) == 4


async def test_several_runs_of_one_agent_at_once(origin, client):
    results = await asyncio.gather(*(Agent(client).run(f"task {n}") for n in range(8)))
    assert [r.conversation.messages[0]["content"] for r in results] == [f"task {n}" for n in range(8)]


async def test_a_long_result_is_cut_with_a_mark(origin, client):
    def long() -> str:
        return "x" * 1000

    origin.script(asks(("long", {})), completion("done"))
    config = Config().replace(compaction={"max_tool_result_chars": 100})
    await Agent(client, [long], config=config).run("go")
    content = origin.requests[1].body["messages"][-1]["content"]
    assert content == "x" * 100 + "\n… [cut: 100 of 1000 characters]"


@dataclass
class City:
    name: str
    people: int


async def test_an_answer_of_a_type_is_asked_for_and_checked(origin, client):
    origin.script(completion('{"name": "Bonn"}'), completion('{"name": "Bonn", "people": 330000}'))
    result = await Agent(client, output_type=City).run("Which city?")
    assert (result.output, result.turns) == (City("Bonn", 330000), 2)
    assert origin.requests[0].body["response_format"]["json_schema"]["schema"]["required"] == ["name", "people"]
    assert "people" in origin.requests[1].body["messages"][-1]["content"]


async def test_the_second_run_of_a_deterministic_task_asks_no_model(origin):
    config = Config().replace(response_cache={"cache_sampled": True})
    async with LLMClient("openai:m", base_url=origin.url, api_key="k", cache=MemoryCache(), config=config) as client:
        origin.script(asks(("add", {"a": 1, "b": 2})), completion("done"))
        first = await Agent(client, [add]).run("go")
        second = await Agent(client, [add]).run("go")
        assert (first.output, second.output, len(origin.requests)) == ("done", "done", 2)
        assert [e.cache for e in second.events if isinstance(e, TurnFinished)] == ["hit", "hit"]


async def test_bad_arguments_are_refused(client):
    with pytest.raises(ValueError, match="empty"):
        await Agent(client).run("  \n")
    with pytest.raises(ValueError, match="max_turns"):
        Agent(client, max_turns=0)
    with pytest.raises(ToolDefinitionError):
        Agent(client, [add, add])
    with pytest.raises(hotloop.ModelError, match="nowhere"):
        Agent("nowhere:model")
    with pytest.raises(hotloop.ModelError, match="no provider serves None"):
        Agent(None)


def test_a_person_at_a_prompt_needs_no_event_loop(origin, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", origin.url)
    agent = Agent("openai:m", config=Config().replace(response_cache={"enabled": False}))
    assert [agent.run_sync("Hi").output for _ in range(2)] == ["Hello", "Hello"]


async def test_where_an_event_loop_runs_run_sync_says_what_to_write(client):
    with pytest.raises(RuntimeError, match=r"await agent\.run\(task\)"):
        Agent(client).run_sync("Hi")


async def test_a_conversation_may_be_made_by_hand(origin, client):
    talk = Conversation([{"role": "user", "content": "earlier"}, {"role": "assistant", "content": "yes"}])
    await Agent(client, instructions="unused: the conversation has begun").run("now", conversation=talk)
    assert [m["content"] for m in origin.requests[0].body["messages"]] == ["earlier", "yes", "now"]


def says(finish="stop", **message) -> Answer:
    answer = completion(finish=finish)
    answer.body["choices"][0]["message"] = {"role": "assistant", **message}
    return answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (says(content=None), "said nothing .finish_reason stop"),
        (says(content=" \n"), "said nothing"),
        (says(content=[]), "said nothing"),
        (says(content=None, refusal="I cannot help."), "refused: I cannot help."),
        (says(content=[{"type": "refusal", "refusal": "No."}]), "refused: No."),
        (says("content_filter", content="So far"), "filtered .finish_reason content_filter"),
        (says("length", content=""), "finish_reason length.; raise max_tokens"),
        (says("function_call", content=None, function_call={"name": "add", "arguments": "{}"}), "function_call"),
    ],
)
async def test_a_message_that_is_no_answer_is_an_error_and_says_why(origin, answer, why):
    origin.script(answer, answer)
    async with LLMClient("openai:m", base_url=origin.url, api_key="k", cache=MemoryCache()) as client:
        for _ in range(2):  # it is not stored either
            with pytest.raises(NoAnswerError, match=why):
                await Agent(client).run("Hi")
        with pytest.raises(NoAnswerError, match=why):
            await Agent(client, output_type=City).run("Hi")
        origin.script(answer, answer)
        for _ in range(2):
            assert (await client.chat([{"role": "user", "content": "Hi"}], temperature=0)).cache == "miss"


async def test_what_was_cut_off_is_an_answer_where_it_has_text(origin, client):
    origin.script(says("length", content="So far"))
    assert (await Agent(client).run("Hi")).output == "So far"


async def test_a_model_is_corrected_twice_and_no_more(origin, client):
    origin.script(*(completion("Rome") for _ in range(9)))
    with pytest.raises(NoAnswerError, match=r"(?s)2 corrections did not help.*JSON"):
        await Agent(client, output_type=City).run("Which city?")
    assert len(origin.requests) == 3
