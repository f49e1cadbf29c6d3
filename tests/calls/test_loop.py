"""Where no event loop of asyncio runs, as under trio, it is said what is wrong."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import hotloop
from hotloop import LLMClient, ToolPipeline, ToolRegistry

ASK = [{"role": "user", "content": "Hi"}]


async def enter() -> None:
    async with ToolPipeline(ToolRegistry()):
        pass


def drop_in(temperature: int) -> Coroutine[Any, Any, Any]:
    body = {"model": "m", "messages": ASK, "temperature": temperature}
    return hotloop.http_client().post("http://127.0.0.1:1/v1/chat/completions", json=body)


CASES = {
    "a request that is stored": lambda: drop_in(0),
    "a request of chance": lambda: drop_in(1),
    "a request that passes untouched": lambda: hotloop.http_client().get("http://127.0.0.1:1/v1/models"),
    "the client": lambda: LLMClient("openai:m", base_url="http://127.0.0.1:1", api_key="k").chat(ASK),
    "a pipeline": enter,
}


@pytest.mark.parametrize("wire", ["httpx2", "pyreqwest"])
def test_the_client_says_so_on_both_wires(wire):
    config = hotloop.Config().replace(llm_client={"wire": wire})
    said = LLMClient("openai:m", base_url="http://127.0.0.1:1", api_key="k", config=config).chat(ASK, policy=None)
    with pytest.raises(RuntimeError, match="hotloop runs on asyncio"):
        said.send(None)


@pytest.mark.parametrize("case", CASES)
def test_it_is_said(case):
    made: Callable[[], Coroutine[Any, Any, Any]] = CASES[case]
    with pytest.raises(RuntimeError, match="hotloop runs on asyncio"):
        made().send(None)
