"""One run of an agent: ask the model, run the tools it asks for, until it answers."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..errors import CanonicalError, MaxTurnsError, ModelResponseError, NoAnswerError
from ..llm import Usage
from .events import AgentEvent, ToolFinished, ToolStarted, TurnFinished, TurnStarted
from .state import RunState, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..llm import LLMClient, Reply
    from ..llm.structured import Structure
    from ..pipeline import ToolPipeline, ToolResult
    from ..toolcall import ToolCall
    from ..tools import ToolRegistry
    from .conversation import Conversation

__all__ = ["MAX_CORRECTIONS", "Run"]

T = TypeVar("T")

MAX_CORRECTIONS = 2
"""How often a model is told that its answer is not of the output type, and asked again; one that has not got it by
then costs turns and seldom gets it."""


class Run(Generic[T]):
    """One run, from the task in `conversation` to an answer.

    Args:
        client: asks the model.
        pipeline: runs the tool calls.
        conversation: ends with the task; the run appends to it.
        tools: the tools; asked for before each turn, for those of a server may change.
        structure: the type of the answer; None for its text.
        max_turns: how often the model is asked at most.
        parallel_tools: whether the calls of one turn run at once, or one after the other.
        max_result_chars: longer tool results are cut before the model sees them; None for no limit.
        emit: hears what happens.
        state: where the run stands.
        clock: gives seconds; replaced in tests.
    """

    def __init__(
        self,
        client: LLMClient,
        pipeline: ToolPipeline,
        conversation: Conversation,
        tools: ToolRegistry,
        structure: Structure | None,
        *,
        max_turns: int,
        parallel_tools: bool,
        max_result_chars: int | None,
        emit: Callable[[AgentEvent], None],
        state: RunState,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.state = state
        self.conversation = conversation
        self._client = client
        self._pipeline = pipeline
        self._tools = tools
        self._schemas: list[dict[str, Any]] = []
        self._seen = -1
        self._structure = structure
        self._form: dict[str, Any] = {} if structure is None else {"response_format": structure.response_format}
        self._max_turns = max_turns
        self._parallel_tools = parallel_tools
        self._max_result_chars = max_result_chars
        self._emit = emit
        self._clock = clock
        self._usage = Usage()
        self._corrections = 0

    async def __call__(self) -> tuple[T, Usage, int]:
        """Go through the run; return the answer, the tokens and the number of turns.

        Raises:
            MaxTurnsError: the model still asked for tools when the turns were used up.
            NoAnswerError: the model ended with nothing that is an answer of the type.
            ModelError: the model could not be asked.
            asyncio.CancelledError: the run was cancelled; no tool of it runs any more.
        """
        try:
            while True:
                reply = await self._ask()
                if reply.tool_calls:
                    self.state.to(State.TOOLS)
                    await self._work(reply.tool_calls)
                    continue
                try:
                    answer = reply.text if self._structure is None else self._structure.value(reply.text)
                except ValueError as error:
                    self._correct(error)
                    continue
                self.state.to(State.DONE)
                return cast("T", answer), self._usage, self.state.turn
        except asyncio.CancelledError:
            self.state.to(State.CANCELLED)
            raise
        except BaseException:
            self.state.to(State.FAILED)
            raise

    async def _ask(self) -> Reply:
        if self.state.turn == self._max_turns:
            raise MaxTurnsError(
                f"the model had not answered after {self._max_turns} turns; raise max_turns, or make the task smaller"
            )
        await self._tools.refresh()
        if self._seen != self._tools.changes:
            self._schemas, self._seen = self._tools.schemas("openai"), self._tools.changes
        self.state.to(State.MODEL)
        self.state.turn += 1
        self._emit(TurnStarted(self.state.turn))
        start = self._clock()
        reply: Reply = await self._client.chat(self.conversation.view(), tools=self._schemas or None, **self._form)
        self._usage += reply.usage
        self._emit(TurnFinished(self.state.turn, reply.cache, reply.tier, self._clock() - start, reply.usage))
        try:
            self.conversation.append(reply.message)
        except CanonicalError as error:
            raise ModelResponseError(f"the model's message cannot be kept: {error}") from error
        if (why := reply.unanswered) is not None:
            raise NoAnswerError(f"{self._client.model} gave no answer: {why}")
        return reply

    def _correct(self, error: ValueError) -> None:
        """Tell the model why its answer is not of the type that was asked for."""
        if self._corrections == MAX_CORRECTIONS:
            raise NoAnswerError(
                f"the model's answer did not fit the output type, and {MAX_CORRECTIONS} corrections did not help; "
                f"the last one said: {error}"
            ) from error
        self._corrections += 1
        self.conversation.append({"role": "user", "content": f"That answer does not fit: {error}"})

    async def _work(self, calls: list[ToolCall]) -> None:
        for call in calls:
            self._emit(ToolStarted(self.state.turn, call))
        if len(calls) == 1 or not self._parallel_tools:
            results = []
            for call in calls:
                result = await self._pipeline.run(call)
                self._emit(ToolFinished(self.state.turn, result))
                results.append(result)
        else:
            places = {id(call): place for place, call in enumerate(calls)}
            found: dict[int, ToolResult] = {}
            async with aclosing(self._pipeline.as_completed(calls)) as completed:
                async for result in completed:
                    self._emit(ToolFinished(self.state.turn, result))
                    found[places[id(result.call)]] = result
            results = [found[place] for place in range(len(calls))]
        for result in results:
            self.conversation.append(
                {"role": "tool", "tool_call_id": result.call.id, "content": self._fit(result.content)}
            )

    def _fit(self, content: str) -> str:
        limit = self._max_result_chars
        if limit is None or len(content) <= limit:
            return content
        return f"{content[:limit]}\n… [cut: {limit} of {len(content)} characters]"
