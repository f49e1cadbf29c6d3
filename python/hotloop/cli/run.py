"""``hotloop run``: give a task to an agent that can look around a folder."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Config
from ..errors import WorkspaceError
from .errors import Code, exit_codes
from .model import choose_model
from .options import ConfigFile, Json, Quiet, Verbose

if TYPE_CHECKING:
    from ..tools import Tool

__all__ = ["EXIT_CODES", "run"]

EXIT_CODES = exit_codes(Code.MODEL, Code.SERVER, Code.WORKSPACE, Code.UNANSWERED, Code.CACHE)

INSTRUCTIONS = (
    "You answer questions about the files of a folder, the workspace. Look at the files with the tools before you "
    "answer; paths are relative to the workspace. Answer shortly, and name the files that your answer rests on."
)

CHANGING = "Where the task asks for a change, make it with the tools, and make no other."


def run(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What to do, in words.", show_default=False)],
    workspace: Annotated[
        str, typer.Option("--workspace", "-w", metavar="FOLDER", help="The folder that the tools may read.")
    ] = ".",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="PROVIDER:NAME",
            help="The model to ask, as in openai:gpt-5-mini or local:smollm2. Without it: llm_client.model of the "
            "configuration, else openai:gpt-5-mini where OPENAI_API_KEY is set, else local:smollm2.",
            show_default=False,
        ),
    ] = None,
    max_turns: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Model calls at most.", metavar="N", show_default=False),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Give the agent tools that write files; each call is asked about first.")
    ] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Give it a tool that runs commands; each call is asked about first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask about no call: run them all.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write stored answers.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
) -> None:
    """Give a task to an agent in a folder.

    The agent can list, read and search the files of the workspace; with --write and --commands also change them and
    run commands, after a yes on the terminal. Prints each turn, each tool call, the answer, and
    what it took; with --json, one line of JSON on standard output. Run again with the same task and unchanged files,
    it answers from the cache.
    """
    settings = Config.load(config)
    if not task.strip():
        raise typer.BadParameter("the task is empty; say what to do", param_hint="TASK")
    if any("\ud800" <= char <= "\udfff" for char in task):
        raise typer.BadParameter("the task is not valid text in this terminal's encoding", param_hint="TASK")
    from ..tools.workspace import workspace_tools

    folder = _workspace(workspace)
    if max_turns is not None:
        settings = settings.replace(agent_execution={"max_turns": max_turns})
    if settings.response_cache.cache_sampled is None:
        settings = settings.replace(response_cache={"cache_sampled": True})  # the same task has the same answer
    if no_cache:
        settings = settings.replace(response_cache={"enabled": False})
    chosen = choose_model(model, settings).model
    tools = workspace_tools(folder, write=write, commands=commands, approval="never" if yes else "always")
    instructions = f"{INSTRUCTIONS} {CHANGING}" if write or commands else INSTRUCTIONS
    asyncio.run(_run(task, tools, instructions, chosen, settings, as_json=as_json, quiet=quiet, verbose=verbose))


def _workspace(name: str) -> Path:
    folder = Path(name)
    if not (name.strip() and folder.is_dir()):
        state = "is not a folder" if name.strip() and folder.exists() else "does not exist"
        raise WorkspaceError(f"the workspace {name!r} {state}; name a folder with --workspace")
    return folder


async def _run(
    task: str,
    tools: "list[Tool]",
    instructions: str,
    model: str,
    config: Config,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from ..agent import Agent
    from .ask import Terminal
    from .progress import Progress

    with Progress(model, as_json=as_json, quiet=quiet, verbose=verbose) as progress:
        async with (
            Agent(
                model,
                tools,
                instructions=instructions,
                max_turns=config.agent_execution.max_turns,
                config=config,
                approve=Terminal(progress.bar.paused),
            ) as agent,
            aclosing(agent.stream(task)) as events,
        ):
            async for event in events:
                progress.show(event)
