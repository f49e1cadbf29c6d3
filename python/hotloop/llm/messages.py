"""What is asked and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, cast, runtime_checkable

from typing_extensions import TypeVar

from ..toolcall import ToolCall
from .text import brief
from .usage import Usage

if TYPE_CHECKING:
    from ..errors import ModelError
    from ..observe.events import CacheState
    from .structured import Structure

T = TypeVar("T", default=Any)

__all__ = ["Messages", "Reply", "ToolLike", "View", "as_list", "schemas", "text_of", "unanswered"]


class View(Protocol):
    """Messages that live elsewhere, such as a conversation's; what `view` returns is read and never changed."""

    def view(self) -> list[dict[str, Any]]:
        """Return the messages."""


@runtime_checkable
class ToolLike(Protocol):
    """Anything that can describe itself to a model as a tool."""

    def schema(self, provider: Literal["openai"]) -> dict[str, Any]:
        """Return the description in the shape that `provider` takes."""


Messages = Sequence[Mapping[str, Any]] | View


def as_list(messages: Messages) -> list[Any]:
    """Return the messages as a list, without copying where they are one.

    Raises:
        TypeError: they are something else, such as a single string.
    """
    if isinstance(messages, list):
        return messages
    if isinstance(messages, Sequence) and not isinstance(messages, str | bytes | bytearray):
        return list(messages)
    view = getattr(messages, "view", None)
    if view is None:
        raise TypeError(
            f"messages is a {type(messages).__name__}; give a list, as in [{{'role': 'user', 'content': 'Hello'}}]"
        )
    found: list[Any] = view()
    return found


def schemas(tools: Sequence[ToolLike | Mapping[str, Any]] | None) -> list[Any]:
    """Return the tools in the shape of OpenAI's function tools."""
    if not tools:
        return []
    return [
        # a protocol is asked last: that costs a microsecond and more for each tool
        tool if isinstance(tool, dict) or not isinstance(tool, ToolLike) else tool.schema("openai")
        for tool in tools
    ]


_UNREAD = object()


class Reply(Generic[T]):
    """A model's answer; it belongs to its caller, who may change it.

    Attributes:
        raw: the whole answer, decoded, in the shape of OpenAI's chat completions.
        cache: how the call was answered: "hit", "joined", "miss" or "bypass".
        tier: the cache tier that had it, for a hit.
        age: seconds since a stored answer was made, else 0.
        model: who answered, as provider:name.
        failures: why the models that were asked before did not answer, in their order; empty unless it fell back.
        cost: US dollars that this call costs: 0 where no model worked for it, None where nobody knows the price.
    """

    __slots__ = (
        "_output",
        "_structure",
        "_tool_calls",
        "_usage",
        "age",
        "cache",
        "cost",
        "failures",
        "model",
        "raw",
        "tier",
    )

    def __init__(
        self,
        raw: dict[str, Any],
        cache: CacheState = "bypass",
        tier: str | None = None,
        age: float = 0.0,
        model: str = "",
        failures: tuple[ModelError, ...] = (),
        structure: Structure | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.raw = raw
        self.cache: CacheState = cache
        self.tier = tier
        self.age = age
        self.model = model
        self.failures = failures
        self.cost: float | None = None
        self._structure = structure
        self._output: Any = _UNREAD
        self._tool_calls: list[ToolCall] | None = None
        self._usage = usage

    @property
    def message(self) -> dict[str, Any]:
        """The assistant's message, ready to be appended to the conversation."""
        message: dict[str, Any] = self.raw["choices"][0]["message"]
        return message

    @property
    def text(self) -> str:
        """The answer's text; empty where the model only called tools."""
        content = self.raw["choices"][0]["message"].get("content")
        return content if type(content) is str else text_of(self.message)

    @property
    def output(self) -> T:
        """The answer as a value of the `output_type` that was asked for, or its text where none was.

        Raises:
            ModelResponseError: the answer of a stream is no such value.
        """
        if self._structure is None:
            return cast("T", self.text)
        if self._output is _UNREAD:
            self._output = self._structure.read(self)
        return cast("T", self._output)

    def take(self, origin: Reply) -> None:
        """Take over where `origin` says that the answer comes from."""
        self.cache, self.tier, self.age = origin.cache, origin.tier, origin.age
        self.model, self.failures, self._structure = origin.model, origin.failures, origin._structure

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tools that the model wants called, in its order."""
        if self._tool_calls is None:
            calls = self.message.get("tool_calls") or ()
            self._tool_calls = [
                ToolCall(call["function"]["name"], call["function"].get("arguments") or "{}", call.get("id"))
                for call in calls
            ]
        return self._tool_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped: "stop", "tool_calls", "length", "content_filter"."""
        reason: str | None = self.raw["choices"][0].get("finish_reason")
        return reason

    @property
    def unanswered(self) -> str | None:
        """Why there is neither an answer nor a tool call in it, as "it refused: …"; None where there is one."""
        return unanswered(self.raw["choices"][0])

    @property
    def usage(self) -> Usage:
        """The tokens of this answer, also where it came from a cache."""
        if self._usage is None:
            self._usage = Usage.of(self.raw.get("usage"))
        return self._usage

    @property
    def cached(self) -> bool:
        """Whether the answer came from a cache tier."""
        return self.cache == "hit"

    def __repr__(self) -> str:
        calls = f", tool_calls={[call.name for call in self.tool_calls]}" if self.tool_calls else ""
        return f"Reply({self.text!r}{calls}, cache={self.cache!r})"


def unanswered(choice: dict[str, Any]) -> str | None:
    """Return why a choice of a chat completion holds neither an answer nor a tool call; None where it does.

    The one place that decides this. An answer that was cut off ("length") is one where it has text.
    """
    message, reason = choice["message"], choice.get("finish_reason")
    if reason == "content_filter":
        return "its answer was filtered (finish_reason content_filter)"
    if message.get("tool_calls"):
        return None
    if refusal := message.get("refusal") or text_of(message, "refusal"):
        return f"it refused: {brief(str(refusal))}"
    if message.get("function_call"):
        return "it called a function in the old way (function_call); use a model or server that speaks tool_calls"
    if text_of(message).strip():
        return None
    if reason == "length":
        return "its tokens were used up before it said anything (finish_reason length); raise max_tokens"
    return f"it said nothing (finish_reason {brief(str(reason))})"


def text_of(message: Mapping[str, Any], kind: str = "text") -> str:
    """Return the text of a message, or of a piece of one: its content, or the parts of it that are of a kind."""
    content = message.get("content")
    if isinstance(content, list):  # parts
        texts = (part.get(kind) for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) and kind == "text" else ""
