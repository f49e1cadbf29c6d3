"""Effects, batching and approval, against real files: `python examples/tools.py`.

No model is needed: the calls are those that one could ask for in a turn.
"""

import asyncio
import tempfile
from pathlib import Path

from hotloop import ToolCall, ToolPipeline, ToolRegistry, tool
from hotloop.tools import Batch, Question, workspace_tools


async def main() -> None:
    """Run a turn's worth of calls, as a model would ask for them."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "prices.txt").write_text("apple 3\npear 4\n")

        @tool(effect="read", resources=[root / "prices.txt"], cache_ttl=60)
        def total() -> int:
            """Add up the prices."""
            return sum(int(line.split()[1]) for line in (root / "prices.txt").read_text().splitlines())

        @tool(effect="external", resources=["till"], approval=lambda call: "dear" if call.args["amount"] > 5 else False)
        async def pay(amount: int) -> str:
            """Pay an amount."""
            return f"paid {amount}"

        questions: list[int] = []

        def stocks(calls: list[dict[str, str]]) -> list[int]:
            questions.append(len(calls))
            return [len(call["fruit"]) for call in calls]

        @tool(effect="read", resources=["store"], batch=Batch(stocks, window=0.02, size=10))
        def stock(fruit: str) -> int:
            """Tell how much there is of a fruit."""
            return stocks([{"fruit": fruit}])[0]

        def approve(question: Question) -> bool | str:
            print(f"  asked about {question.call.name}({question.call.args}) because it is {question.reason}")
            return "too dear" if question.call.args["amount"] > 100 else True

        registry = ToolRegistry([*workspace_tools(root), total, pay, stock])
        async with ToolPipeline(registry, approve=approve) as pipeline:
            calls = [
                ToolCall("total", {}),  # reads the file, so it runs before the edit
                ToolCall("edit_file", {"path": "prices.txt", "old_string": "pear 4", "new_string": "pear 5"}),
                ToolCall("total", {}),  # and this one after it
                ToolCall("pay", {"amount": 8}),  # touches something else: runs beside them, after a yes
                ToolCall("pay", {"amount": 800}),
                *(ToolCall("stock", {"fruit": fruit}) for fruit in ("apple", "pear", "plum")),  # one question for all
                ToolCall("read_file", {"path": "../outside"}),
                ToolCall("reed_file", {"path": "prices.txt"}),
            ]
            for result in await pipeline.run_batch(calls):
                print(f"{result.call.name}({result.call.args}) -> {result.content}")
        print(f"  the store was asked {len(questions)} time for {sum(questions)} fruits")


if __name__ == "__main__":
    asyncio.run(main())
