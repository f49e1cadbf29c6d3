"""MCP servers as tools: one written with the SDK, over both transports, and one from a package."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from hotloop import Agent, LLMClient, Priority, ToolCall, ToolPipeline, ToolRegistry
from hotloop.errors import MissingExtraError, ToolDefinitionError, ToolError, ToolTimeoutError
from hotloop.tools.mcp import MCPServer
from support.origin import Origin, completion

SERVED = Path(__file__).with_name("served.py")
STDIO = [sys.executable, str(SERVED)]


@pytest.fixture
async def server(url):
    async with MCPServer(url) as opened:
        yield opened


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(port):
    """The same server over HTTP, until the block ends."""
    command = [*STDIO, "--http", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "running on" in line:
                break
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(scope="session")
def url():
    port = free_port()
    with serving(port):
        yield f"http://127.0.0.1:{port}/mcp"


async def by_name(server):
    return {made.name: made for made in await server.tools()}


async def call(server, name, **args):
    made = (await by_name(server))[name]
    return await made.invoke(made.validate(args))


class TestTools:
    async def test_schemas_and_descriptions_are_the_server_s(self, server):
        look = (await by_name(server))["look"]
        assert "Look at a path." in look.description
        assert look.schema("openai")["function"]["parameters"]["required"] == ["path"]
        assert look.schema("anthropic")["input_schema"]["properties"]["depth"]["type"] == "integer"

    async def test_hints_are_effects(self, server, url):
        effects = {name: made.effect for name, made in (await by_name(server)).items()}
        assert {name: effects[name] for name in ("look", "erase", "pid", "die")} == {
            "look": "read",
            "erase": "write",
            "pid": None,
            "die": "external",
        }
        async with MCPServer(url, trust_hints=False) as wary:
            assert {made.effect for made in await wary.tools()} == {None}

    async def test_the_list_is_asked_for_once_and_again_when_it_changed(self, server):
        before = await server.tools()
        assert await server.tools() is before
        assert await call(server, "grow") == "grown"
        while (after := await server.tools()) is before:  # noqa: ASYNC110 - nothing here tells
            await asyncio.sleep(0)
        assert "grown" in [made.name for made in after]

    async def test_arguments_are_checked_before_the_server_sees_them(self, server):
        async with ToolPipeline(ToolRegistry(await server.tools())) as pipe:
            for args, said in (
                ("{}", "'path' is a required property"),
                ('{"path": 1}', "path: 1 is not of type 'string'"),
                ("[]", "must be a JSON object"),
                ('{"path"', "not valid JSON"),
            ):
                assert said in (await pipe.run(ToolCall("look", args))).content
            done = await pipe.run(ToolCall("look", '{"path": "a", "depth": 2}'), priority=Priority.HIGH)
            assert done.content == "a to depth 2"

    async def test_what_is_not_text_is_marked(self, server):
        assert (await call(server, "mixed")).split("\n") == [
            "words",
            "[image image/png, 12 bytes, not shown]",
            "[resource log: file:///log]",
            "[resource note://1]",
            "noted",
        ]

    async def test_an_error_of_the_tool_is_an_error(self, server):
        with pytest.raises(ToolError, match="it went wrong"):
            await call(server, "fail")
        assert await call(server, "look", path="a") == "a to depth 1"

    async def test_the_environment_holds_what_was_given_and_no_more(self, monkeypatch):
        monkeypatch.setenv("NOT_GIVEN", "secret")
        async with MCPServer(STDIO, env={"GIVEN": "given "}) as server:
            assert await call(server, "secret") == "given none"

    async def test_a_call_that_takes_too_long_is_given_up(self, url):
        async with MCPServer(url, timeout=0.2) as server:
            with pytest.raises(ToolTimeoutError, match=r"sleep took longer than 0\.2 s"):
                await call(server, "sleep")

    async def test_a_server_cannot_hold_the_loop_with_the_schema_of_its_results(self):
        async with MCPServer([sys.executable, str(SERVED.with_name("hostile.py"))]) as server:
            assert await call(server, "slow") == '{"y":"' + "a" * 60 + '!"}'

    async def test_a_taken_name_is_put_behind_the_server_s(self, server):
        def look() -> str:
            return "mine"

        registry = ToolRegistry([look, server])
        await registry.refresh()
        assert registry.get("look").func is look
        assert registry.get("served_look").effect == "read"


class TestTransports:
    async def test_standard_input_and_output_are_as_good(self):
        async with MCPServer(STDIO) as server:
            assert await call(server, "look", path="a", depth=3) == "a to depth 3"
            assert (await by_name(server))["erase"].effect == "write"
            with pytest.raises(ToolError, match="it went wrong"):
                await call(server, "fail")

    async def test_many_calls_at_once(self, url):
        async with MCPServer(url) as server:
            answers = await asyncio.gather(*(call(server, "look", path=str(n)) for n in range(20)))
        assert answers == [f"{n} to depth 1" for n in range(20)]

    async def test_one_that_went_away_is_reported_and_found_when_it_is_back(self):
        port = free_port()
        async with AsyncExitStack() as stack:
            with serving(port):
                server = await stack.enter_async_context(MCPServer(f"http://127.0.0.1:{port}/mcp"))
                assert await call(server, "look", path="a") == "a to depth 1"
            for _ in range(3):
                with pytest.raises(ToolError, match=r"died during look|is not there"):
                    await call(server, "look", path="a")
            with serving(port):
                assert await call(server, "look", path="a") == "a to depth 1"

    async def test_nobody_there(self):
        target = f"http://user:hidden@127.0.0.1:{free_port()}/mcp?token=hidden"
        with pytest.raises(ToolError, match="is not there") as caught:
            await MCPServer(target).tools()
        assert "hidden" not in str(caught.value)


class TestDeath:
    @pytest.fixture
    async def server(self):
        async with MCPServer(STDIO) as opened:
            yield opened

    async def test_one_that_was_killed_is_started_again_for_the_next_call(self, server):
        first = await call(server, "pid")
        os.kill(int(first), signal.SIGKILL)
        while await server._connection.is_alive():  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(0)
        second = await call(server, "pid")
        assert first != second

    async def test_the_second_death_is_reported_and_with_time_forgiven(self):
        now = 0.0
        async with MCPServer(STDIO, clock=lambda: now) as server:
            for _ in range(2):
                with pytest.raises(ToolError, match=r"died during die, which may or may not have been done|died again"):
                    await call(server, "die")
            with pytest.raises(ToolError, match="died again after it was restarted; it is not restarted any more"):
                await call(server, "pid")
            assert "pid" in await by_name(server)  # a run goes on, with calls that fail
            now = 61.0
            assert (await call(server, "pid")).isdigit()

    async def test_a_run_goes_on_without_it(self, server):
        pid = int(await call(server, "pid"))
        with Origin() as origin:
            origin.script(
                completion(calls=[("c1", "die", "{}")]),
                completion(calls=[("c2", "pid", "{}"), ("c3", "mine", "{}")]),
                completion("done"),
            )

            def mine() -> str:
                return "mine"

            async with LLMClient("openai:m", base_url=origin.url, api_key="k") as client:
                assert (await Agent(client, [server, mine]).run("go")).output == "done"
            told = [m["content"] for m in origin.requests[2].body["messages"] if m["role"] == "tool"]
        assert "died" in told[0]
        assert told[1] != str(pid)
        assert told[2] == "mine"

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (["/does/not/exist"], "could not be started"),
            ([sys.executable, "-c", "import sys; sys.exit('no licence')"], "it last said: no licence"),
        ],
    )
    async def test_one_that_does_not_start_says_why(self, line, said):
        with pytest.raises(ToolError, match=said):
            await MCPServer(line).tools()

    async def test_closing_ends_the_process(self):
        server = MCPServer(STDIO)
        pid = int(await call(server, "pid"))
        await server.aclose()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_each_event_loop_gets_its_own_connection():
    server = MCPServer(STDIO)

    async def once():
        try:
            return await call(server, "look", path="a")
        finally:
            await server.aclose()

    assert [asyncio.run(once()) for _ in range(2)] == ["a to depth 1"] * 2


async def test_a_server_from_a_package_does_an_agent_s_work():
    with Origin() as origin:
        origin.script(
            completion(
                calls=[
                    (
                        "c1",
                        "convert_time",
                        json.dumps(
                            {"source_timezone": "Asia/Tokyo", "target_timezone": "Asia/Kolkata", "time": "12:00"}
                        ),
                    ),
                    ("c2", "convert_time", '{"source_timezone": "Mars", "target_timezone": "UTC", "time": "12:00"}'),
                ]
            ),
            completion("half past eight"),
        )
        async with (
            LLMClient("openai:m", base_url=origin.url, api_key="k") as client,
            Agent(client, [MCPServer([sys.executable, "-m", "mcp_server_time"])]) as agent,
        ):
            assert (await agent.run("What time is it there?")).output == "half past eight"
        names = [one["function"]["name"] for one in origin.requests[0].body["tools"]]
        told = [m["content"] for m in origin.requests[1].body["messages"] if m["role"] == "tool"]
    assert names == ["get_current_time", "convert_time"]
    assert "T08:30:00+05:30" in told[0]
    assert told[1].startswith("Error: ")
    assert "Mars" in told[1]


@pytest.mark.parametrize("target", ["uvx mcp-server-time", "ftp://x", [], [1]])
def test_what_is_no_server(target):
    with pytest.raises(ToolDefinitionError, match="command line"):
        MCPServer(target)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="mcp"):
        MCPServer(STDIO)
