"""The agent: a model, its tools and instructions, ready to be given tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ..config import Config
from ..llm import LLMClient
from ..llm.structured import structure_of
from ..pipeline import ToolPipeline
from ..tools import Tool, ToolRegistry, ToolSource
from .approval import Desk
from .conversation import Conversation
from .events import AgentEvent, ApprovalNeeded, RunFinished, RunResult
from .loop import Run
from .state import RunState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from ..tools.approval import Approver

__all__ = ["Agent"]

T = TypeVar("T")


class Agent(Generic[T]):
    """Gives tasks to a model, runs the tools that it asks for, and returns its answer.

    An agent holds no state of a run, so one agent may run several tasks at once.

    Args:
        model: a model's name, as in "openai:gpt-5-mini" or "local:smollm2", or a client that is already open. A
            client made from a name belongs to the agent and is closed with it.
        tools: tools, plain functions, which are made tools, and MCP servers.
        instructions: the system message; empty for none.
        output_type: the type of the answer: `str`, or any type that pydantic can validate. A model whose
            answer does not fit is told why and asked again, twice at most.
        max_turns: how often a run asks the model at most; None for the configuration's.
        config: settings; the defaults when None.
        approve: is asked about each call that needs approval, and returns, or gives when it is awaited, True, False, a
            reason to refuse it, or a dict of other arguments. Without it such calls are refused, unless somebody who
            streams the run answers the event.

    Raises:
        UnknownModelError: no provider serves the model.
        ToolDefinitionError: one of `tools` cannot be made a tool, or two have one name.
    """

    @overload
    def __init__(
        self: Agent[str],
        model: str | LLMClient,
        tools: Sequence[Tool | Callable[..., Any] | ToolSource] = (),
        *,
        instructions: str = "",
        max_turns: int | None = None,
        config: Config | None = None,
        approve: Approver | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        model: str | LLMClient,
        tools: Sequence[Tool | Callable[..., Any] | ToolSource] = (),
        *,
        instructions: str = "",
        output_type: type[T],
        max_turns: int | None = None,
        config: Config | None = None,
        approve: Approver | None = None,
    ) -> None: ...

    @overload  # what is no class, as `int | None` or an `Annotated`: the answer's type is not known then
    def __init__(
        self: Agent[Any],
        model: str | LLMClient,
        tools: Sequence[Tool | Callable[..., Any] | ToolSource] = (),
        *,
        instructions: str = "",
        output_type: object,
        max_turns: int | None = None,
        config: Config | None = None,
        approve: Approver | None = None,
    ) -> None: ...

    def __init__(
        self,
        model: str | LLMClient,
        tools: Sequence[Tool | Callable[..., Any] | ToolSource] = (),
        *,
        instructions: str = "",
        output_type: Any = str,
        max_turns: int | None = None,
        config: Config | None = None,
        approve: Approver | None = None,
    ) -> None:
        self.config = config or Config()
        self.max_turns = self.config.agent_execution.max_turns if max_turns is None else max_turns
        if self.max_turns < 1:
            raise ValueError(f"max_turns is {self.max_turns}; it must be at least 1")
        self.instructions = instructions
        self.tools = ToolRegistry(tools, config=self.config)
        self._approve = approve
        self._owns_client = not isinstance(model, LLMClient)
        self.client = model if isinstance(model, LLMClient) else LLMClient(model, config=self.config)
        self._structure = None if output_type is str else structure_of(output_type)

    async def run(self, task: str, *, conversation: Conversation | None = None) -> RunResult[T]:
        """Return what came of `task`.

        Args:
            task: what to do.
            conversation: what was said before; it is forked, so it stays as it is.

        Raises:
            ValueError: the task is empty.
            MaxTurnsError: the model still asked for tools when the turns were used up.
            NoAnswerError: the model refused, was filtered, said nothing, or not what `output_type` asks for.
            ModelError: the model could not be asked.
        """
        return await self._run(task, conversation, None)

    def run_sync(self, task: str, *, conversation: Conversation | None = None) -> RunResult[T]:
        """Return what came of `task`; for use where no event loop runs.

        Raises:
            RuntimeError: one runs, as in a notebook. Otherwise as `run`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run(task, conversation=conversation))
        raise RuntimeError("run_sync is for use where no event loop runs; here, write: await agent.run(task)")

    async def stream(self, task: str, *, conversation: Conversation | None = None) -> AsyncGenerator[AgentEvent]:
        """Yield what happens while the task is done; the last event, `RunFinished`, holds the result.

        Leaving early cancels the run. Raises what `run` raises.

        Where the agent has no `approve`, answer an `ApprovalNeeded` before you ask for the next event; one that is left
        unanswered then is refused.
        """
        queue: asyncio.Queue[AgentEvent | None] = asyncio.Queue()
        run = asyncio.create_task(self._run(task, conversation, queue.put_nowait))
        run.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
                if self._approve is None and isinstance(event, ApprovalNeeded):
                    event.refuse("nobody answered")
            yield RunFinished(await run)
        finally:
            if not run.done():
                run.cancel()
                await asyncio.wait([run])

    async def aclose(self) -> None:
        """Close the client, where it belongs to the agent, and the MCP servers that nobody holds open."""
        await self.tools.aclose()
        if self._owns_client:
            await self.client.aclose()

    async def __aenter__(self) -> Agent[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(
        self, task: str, conversation: Conversation | None, listener: Callable[[AgentEvent], None] | None
    ) -> RunResult[T]:
        if not task.strip():
            raise ValueError("the task is empty; say what to do")
        events: list[AgentEvent] = []
        keep = self.config.profiling.events

        def emit(event: AgentEvent) -> None:
            if keep:
                events.append(event)
            if listener is not None:
                listener(event)

        talk = conversation.fork() if conversation is not None else Conversation()
        if self.instructions and not len(talk):
            talk.append({"role": "system", "content": self.instructions})
        talk.append({"role": "user", "content": task})
        # A model that asks for several calls in one turn says that none needs the result of another.
        overlap = self.config.async_pipeline.overlap_undeclared is not False
        state = RunState()
        approve = None if self._approve is None and listener is None else Desk(state, emit, self._approve).ask
        async with ToolPipeline(
            self.tools, overlap_undeclared=overlap, config=self.config, cache=self.client.cache, approve=approve
        ) as pipeline:
            run: Run[T] = Run(
                self.client,
                pipeline,
                talk,
                self.tools,
                self._structure,
                max_turns=self.max_turns,
                parallel_tools=self.config.agent_execution.parallel_tools,
                max_result_chars=self.config.compaction.max_tool_result_chars,
                emit=emit,
                state=state,
            )
            answer, usage, turns = await run()
        return RunResult(answer, talk, usage, turns, tuple(events))
