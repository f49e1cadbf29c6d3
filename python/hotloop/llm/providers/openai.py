"""OpenAI's chat completions, as many servers speak them."""

from __future__ import annotations

from codecs import BOM_UTF8
from types import NoneType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from ...errors import ConfigError, MissingKeyError, ModelError, ModelResponseError, ModelStatusError
from ...toolcall import ToolCall
from ..messages import Reply, text_of
from ..stream import Done, StreamEvent, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from ..text import Secrets, brief
from .base import Question, StreamDecoder, refuse_ours
from .desks import OpenAIDesk
from .frame import Frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HostedByOpenAI", "OpenAIProvider", "OpenAIStream", "credential", "endpoint", "read_completion", "reported"]

_VARIABLE = "OPENAI_API_KEY"
_HOSTED = "https://api.openai.com/v1"
_THEIRS = frozenset({"anthropic_content", "openai_items"})
"""What other providers keep in messages for themselves (`blocks.CONTENT`, `items.ITEMS`)."""

_TEXT, _ARGUMENTS, _ID = (str, list, NoneType), (str, dict, NoneType), (str, NoneType)


class HostedByOpenAI:
    """A server that speaks one of OpenAI's protocols, and one model of it.

    Args:
        model: the model's name, as the server knows it.
        base_url: where the server is; None for ``OPENAI_BASE_URL``, or OpenAI's own.
        api_key: the credential; None for ``OPENAI_API_KEY``. A server of one's own may need none.
        environ: the environment variables.

    Raises:
        MissingKeyError: OpenAI's own server, and no key.
        ConfigError: the URL or the key cannot be used.
    """

    name = "openai"
    key_variable: str | None = _VARIABLE
    path = "chat/completions"

    def __init__(self, model: str, base_url: str | None, api_key: str | None, environ: Mapping[str, str]) -> None:
        self.model = model
        self.base = base_url or environ.get("OPENAI_BASE_URL", "").strip() or _HOSTED
        self.identity = endpoint(self.base, self.path)
        self.credential = credential(api_key, _VARIABLE, environ)
        self.secrets = tuple(filter(None, (self.credential,)))
        if not self.credential and self.base.rstrip("/") == _HOSTED:
            raise MissingKeyError(
                f"openai:{model} is a hosted model and needs a key: set {_VARIABLE}, pass api_key, "
                'or use the embedded model "local:smollm2"'
            )

    def headers(self) -> dict[str, str]:
        """Return the header that carries the credential."""
        return {"authorization": f"Bearer {self.credential}"} if self.credential else {}

    async def address(self) -> str:
        """Return the URL that requests go to."""
        return self.identity

    async def aclose(self) -> None:
        """Nothing was started."""

    @property
    def embeddings(self) -> str:
        """The URL that embeddings are asked at."""
        return endpoint(self.base, "embeddings")

    def desk(self) -> OpenAIDesk:
        """Return the form that the provider's batch API has."""
        return OpenAIDesk(self)


class OpenAIProvider(HostedByOpenAI):
    """A model of a server that speaks OpenAI's chat completions; arguments and errors are those of its base."""

    def ask(self, messages: list[Any], tools: list[Any], params: Mapping[str, Any], *, stream: bool) -> Question:
        """Return the request; parameters that are None are left out."""
        head: dict[str, Any] = {"model": self.model}
        if params:
            refuse_ours(params)
            head.update({name: value for name, value in params.items() if value is not None})
        if tools:
            head["tools"] = tools
        if stream:
            if head.get("n", 1) != 1:
                raise TypeError("n is not a parameter of a stream: it gives one answer")
            head["stream"] = True
            head["stream_options"] = {**head.get("stream_options", {}), "include_usage": True}
        return Question(head, own(messages))

    def read(self, raw: bytes | memoryview, question: Question) -> dict[str, Any]:  # noqa: ARG002  (others need the question)
        """Return the answer."""
        return read_completion(raw, self.secrets)

    def storable(self, answer: dict[str, Any]) -> bool:
        """Whether no choice was filtered."""
        return all(choice.get("finish_reason") != "content_filter" for choice in answer["choices"])

    def stream(self, question: Question) -> OpenAIStream:  # noqa: ARG002
        """Return a decoder for one streamed answer."""
        return OpenAIStream(self.secrets)


def own(messages: list[Any]) -> list[Any]:
    """Return the messages without what other providers keep in them for themselves."""
    for message in messages:
        if type(message) is dict and len(message) > 2 and not _THEIRS.isdisjoint(message):
            break
    else:
        return messages
    return [_own(message) if isinstance(message, dict) else message for message in messages]


def _own(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in _THEIRS}


def credential(api_key: str | None, variable: str, environ: Mapping[str, str]) -> str:
    """Return the key that the caller or the environment gives; empty for none.

    Raises:
        ConfigError: no header can carry it.
    """
    found = (environ.get(variable, "") if api_key is None else api_key).strip()
    if not (found.isascii() and found.isprintable()):
        raise ConfigError(f"the API key (api_key or {variable}) holds characters that no header can carry")
    return found


def endpoint(base: str, path: str) -> str:
    """Return the URL of `path` under `base`, whose query is kept.

    Raises:
        ConfigError: `base` is no URL that can be asked.
    """
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        *_, shown = base.partition("?")[0].rpartition("@")  # no credential in the text
        raise ConfigError(f"the base URL {brief(shown)!r} is none: write it as in https://host:port/v1")
    if "@" in parts.netloc:
        raise ConfigError(f"the base URL of {parts.hostname} holds a credential; pass it as api_key")
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path}", parts.query, ""))


def read_completion(raw: bytes | memoryview, secrets: Secrets = ()) -> dict[str, Any]:
    """Decode a whole chat completion; what is said of others is said without `secrets`.

    Raises:
        ModelError: the bytes report an error, or are something else.
    """
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        if raw[:3] == BOM_UTF8:
            return read_completion(raw[3:], secrets)
        raise ModelResponseError(f"the server's answer is not JSON but {brief(raw, secrets)!r}") from None
    if not isinstance(answer, dict):
        raise ModelResponseError(f"the server's answer is no chat completion but {brief(raw, secrets)!r}")
    if answer.get("error") is not None:
        raise reported(answer["error"], secrets)
    try:
        whole = bool(choices := answer["choices"])
        for choice in choices:
            whole = whole and _is_message(choice["message"])
            choice["message"]["role"] = "assistant"  # some servers leave it out, or have a word of their own
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise ModelResponseError(f"the server's answer is no chat completion but {brief(raw, secrets)!r}")
    return answer


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("content"), _TEXT):
        return False
    calls = message.get("tool_calls")
    return not calls or all(
        isinstance(call["function"]["name"], str)
        and isinstance(call["function"].get("arguments"), _ARGUMENTS)
        and isinstance(call.get("id"), _ID)
        for call in calls
    )


def reported(error: Any, secrets: Secrets) -> ModelError:
    """Return the exception for an error that a server reports where an answer should be."""
    detail = error.get("message") if isinstance(error, dict) else error
    code = error.get("code") if isinstance(error, dict) else None
    said = detail if isinstance(detail, str) else orjson.dumps(error)
    text = f"the server reported an error: {brief(said, secrets)}"
    if isinstance(code, int) and 400 <= code < 600:
        return ModelStatusError(text, code)
    return ModelResponseError(text)


class OpenAIStream(StreamDecoder):
    """Reads the chunks of one streamed chat completion and puts the whole answer together."""

    def __init__(self, secrets: Secrets = ()) -> None:
        super().__init__()
        self._secrets = secrets
        self._answer: dict[str, Any] = {}
        self._message: dict[str, Any] = {"role": "assistant", "content": None}
        self._text: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._arguments: list[list[str]] = []
        self._places: dict[int, int] = {}  # the server's index of a call → its place in `_calls`
        self._reason: str | None = None
        self._done = False
        self._frame = Frame(self._reader, _piece)

    def text(self, text: str) -> Sequence[StreamEvent]:
        """Return what an event says that is nothing but a piece of text."""
        if self._done:
            return ()
        self._text.append(text)
        return (TextDelta(text),)

    def feed(self, name: bytes, data: bytes) -> Sequence[StreamEvent]:
        """Return what one server-sent event says."""
        if self._done:
            return ()
        if data == b"[DONE]":
            return self._end()
        try:
            chunk = orjson.loads(data)
            if name == b"error" or chunk.get("error") is not None:
                raise reported(chunk.get("error", chunk), self._secrets)
            if self._answer and (text := _piece(chunk)):
                if not name:
                    self._frame.learn(data, text)
                return self.text(text)
            events: list[StreamEvent] = []
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    self._choice(choice, events)
            for key, value in chunk.items():
                # some servers begin with a chunk that names neither itself nor the model
                if key not in ("choices", "usage") and not self._answer.get(key):
                    self._answer[key] = value
            if chunk.get("usage") is not None:
                self._answer["usage"] = chunk["usage"]
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            if data.strip() == b"[DONE]":
                return self._end()
            raise ModelResponseError(
                f"the server's stream holds no chat completion but {brief(data, self._secrets)!r}"
            ) from None
        return events

    def _choice(self, choice: dict[str, Any], events: list[StreamEvent]) -> None:
        for field, value in (choice.get("delta") or {}).items():
            if field == "content":
                if type(value) is list:  # parts, of which some are thoughts
                    value = text_of(choice["delta"])
                if value:
                    if type(value) is not str:
                        raise TypeError
                    events.append(TextDelta(value))
                    self._text.append(value)
            elif field == "tool_calls":
                for piece in value or ():
                    self._call(piece, events)
            elif isinstance(value, str) and field != "role":  # refusal, reasoning_content
                self._message[field] = self._message.get(field, "") + value
        self._reason = choice.get("finish_reason") or self._reason

    def _call(self, piece: dict[str, Any], events: list[StreamEvent]) -> None:
        function = piece.get("function") or {}
        identity = piece.get("id")
        index = piece.get("index") or 0
        place = self._places.get(index)
        # Some servers number every call 0; a new identifier tells them apart.
        known = None if place is None else self._calls[place]["id"]
        if place is None or (identity and known and function.get("name") and identity != known):
            place = self._places[index] = len(self._calls)
            name = _text(function["name"])
            self._calls.append({"id": identity, "type": "function", "function": {"name": name, "arguments": ""}})
            self._arguments.append([])
            events.append(ToolCallStart(place, identity, name))
        elif identity and not self._calls[place]["id"]:
            self._calls[place]["id"] = identity  # said later than the name
        if text := function.get("arguments"):
            self._arguments[place].append(_text(text))
            events.append(ToolCallDelta(place, text))

    def _end(self) -> list[StreamEvent]:
        self._done = True
        events: list[StreamEvent] = []
        if self._text:
            self._message["content"] = "".join(self._text)
        if self._calls:
            self._message["tool_calls"] = self._calls
        for place, call in enumerate(self._calls):
            function = call["function"]
            function["arguments"] = "".join(self._arguments[place])
            events.append(ToolCallEnd(place, ToolCall(function["name"], function["arguments"] or "{}", call["id"])))
        choice = {"index": 0, "message": self._message, "finish_reason": self._reason}
        reply = Reply({**self._answer, "object": "chat.completion", "choices": [choice]})
        events += (reply.usage, Done(self._reason, reply))
        return events

    def finish(self) -> Sequence[StreamEvent]:
        """Take the end for the end mark, which some servers leave out, where the answer itself has ended."""
        if not self._done and self._reason is None:
            raise ModelResponseError("the server's stream ended without its end mark: the answer was cut off")
        return self.feed(b"", b"[DONE]")

    @property
    def storable(self) -> bool:
        """Whether the answer is whole and was not filtered."""
        return self._done and self._reason not in (None, "content_filter")


def _piece(chunk: dict[str, Any]) -> str | None:
    """Return the text of a chunk that says nothing else; None for any other."""
    choices = chunk.get("choices")
    if not choices or len(choices) != 1 or chunk.get("usage") is not None or chunk.get("error") is not None:
        return None
    choice = choices[0]
    delta = choice.get("delta")
    if not delta or len(delta) != 1 or choice.get("index") or choice.get("finish_reason"):
        return None
    text = delta.get("content")
    return text if type(text) is str else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
