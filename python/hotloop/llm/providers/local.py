"""The embedded model: llama.cpp's server, asked in a way that a very small model can follow."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ...errors import ModelResponseError
from ..messages import Reply
from ..server import LocalServer, find_weights
from ..stream import Done, StreamEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from .base import Question, refuse_ours
from .openai import OpenAIStream, read_completion
from .small import ONE_LINE, RENDERING, Prompt, read_call, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ...config import Config
    from .desks import Desk

__all__ = ["LocalProvider"]

_IGNORED = frozenset({"parallel_tool_calls", "tool_choice"})  # they go into the prompt and the grammar


class LocalProvider:
    """The embedded model. It hides what the model cannot do.

    The model cannot decide whether a tool would help, so it must call one while the user's last message has no tool
    result, and must answer when it has; it makes one call at a time. A call that found nothing, or failed, is followed
    by another, five at most. Answers about results are one line. Long tool results are cut with a visible mark,
    and the oldest messages are left out, where the context would overflow. `tool_choice` "none", "required" or a named
    tool decides otherwise.

    Args:
        model: the model's name, "smollm2".
        config: `llm_client.local_context`, `llm_client.local_threads` and `prompt_cache.enabled` are used.

    Raises:
        UnknownModelError: there is no embedded model of that name.
        MissingExtraError: it is not installed.
    """

    name = "local"
    embeddings: str | None = None  # the embedded model writes
    key_variable: str | None = None
    credential = ""  # everyone on this machine has the same model
    secrets: tuple[str, ...] = ()

    def __init__(self, model: str, config: Config) -> None:
        self.model = model
        settings = config.llm_client
        weights = find_weights(model)
        self._context = settings.local_context
        threads = settings.local_threads
        self.identity = f"local:{model}/{weights.digest(RENDERING, self._context, threads)}"
        self.server = LocalServer(
            weights, context=self._context, threads=threads, cache_prompt=config.prompt_cache.enabled
        )

    def headers(self) -> dict[str, str]:
        """Return the key of this start of the server."""
        return {"authorization": f"Bearer {self.server.key}"}

    async def address(self) -> str:
        """Return the URL that requests go to, after starting the server where it does not run."""
        return f"{await self.server.address()}/v1/chat/completions"

    def desk(self) -> Desk | None:
        """Return None: there is no price to save here."""
        return None

    async def aclose(self) -> None:
        """End the server."""
        self.server.close()

    def ask(self, messages: list[Any], tools: list[Any], params: Mapping[str, Any], *, stream: bool) -> Question:
        """Return the request; it decodes greedily, and answers in 96 tokens where `params` say nothing else."""
        refuse_ours(params)
        head: dict[str, Any] = {"model": self.model, "temperature": 0}
        for name, value in params.items():
            if value is not None and name not in _IGNORED:
                head["max_tokens" if name == "max_completion_tokens" else name] = value
        prompt: Prompt = render(
            messages,
            tools,
            params.get("tool_choice"),
            context=self._context,
            answer=head.get("max_tokens"),
            free="response_format" in head,
        )
        head["max_tokens"] = prompt.answer
        if prompt.grammar is not None:
            head.pop("response_format", None)  # it is the answer's, not the call's
            head["grammar"] = prompt.grammar
        if stream:
            head["stream"] = True
            head["stream_options"] = {"include_usage": True}
        return Question(head, prompt.messages)

    def read(self, raw: bytes | memoryview, question: Question) -> dict[str, Any]:
        """Return the answer; a call that the grammar asked for becomes a tool call."""
        answer = read_completion(raw)
        if _calls(question):
            _as_call(answer, question)
        return answer

    def storable(self, answer: dict[str, Any]) -> bool:  # noqa: ARG002
        """Every whole answer may be stored: nothing filters the embedded model."""
        return True

    def stream(self, question: Question) -> LocalStream:
        """Return a decoder for one streamed answer."""
        return LocalStream(question)


class LocalStream(OpenAIStream):
    """As `OpenAIStream`; what the grammar asked for comes as a tool call, once it is whole."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def events(self, chunk: bytes) -> Iterator[StreamEvent]:
        """Yield what a piece of the stream says."""
        return self._shown(super().events(chunk))

    def finish(self) -> Sequence[StreamEvent]:
        """Return what is still to be said where the server's bytes have ended."""
        return tuple(self._shown(super().finish()))

    def _shown(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        if not _calls(self._question):
            yield from events
            return
        for event in events:
            if isinstance(event, Done):
                reply = Reply(_as_call(event.reply.raw, self._question))
                (call,) = reply.tool_calls
                yield ToolCallStart(0, call.id, call.name)
                yield ToolCallDelta(0, str(call.args))
                yield ToolCallEnd(0, call)
                yield reply.usage
                yield Done(reply.finish_reason, reply)
            elif isinstance(event, ToolCallStart | ToolCallDelta | ToolCallEnd):
                yield event


def _calls(question: Question) -> bool:
    """Whether the model was made to write a call."""
    return question.head.get("grammar") not in (None, ONE_LINE)


def _as_call(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    """Turn the written call of `answer` into a tool call; its identifier depends on the conversation alone."""
    choice = answer["choices"][0]
    written = choice["message"]["content"] or ""
    try:
        name, arguments = read_call(written)
    except ValueError:
        raise ModelResponseError(
            f"the embedded model's tool call was cut off ({choice.get('finish_reason')}); raise max_tokens"
        ) from None
    place = hashlib.sha256(repr((len(question.messages), written)).encode()).hexdigest()[:12]
    call = {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
    choice["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice["finish_reason"] = "tool_calls"
    return answer
