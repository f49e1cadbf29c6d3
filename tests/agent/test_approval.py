"""Approval in a run: it waits in a state of its own, and goes on after a yes, a no or an edit."""

import asyncio
import json
from contextlib import aclosing

import pytest

from hotloop import Agent, LLMClient, ToolCall, tool
from hotloop.agent import ApprovalNeeded, RunFinished, RunState, State, ToolFinished
from hotloop.agent.approval import Desk
from hotloop.errors import StateError, ToolRefusedError
from hotloop.tools import Question
from support.origin import Origin, completion


@pytest.fixture
def origin():
    with Origin() as server:
        yield server


@pytest.fixture
async def client(origin):
    async with LLMClient("openai:m", base_url=origin.url, api_key="k") as made:
        yield made


@pytest.fixture
def done():
    return []


@pytest.fixture
def erase(done):
    @tool(approval="always", effect="write", resources=["disk"])
    def erase(path: str, times: int = 1) -> str:
        done.append((path, times))
        return f"erased {path}"

    return erase


def asks(*calls):
    return completion(calls=[(f"c{n}", name, json.dumps(args)) for n, (name, args) in enumerate(calls)])


def told(origin):
    return [m["content"] for m in origin.requests[-1].body["messages"] if m["role"] == "tool"]


@pytest.mark.parametrize(
    ("decision", "ran", "said"),
    [
        (True, [("a", 3)], "erased a"),
        (False, [], "Error: erase was not run: a person refused it"),
        ("not today", [], "Error: erase was not run: a person refused it: not today"),
        ({"path": "b"}, [("b", 1)], '[a person changed the arguments to {"path":"b"}]\nerased b'),
        ({"path": 1}, [], "Error: erase: path should be a valid string, got 1"),
        (None, [], "Error: erase was not run: the approver gave NoneType; it must give True, False, a reason"),
    ],
)
@pytest.mark.parametrize("later", [False, True])
async def test_what_a_person_says_is_done(origin, client, erase, done, decision, ran, said, later):
    questions = []

    async def slowly(question):
        questions.append(question)
        await asyncio.sleep(0)
        return decision

    def at_once(question):
        questions.append(question)
        return decision

    origin.script(asks(("erase", {"path": "a", "times": "3"})), completion("done"))
    result = await Agent(client, [erase], approve=slowly if later else at_once).run("go")
    assert (result.output, done) == ("done", ran)
    assert told(origin)[0].startswith(said)
    assert questions[0].call.args == {"path": "a", "times": 3}  # as the tool will get them, not as they were written


async def test_an_approver_that_fails_refuses(origin, client, erase, done):
    def broken(question):
        raise RuntimeError("no line")

    origin.script(asks(("erase", {"path": "a"})), completion("done"))
    await Agent(client, [erase], approve=broken).run("go")
    assert done == []
    assert "asking for approval failed: RuntimeError: no line" in told(origin)[0]


async def test_without_anybody_to_ask_it_is_refused(origin, client, erase, done):
    origin.script(asks(("erase", {"path": "a"})), completion("done"))
    result = await Agent(client, [erase]).run("go")
    (finished,) = [event for event in result.events if isinstance(event, ToolFinished)]
    assert isinstance(finished.result.error, ToolRefusedError)
    assert done == []


async def test_a_function_says_which_calls_are_asked_about_and_why(origin, client, done):
    def risky(call: ToolCall) -> bool | str:
        return "it is outside" if call.args["path"].startswith("/") else False

    @tool(approval=risky)
    def touch(path: str) -> str:
        done.append(path)
        return "ok"

    reasons = []

    def approve(question):
        reasons.append((question.call.args["path"], question.reason))
        return True

    origin.script(asks(("touch", {"path": "a"}), ("touch", {"path": "/b"})), completion("done"))
    await Agent(client, [touch], approve=approve).run("go")
    assert sorted(done) == ["/b", "a"]
    assert reasons == [("/b", "it is outside")]


@pytest.mark.parametrize("check", [lambda call: 1 / 0, lambda call: "yes" if False else None])
async def test_a_check_that_fails_does_not_let_the_call_run(origin, client, done, check):
    @tool(approval=check)
    def touch() -> None:
        done.append(1)

    origin.script(asks(("touch", {})), completion("done"))
    await Agent(client, [touch], approve=lambda question: True).run("go")
    assert done == []
    assert "was not run: the check whether it needs approval" in told(origin)[0]


async def test_an_alias_or_a_misspelling_is_asked_about_like_the_name(origin, client, erase, done):
    origin.script(asks(("functions.Erase", {"path": "a"})), completion("done"))
    names = []
    await Agent(client, [erase], approve=lambda question: bool(names.append(question.call.name))).run("go")
    assert (names, done) == (["erase"], [])


async def test_a_stream_shows_the_question_and_takes_the_answer(origin, client, erase, done):
    origin.script(
        asks(("erase", {"path": "a"}), ("erase", {"path": "b"}), ("erase", {"path": "c"})), completion("done")
    )
    seen = []
    async with aclosing(Agent(client, [erase]).stream("go")) as events:
        async for event in events:
            seen.append(event)
            if isinstance(event, ApprovalNeeded):
                assert done == []  # none runs before all are answered
                match event.call.args["path"]:
                    case "a":
                        event.approve()
                        event.refuse("too late")  # the first answer counts
                        assert event.answered
                    case "b":
                        event.edit({"path": "B", "times": 2})
    assert done == [("a", 1), ("B", 2)]
    assert isinstance(seen[-1], RunFinished)
    assert told(origin)[2] == "Error: erase was not run: a person refused it: nobody answered"


async def test_a_run_that_waits_has_a_state_of_its_own():
    state, events = RunState(), []
    state.to(State.MODEL)
    state.to(State.TOOLS)
    desk = Desk(state, events.append, None)
    first, second = (asyncio.create_task(desk.ask(Question(ToolCall("t", {"n": n}), "why"))) for n in range(2))
    while len(events) < 2:  # noqa: ASYNC110 - until both have asked
        await asyncio.sleep(0)
    assert state.now is State.APPROVAL
    with pytest.raises(StateError, match="approval cannot become model"):
        state.to(State.MODEL)
    events[0].approve()
    assert await first is True
    assert state.now is State.APPROVAL  # the other still waits
    events[1].edit({"n": 9})
    assert await second == {"n": 9}
    assert state.now is State.TOOLS


async def test_a_run_that_is_cancelled_while_it_waits_runs_nothing(origin, client, erase, done):
    origin.script(asks(("erase", {"path": "a"})))
    asked, event = asyncio.Event(), []

    async def never(question):
        asked.set()
        await asyncio.Event().wait()

    run = asyncio.create_task(Agent(client, [erase], approve=never).run("go"))
    await asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (done, event) == ([], [])
