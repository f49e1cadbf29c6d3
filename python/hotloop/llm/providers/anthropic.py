"""Anthropic's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from ...errors import MissingKeyError, ModelError, ModelRequestError, ModelResponseError, ModelStatusError
from ...toolcall import ToolCall
from ..messages import Reply
from ..schema import noted_for_anthropic
from ..stream import Done, StreamEvent, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from ..text import Secrets, brief
from .base import Question, StreamDecoder, refuse_ours
from .blocks import CONTENT, encode, encode_tools
from .desks import AnthropicDesk
from .openai import credential, endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AnthropicProvider", "AnthropicStream", "reported"]

_VARIABLE = "ANTHROPIC_API_KEY"
_HOSTED = "https://api.anthropic.com"
_VERSION = "2023-06-01"
_ANSWER_TOKENS = 4096
"""What `max_tokens` is where nobody says; every Claude model can give as much."""

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNKNOWN = frozenset(
    {"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "modalities"}
    | {"prediction", "presence_penalty", "seed", "store", "top_logprobs", "verbosity"}
)
"""Parameters of OpenAI's that would change the answer, and that Anthropic has nothing for."""
_EFFORTS = ("low", "medium", "high", "xhigh", "max")


class AnthropicProvider:
    """A Claude model, or another of a server that speaks Anthropic's messages.

    Conversations, tools and parameters are taken in OpenAI's shape and translated; parameters that only Anthropic
    knows, such as `thinking` or `top_k`, are passed on as they are.

    Args:
        model: the model's name, as the server knows it.
        base_url: where the server is; None for ``ANTHROPIC_BASE_URL``, or Anthropic's own.
        api_key: the credential; None for ``ANTHROPIC_API_KEY``. A server of one's own may need none.
        environ: the environment variables.

    Raises:
        MissingKeyError: Anthropic's own server, and no key.
        ConfigError: the URL or the key cannot be used.
    """

    name = "anthropic"
    key_variable: str | None = _VARIABLE
    embeddings: str | None = None  # Anthropic has none

    def __init__(self, model: str, base_url: str | None, api_key: str | None, environ: Mapping[str, str]) -> None:
        self.model = model
        base = base_url or environ.get("ANTHROPIC_BASE_URL", "").strip() or _HOSTED
        versioned = urlsplit(base).path.rstrip("/").endswith("/v1")  # its SDK adds the version; others write it
        self.identity = endpoint(base, "messages" if versioned else "v1/messages")
        self.credential = credential(api_key, _VARIABLE, environ)
        self.secrets = tuple(filter(None, (self.credential,)))
        if not self.credential and base.rstrip("/").removesuffix("/v1") == _HOSTED:
            raise MissingKeyError(
                f"anthropic:{model} is a hosted model and needs a key: set {_VARIABLE}, pass api_key, "
                'or use the embedded model "local:smollm2"'
            )

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the credential and the version of the protocol."""
        version = {"anthropic-version": _VERSION}
        return {**version, "x-api-key": self.credential} if self.credential else version

    def ask(self, messages: list[Any], tools: list[Any], params: Mapping[str, Any], *, stream: bool) -> Question:
        """Return the request, with 4096 `max_tokens` where `params` say nothing else.

        Raises:
            ModelRequestError: Anthropic has no form for a message, a part or a parameter.
        """
        refuse_ours(params)
        head: dict[str, Any] = {"model": self.model, "max_tokens": _ANSWER_TOKENS}
        for name, value in params.items():
            if value is not None:
                _param(head, name, value)
        if tools:
            head["tools"] = encode_tools(tools)
        if "parallel_tool_calls" in params and params["parallel_tool_calls"] is False and tools:
            head["tool_choice"] = {"type": "auto", **head.get("tool_choice", {}), "disable_parallel_tool_use": True}
        if stream:
            head["stream"] = True
        system, talk = encode(messages)
        if system:
            if "system" in params:
                raise ModelRequestError("the system prompt is both a message and the parameter system; give it once")
            head["system"] = system
        return Question(head, talk)

    async def address(self) -> str:
        """Return the URL that requests go to."""
        return self.identity

    async def aclose(self) -> None:
        """Nothing was started."""

    def read(self, raw: bytes | memoryview, question: Question) -> dict[str, Any]:  # noqa: ARG002
        """Return the answer, in the shape of OpenAI's chat completions.

        Anthropic's own `stop_reason` and `stop_sequence` stay beside `finish_reason`. Where the answer holds other
        blocks than text and tool calls, such as thinking, all of them are the message's `anthropic_content`, and go
        back to the server as they came with the next request.
        """
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ModelResponseError(f"the server's answer is not JSON but {brief(raw, self.secrets)!r}") from None
        if isinstance(said, dict) and (said.get("type") == "error" or said.get("error") is not None):
            raise reported(said.get("error"), self.secrets)
        return _completion(said, brief(raw, self.secrets))

    def desk(self) -> AnthropicDesk:
        """Return the form that the provider's batch API has."""
        return AnthropicDesk(self)

    def storable(self, answer: dict[str, Any]) -> bool:
        """Whether the answer ended by itself, and was not refused."""
        return _good(answer["choices"][0]["stop_reason"])

    def stream(self, question: Question) -> AnthropicStream:  # noqa: ARG002
        """Return a decoder for one streamed answer."""
        return AnthropicStream(self.secrets)


def _good(reason: str | None) -> bool:
    return reason not in (None, "refusal", "pause_turn")


def _param(head: dict[str, Any], name: str, value: Any) -> None:
    """Put one parameter into the head of a request, translated where it is OpenAI's."""
    if name in _UNKNOWN:
        raise ModelRequestError(f"Anthropic's messages have no parameter {name!r}; leave it out for this model")
    if name in ("max_tokens", "max_completion_tokens"):
        head["max_tokens"] = value
    elif name == "n":
        if value != 1:
            raise ModelRequestError(f"n is {value!r}, and Anthropic's messages give one answer; call as often instead")
    elif name == "stop":
        head["stop_sequences"] = [value] if isinstance(value, str) else value
    elif name == "user":
        head["metadata"] = {"user_id": value}
    elif name == "tool_choice":
        head["tool_choice"] = _choice(value)
    elif name == "response_format":
        _format(head, value)
    elif name == "reasoning_effort":
        effort = "low" if value == "minimal" else value
        if effort not in _EFFORTS:
            raise ModelRequestError(f"reasoning_effort is {value!r}; Anthropic knows {', '.join(_EFFORTS)}")
        head["output_config"] = {**head.get("output_config", {}), "effort": effort}
    elif name == "output_config":
        head["output_config"] = {**head.get("output_config", {}), **value}
    elif name not in ("parallel_tool_calls", "stream_options"):  # dealt with, and always so
        head[name] = value


def _choice(value: Any) -> Any:
    if isinstance(value, str):
        known = {"auto": "auto", "required": "any", "none": "none"}
        if value not in known:
            raise ModelRequestError(f'tool_choice is {value!r}; it is "auto", "required", "none" or a named tool')
        return {"type": known[value]}
    if isinstance(value, dict) and value.get("type") == "function":
        return {"type": "tool", "name": (value.get("function") or value).get("name")}
    return value


def _format(head: dict[str, Any], value: Any) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_schema":
        form = {"type": "json_schema", "schema": noted_for_anthropic(value["json_schema"]["schema"])}
        head["output_config"] = {**head.get("output_config", {}), "format": form}
    elif kind != "text":
        raise ModelRequestError(f"Anthropic's messages have no response_format {kind!r}; give a JSON schema instead")


# -- answers -------------------------------------------------------------------------------------------------------


def _completion(said: Any, shown: str) -> dict[str, Any]:
    """Return a message of Anthropic's as a chat completion."""
    try:
        blocks = said["content"]
        text = [_text(block["text"]) for block in blocks if block["type"] == "text"]
        calls = [
            {
                "id": _text(block["id"]),
                "type": "function",
                "function": {"name": _text(block["name"]), "arguments": orjson.dumps(block["input"]).decode()},
            }
            for block in blocks
            if block["type"] == "tool_use"
        ]
        reason = said.get("stop_reason")
        message: dict[str, Any] = {"role": "assistant", "content": "".join(text) if text or not calls else None}
        if calls:
            message["tool_calls"] = calls
        if len(text) + len(calls) != len(blocks):
            message[CONTENT] = blocks
        return {
            "id": said.get("id"),
            "object": "chat.completion",
            "model": said.get("model"),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": _REASONS.get(reason, reason),
                    "stop_reason": reason,
                    "stop_sequence": said.get("stop_sequence"),
                }
            ],
            "usage": _usage(said.get("usage") or {}),
        }
    except (AttributeError, KeyError, TypeError):
        raise ModelResponseError(f"the server's answer is no message of Anthropic's but {shown!r}") from None


def _usage(counts: dict[str, Any]) -> dict[str, Any]:
    """Return Anthropic's counts in OpenAI's shape, whose `prompt_tokens` are all tokens of the request."""
    read, written = counts.get("cache_read_input_tokens") or 0, counts.get("cache_creation_input_tokens") or 0
    asked, answered = (counts.get("input_tokens") or 0) + read + written, counts.get("output_tokens") or 0
    details = counts.get("output_tokens_details") or {}
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": details.get("thinking_tokens") or 0},
    }


def reported(error: Any, secrets: Secrets) -> ModelError:
    """Return the exception for an error that the server reports where an answer should be."""
    kind, detail = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, error)
    said = detail if isinstance(detail, str) else orjson.dumps(error)
    text = f"the server reported an error: {brief(said, secrets)}"
    status = _STATUS.get(kind) if isinstance(kind, str) else None
    return ModelResponseError(text) if status is None else ModelStatusError(text, status)


class AnthropicStream(StreamDecoder):
    """Reads the events of one streamed message and puts the whole answer together."""

    def __init__(self, secrets: Secrets = ()) -> None:
        super().__init__()
        self._secrets = secrets
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}  # of the text that a block's deltas bring
        self._calls: dict[int, int] = {}  # index of a block → number of its call
        self._done = False

    def feed(self, name: bytes, data: bytes) -> list[StreamEvent]:  # noqa: ARG002  (the data says its type itself)
        """Return what one server-sent event says."""
        if self._done:
            return []
        try:
            event = orjson.loads(data)
            kind = event.get("type")
            if kind == "content_block_delta":
                return self._delta(event["index"], event["delta"])
            if kind == "content_block_start":
                return self._begin(event["index"], event["content_block"])
            if kind == "content_block_stop":
                return self._end_block(event["index"])
            if kind == "message_start":
                self._message = event["message"]
            elif kind == "message_delta":
                self._message.update({name: value for name, value in event["delta"].items() if value is not None})
                counts = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
                self._message["usage"] = {**(self._message.get("usage") or {}), **counts}
            elif kind == "message_stop":
                return self._end()
            elif kind == "error" or event.get("error") is not None:
                raise reported(event.get("error"), self._secrets)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            raise ModelResponseError(
                f"the server's stream holds no message of Anthropic's but {brief(data, self._secrets)!r}"
            ) from None
        return []

    def _begin(self, index: int, block: dict[str, Any]) -> list[StreamEvent]:
        self._blocks[index] = block
        self._pieces[index] = []
        if block["type"] != "tool_use":
            return []
        self._calls[index] = number = len(self._calls)
        return [ToolCallStart(number, _text(block["id"]), _text(block["name"]))]

    def _delta(self, index: int, delta: dict[str, Any]) -> list[StreamEvent]:
        kind = delta["type"]
        if kind == "text_delta":
            text = _text(delta["text"])
            self._pieces[index].append(text)
            return [TextDelta(text)] if text else []
        if kind == "input_json_delta":
            piece = _text(delta["partial_json"])
            self._pieces[index].append(piece)
            return [ToolCallDelta(self._calls[index], piece)] if piece and index in self._calls else []
        if kind == "thinking_delta":
            self._pieces[index].append(_text(delta["thinking"]))
        elif kind == "signature_delta":
            self._blocks[index]["signature"] = delta["signature"]
        elif kind == "citations_delta":
            self._blocks[index]["citations"] = [*(self._blocks[index].get("citations") or ()), delta["citation"]]
        return []

    def _end_block(self, index: int) -> list[StreamEvent]:
        block, text = self._blocks[index], "".join(self._pieces.pop(index))
        if block["type"] in ("text", "thinking"):
            block[block["type"]] = block.get(block["type"], "") + text
        elif text:
            block["input"] = orjson.loads(text)
        if index not in self._calls:
            return []
        call = ToolCall(block["name"], text or orjson.dumps(block.get("input") or {}).decode(), block["id"])
        return [ToolCallEnd(self._calls[index], call)]

    def _end(self) -> list[StreamEvent]:
        if self._pieces:
            raise KeyError  # a block that was begun and not ended
        self._done = True
        self._message["content"] = [self._blocks[index] for index in sorted(self._blocks)]
        reply = Reply(_completion(self._message, "nothing that is whole"))
        return [reply.usage, Done(reply.finish_reason, reply)]

    def finish(self) -> list[StreamEvent]:
        """Check that the end mark came."""
        if not self._done:
            raise ModelResponseError("the server's stream ended without its end mark: the answer was cut off")
        return []

    @property
    def storable(self) -> bool:
        """Whether the answer is whole, and was not refused."""
        return self._done and _good(self._message.get("stop_reason"))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
