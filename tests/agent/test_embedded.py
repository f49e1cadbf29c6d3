"""The whole loop against the real small model: real weights, real tools, real files, the real disk tier."""

import shutil

import httpx2

from hotloop import Agent, Config
from hotloop.agent import ToolFinished, TurnFinished
from hotloop.tools.workspace import workspace_tools

TASK = "Which file defines the tool decorator?"


async def generated(agent: Agent[str]) -> float:
    """The tokens that the model's server has generated, by its own counter."""
    server = agent.client.provider.server
    url = await server.address()  # starts it where nothing was asked of it
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {server.key}"}) as http:
        text = (await http.get(f"{url}/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("llamacpp:tokens_predicted_total"))
    return float(line.split()[-1])


def workspace(folder):
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "decorator.py").write_text("def tool(function):\n    return Tool(function)\n")
    (folder / "agent.py").write_text("from tools.decorator import tool\n")
    return folder


async def test_a_task_is_done_with_tools_and_the_second_time_without_the_model(tmp_path):
    folder = workspace(tmp_path / "work")
    config = Config().replace(response_cache={"path": str(tmp_path / "responses.db")})

    async def run():
        async with Agent(
            "local:smollm2", workspace_tools(folder), instructions="Use the tools.", config=config
        ) as agent:
            result = await agent.run(TASK)
            return result, await generated(agent)

    first, tokens = await run()
    assert first.output.strip()
    assert [e.cache for e in first.events if isinstance(e, TurnFinished)] == ["miss"] * first.turns
    assert tokens == first.usage.output_tokens > 0
    tools = [e.result for e in first.events if isinstance(e, ToolFinished)]
    assert tools
    assert all(result.error is None for result in tools)

    second, tokens = await run()  # another client, another server: what they share is the file
    assert second.output == first.output
    assert [(e.cache, e.tier) for e in second.events if isinstance(e, TurnFinished)] == [
        ("hit", "sqlite")
    ] * first.turns
    assert tokens == 0

    shutil.rmtree(folder / "tools")
    (folder / "agent.py").rename(folder / "moved.py")  # whatever the model asks for now has another answer
    third, tokens = await run()
    assert next(e.cache for e in third.events if isinstance(e, TurnFinished)) == "hit"  # the question is the same
    assert tokens > 0


async def test_a_search_for_what_is_not_there_ends_in_an_answer(tmp_path):
    folder = workspace(tmp_path / "work")
    (folder / "agent.py").write_text("from anyio import from_thread_to_the_loop_and_back\n")
    config = Config().replace(response_cache={"path": str(tmp_path / "responses.db")})
    async with Agent("local:smollm2", workspace_tools(folder), config=config) as agent:
        result = await agent.run("Where is the function from_thread_to_the_loop_and_back defined?")
    assert result.output.strip()  # the second pattern that it tries has more tokens than an answer may have
    assert len([e for e in result.events if isinstance(e, ToolFinished)]) > 1
