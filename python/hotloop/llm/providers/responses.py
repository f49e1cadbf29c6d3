"""OpenAI's Responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ...errors import ModelRequestError, ModelResponseError
from ...toolcall import ToolCall
from ..messages import Reply
from ..stream import Done, StreamEvent, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from ..text import Secrets, brief
from .base import Question, StreamDecoder, refuse_ours
from .items import ITEMS, encode, encode_tools
from .openai import HostedByOpenAI, reported

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ResponsesProvider", "ResponsesStream"]

_UNKNOWN = frozenset(
    {"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "modalities"}
    | {"prediction", "presence_penalty", "seed", "stop"}
)
"""Parameters of chat completions that would change the answer, and that Responses have nothing for."""
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDS = frozenset({"response.completed", "response.incomplete"})


class ResponsesProvider(HostedByOpenAI):
    """A model of a server that speaks OpenAI's Responses.

    Conversations, tools and parameters are taken in the shape of chat completions and translated; parameters that only
    Responses know, such as `reasoning`, `store` or `previous_response_id`, are passed on as they are.

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
    path = "responses"

    def ask(self, messages: list[Any], tools: list[Any], params: Mapping[str, Any], *, stream: bool) -> Question:
        """Return the request.

        Raises:
            ModelRequestError: Responses have no form for a message, a part or a parameter.
        """
        refuse_ours(params)
        head: dict[str, Any] = {"model": self.model}
        for name, value in params.items():
            if value is not None:
                _param(head, name, value)
        if tools:
            head["tools"] = encode_tools(tools)
        if stream:
            head["stream"] = True
        return Question(head, encode(messages, stored=head.get("store") is not False), "input")

    def read(self, raw: bytes | memoryview, question: Question) -> dict[str, Any]:  # noqa: ARG002
        """Return the answer, in the shape of chat completions.

        The response's own `status` stays beside `finish_reason`. Where the answer holds other items than messages and
        function calls, such as reasoning, all of them are the message's `openai_items`, and go back to the server as
        they came with the next request.
        """
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ModelResponseError(f"the server's answer is not JSON but {brief(raw, self.secrets)!r}") from None
        return _completion(said, self.secrets, raw)

    def storable(self, answer: dict[str, Any]) -> bool:
        """Whether the answer is complete, and was not filtered."""
        return bool(answer["choices"][0]["finish_reason"] != "content_filter")

    def stream(self, question: Question) -> ResponsesStream:  # noqa: ARG002
        """Return a decoder for one streamed answer."""
        return ResponsesStream(self.secrets)


def _param(head: dict[str, Any], name: str, value: Any) -> None:
    """Put one parameter into the head of a request, translated where it is of chat completions."""
    if name in _UNKNOWN:
        raise ModelRequestError(f"OpenAI's Responses have no parameter {name!r}; leave it out, or ask openai:MODEL")
    if name in ("max_tokens", "max_completion_tokens"):
        head["max_output_tokens"] = value
    elif name == "n":
        if value != 1:
            raise ModelRequestError(f"n is {value!r}, and OpenAI's Responses give one answer; call as often instead")
    elif name == "reasoning_effort":
        head["reasoning"] = {**head.get("reasoning", {}), "effort": value}
    elif name == "verbosity":
        head["text"] = {**head.get("text", {}), "verbosity": value}
    elif name == "response_format":
        kind = value.get("type") if isinstance(value, dict) else None
        form = {"type": kind, **value["json_schema"]} if kind == "json_schema" else value
        head["text"] = {**head.get("text", {}), "format": form}
    elif name == "tool_choice" and isinstance(value, dict) and isinstance(value.get("function"), dict):
        head["tool_choice"] = {"type": "function", "name": value["function"].get("name")}
    elif name != "stream_options" or set(value) - {"include_usage"}:  # the usage always comes
        head[name] = value


# -- answers -------------------------------------------------------------------------------------------------------


def _completion(said: Any, secrets: Secrets, raw: bytes | memoryview) -> dict[str, Any]:
    """Return a response as a chat completion."""
    if isinstance(said, dict) and (said.get("error") is not None or said.get("type") == "error"):
        raise reported(said.get("error") or said, secrets)
    try:
        status, items = said.get("status", "completed"), said["output"]
        if status not in ("completed", "incomplete"):
            raise ModelResponseError(f"the response is {status!r} and no answer; hotloop does not wait for it")
        parts = [part for item in items if item["type"] == "message" for part in item["content"]]
        text = [_text(part["text"]) for part in parts if part["type"] == "output_text"]
        refusal = [_text(part["refusal"]) for part in parts if part["type"] == "refusal"]
        calls = [_call(item) for item in items if item["type"] == "function_call"]
        reason = "tool_calls" if calls else "stop"
        if status == "incomplete":
            why = str((said.get("incomplete_details") or {}).get("reason") or "length")
            reason = _REASONS.get(why, why)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(text) if text or not calls else None}
        if refusal:
            message["refusal"] = "".join(refusal)
        if calls:
            message["tool_calls"] = calls
        if any(item["type"] not in ("message", "function_call") for item in items):
            message[ITEMS] = items
        choice = {"index": 0, "message": message, "finish_reason": reason, "status": status}
        return {
            "id": said.get("id"),
            "object": "chat.completion",
            "created": said.get("created_at"),
            "model": said.get("model"),
            "choices": [choice],
            "usage": _usage(said.get("usage") or {}),
        }
    except (AttributeError, KeyError, TypeError):
        raise ModelResponseError(
            f"the server's answer is no response of OpenAI's but {brief(raw, secrets)!r}"
        ) from None


def _call(item: dict[str, Any]) -> dict[str, Any]:
    function = {"name": _text(item["name"]), "arguments": _text(item["arguments"])}
    return {"id": _text(item["call_id"]), "type": "function", "function": function}


def _usage(counts: dict[str, Any]) -> dict[str, Any]:
    asked, answered = counts.get("input_tokens") or 0, counts.get("output_tokens") or 0
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": counts.get("input_tokens_details") or {},
        "completion_tokens_details": counts.get("output_tokens_details") or {},
    }


class ResponsesStream(StreamDecoder):
    """Reads the events of one streamed response; its last event holds the whole answer."""

    def __init__(self, secrets: Secrets = ()) -> None:
        super().__init__()
        self._secrets = secrets
        self._calls: dict[int, int] = {}  # place of an item → number of its call
        self._reply: Reply | None = None

    def feed(self, name: bytes, data: bytes) -> list[StreamEvent]:  # noqa: ARG002  (the data says its type itself)
        """Return what one server-sent event says."""
        if self._reply is not None:
            return []
        try:
            event = orjson.loads(data)
            kind = event.get("type")
            if kind == "response.output_text.delta":
                text = _text(event["delta"])
                return [TextDelta(text)] if text else []
            if kind == "response.function_call_arguments.delta":
                return [ToolCallDelta(self._calls[event["output_index"]], _text(event["delta"]))]
            if kind == "response.output_item.added" and event["item"]["type"] == "function_call":
                self._calls[event["output_index"]] = number = len(self._calls)
                return [ToolCallStart(number, _text(event["item"]["call_id"]), _text(event["item"]["name"]))]
            if kind == "response.output_item.done" and event["item"]["type"] == "function_call":
                function = _call(event["item"])
                call = ToolCall(function["function"]["name"], function["function"]["arguments"] or "{}", function["id"])
                return [ToolCallEnd(self._calls[event["output_index"]], call)]
            if kind in _ENDS:
                self._reply = reply = Reply(_completion(event["response"], self._secrets, data))
                return [reply.usage, Done(reply.finish_reason, reply)]
            if kind == "error" or kind == "response.failed" or event.get("error") is not None:
                failed = event.get("response") or event
                raise reported(failed.get("error") or failed, self._secrets)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            raise ModelResponseError(
                f"the server's stream holds no response of OpenAI's but {brief(data, self._secrets)!r}"
            ) from None
        return []

    def finish(self) -> list[StreamEvent]:
        """Check that the end mark came."""
        if self._reply is None:
            raise ModelResponseError("the server's stream ended without its end mark: the answer was cut off")
        return []

    @property
    def storable(self) -> bool:
        """Whether the answer is whole and was not filtered."""
        return self._reply is not None and self._reply.finish_reason != "content_filter"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
