"""What people write with tools, for mypy: it is checked, and never run."""

from collections.abc import Coroutine
from typing import Any, assert_type

from pydantic import BaseModel

from hotloop import Agent, Tool, ToolCall, ToolPipeline, ToolRegistry, tool


@tool
def plain(path: str, depth: int = 1) -> list[str]:
    return [path] * depth


@tool(effect="read", resources=lambda path: [path])
async def look(path: str) -> bytes:
    return path.encode()


class Shop:
    @tool
    def price(self, name: str) -> float:
        return float(len(name))

    @tool(effect="external", approval="always")
    async def buy(self, name: str, count: int = 1) -> bool:
        return count > 0

    @staticmethod
    @tool
    def names(start: str) -> list[str]:
        return [start]


class Order(BaseModel):
    count: int


shop = Shop()
assert_type(plain("a", depth=2), list[str])
looking = assert_type(look("a"), Coroutine[Any, Any, bytes])
assert_type(shop.price("a"), float)
assert_type(shop.price(name="a"), float)
buying = assert_type(shop.buy("a", count=2), Coroutine[Any, Any, bool])
assert_type(Shop.price(shop, "a"), float)
assert_type(Shop.names("a"), list[str])
assert_type(tool(Order)(count=1), Order)

shop.price()  # type: ignore[call-arg]
shop.price(1)  # type: ignore[arg-type]
plain(1)  # type: ignore[arg-type]


@tool(approval=lambda call: "it is dear" if call.args["amount"] > 100 else False)
def pay(amount: int) -> int:
    return amount


def dear(call: ToolCall) -> bool:
    return "dear" in call.args


tool(approval=dear)(plain.func)


async def run(pipeline: ToolPipeline) -> None:
    calls = [ToolCall("plain", {"path": "a"}), ToolCall("plain", '{"path": "b"}'), ToolCall("pay", {"amount": 1})]
    assert_type(calls, list[ToolCall])
    await pipeline.run_batch(calls)


tools: list[Tool] = [plain, look, shop.price, shop.buy]
Agent("openai:m", [plain, shop.price, len, Order])
ToolRegistry([shop.buy, shop.price, look])
