"""A conversation in the shape of chat completions as the input items of OpenAI's Responses."""

from __future__ import annotations

from typing import Any

from ...errors import ModelRequestError

__all__ = ["ITEMS", "encode", "encode_tools"]

ITEMS = "openai_items"
"""The field of an assistant's message that holds all of an answer's items, as they came."""

_NATIVE = frozenset({"input_text", "input_image", "input_file", "output_text", "refusal"})


def encode(messages: list[Any], *, stored: bool) -> list[dict[str, Any]]:
    """Return the input items.

    Args:
        messages: the conversation.
        stored: whether the server remembers what it answered; where not, it knows a reasoning item only by its
            encrypted content.

    Raises:
        ModelRequestError: a message or part has no form in Responses.
    """
    items: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        try:
            role, content = message["role"], message.get("content")
        except (KeyError, TypeError, AttributeError):
            raise ModelRequestError(f"{where} is no message: it has no role") from None
        if role in ("system", "developer", "user"):
            items.append({"role": role, "content": _content(content, where)})
        elif role == "tool":
            output = content if isinstance(content, str | None) else _content(content, where)
            call = message.get("tool_call_id")
            if not isinstance(call, str):
                raise ModelRequestError(f"{where} is a tool's and says no tool_call_id")
            items.append({"type": "function_call_output", "call_id": call, "output": output or ""})
        elif role == "assistant":
            items += _said(message, where, stored=stored)
        else:
            raise ModelRequestError(f"{where} has the role {role!r}; there are system, user, assistant and tool")
    if not items:
        raise ModelRequestError("there is no message")
    return items


def _content(content: Any, where: str) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise ModelRequestError(f"{where} has no content; it is a text, or a list of parts")
    return [_part(part, f"{where}.content[{place}]") for place, part in enumerate(content)]


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _NATIVE:
        return part  # type: ignore[no-any-return]
    try:
        if kind == "text":
            return {"type": "input_text", "text": part["text"]}
        if kind == "image_url":
            source = part["image_url"]
            source = {"url": source} if isinstance(source, str) else source
            return {"type": "input_image", "image_url": source["url"], "detail": source.get("detail", "auto")}
        if kind == "file":
            return {"type": "input_file", **part["file"]}
    except (KeyError, TypeError, AttributeError):
        raise ModelRequestError(f"{where} is no {kind} as OpenAI describes it") from None
    raise ModelRequestError(f"{where} is a part of type {kind!r}, for which OpenAI's Responses have no form")


def _said(message: Any, where: str, *, stored: bool) -> list[dict[str, Any]]:
    """Return an assistant's message as items: as they came, where they are there and nobody changed the message."""
    text, calls = _plain(message.get("content"), where), message.get("tool_calls") or ()
    kept = message.get(ITEMS)
    if kept is not None:
        parts = [part for item in kept if item["type"] == "message" for part in item["content"]]
        same = [item["call_id"] for item in kept if item["type"] == "function_call"] == [c.get("id") for c in calls]
        if same and "".join(part.get("text", "") for part in parts) == text:
            return [item for item in kept if stored or item["type"] != "reasoning" or item.get("encrypted_content")]
    items: list[dict[str, Any]] = [{"role": "assistant", "content": text}] if text or not calls else []
    for call in calls:
        try:
            function = call["function"]
            arguments = function.get("arguments") or "{}"
            item = {"call_id": call["id"], "name": function["name"], "arguments": arguments}
        except (KeyError, TypeError, AttributeError):
            raise ModelRequestError(f"{where} holds a tool call without id, name or arguments") from None
        items.append({"type": "function_call", **item})
    return items


def _plain(content: Any, where: str) -> str:
    """Return what the assistant said as text; the images of a user it cannot have said."""
    if isinstance(content, str | None):
        return content or ""
    try:
        return "".join(part["text"] if part["type"] in ("text", "output_text") else part["refusal"] for part in content)
    except (KeyError, TypeError):
        raise ModelRequestError(f"{where} is the assistant's and holds something else than text") from None


def encode_tools(tools: list[Any]) -> list[Any]:
    """Return function tools in the shape of Responses; tools in another shape are passed on."""
    return [
        {"type": "function", "strict": False, "parameters": {"type": "object", "properties": {}}, **tool["function"]}
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
        else tool
        for tool in tools
    ]
