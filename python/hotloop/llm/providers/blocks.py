"""A conversation in OpenAI's shape as Anthropic's system prompt, messages and blocks."""

from __future__ import annotations

from typing import Any

import orjson

from ...errors import ModelRequestError

__all__ = ["CONTENT", "encode", "encode_tools"]

CONTENT = "anthropic_content"
"""The field of an assistant's message that holds all of an answer's blocks, as they came."""

_NATIVE = frozenset({"text", "image", "document", "search_result", "tool_result", "container_upload"})


def encode(messages: list[Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Return the system prompt (empty for none) and the messages.

    System messages at the beginning are the system prompt; later ones stay where they are. Results of tools, and
    messages of one side that follow each other, become one message.

    Raises:
        ModelRequestError: a message or part has no form at Anthropic, or the order of messages is not allowed there.
    """
    system: list[Any] = []
    talk: list[dict[str, Any]] = []
    waiting: dict[str, str] = {}  # calls without a result, and their tools
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        try:
            role, content = message["role"], message.get("content")
        except (KeyError, TypeError, AttributeError):
            raise ModelRequestError(f"{where} is no message: it has no role") from None
        if role == "tool":
            _add(talk, "user", [_result(message, waiting, where)])
            continue
        if waiting and role != "system":
            raise _unanswered(waiting, f"{where} comes before")
        if role in ("system", "developer"):
            if talk:
                _add(talk, "system", _content(content, where))
            else:
                system.append(_content(content, where))
        elif role == "user":
            _add(talk, "user", _content(content, where))
        elif role == "assistant":
            if not talk:
                raise ModelRequestError(f"{where} is the assistant's; Anthropic's conversations begin with the user")
            blocks = _said(message, where)
            waiting = {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
            _add(talk, "assistant", blocks)
        else:
            raise ModelRequestError(f"{where} has the role {role!r}; there are system, user, assistant and tool")
    if waiting:
        raise _unanswered(waiting, "there is no message with")
    if not talk:
        raise ModelRequestError("there is no message of the user; Anthropic's conversations begin with one")
    if len(system) == 1:
        return system[0], talk
    return [block for content in system for block in _blocks(content)], talk


def _unanswered(waiting: dict[str, str], which: str) -> ModelRequestError:
    identity, name = next(iter(waiting.items()))
    return ModelRequestError(f"{which} the result of the call {identity!r} of {name}; each call needs its tool message")


def _add(talk: list[dict[str, Any]], role: str, content: Any) -> None:
    if talk and talk[-1]["role"] == role:
        content = [*_blocks(talk.pop()["content"]), *_blocks(content)]
    talk.append({"role": role, "content": content})


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _content(content: Any, where: str) -> Any:
    """Return a message's content: text as it is, parts as blocks."""
    if isinstance(content, str):
        if not content:
            raise ModelRequestError(f"{where} is empty; Anthropic takes no empty text")
        return content
    if not isinstance(content, list | tuple) or not content:
        raise ModelRequestError(f"{where} has no content; it is a text, or a list of parts")
    return [_part(part, f"{where}.content[{place}]") for place, part in enumerate(content)]


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _NATIVE:
        return part  # type: ignore[no-any-return]  # with its cache_control, where it has one
    try:
        if kind == "image_url":
            source = part["image_url"]
            url = source if isinstance(source, str) else source["url"]
            return _marked({"type": "image", "source": _source(url, where)}, part)
        if kind == "file":
            file = part["file"]
            if "file_data" in file:
                document = {"type": "document", "source": _source(file["file_data"], where)}
                return _marked({**document, "title": file["filename"]} if "filename" in file else document, part)
            return _marked({"type": "document", "source": {"type": "file", "file_id": file["file_id"]}}, part)
    except (KeyError, TypeError, AttributeError):
        raise ModelRequestError(f"{where} is no {kind} as OpenAI describes it") from None
    raise ModelRequestError(f"{where} is a part of type {kind!r}, for which Anthropic's messages have no form")


def _marked(block: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return {**block, "cache_control": part["cache_control"]} if "cache_control" in part else block


def _source(url: str, where: str) -> dict[str, Any]:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, comma, data = url[5:].partition(",")
    kind, _, coding = head.partition(";")
    if not comma or coding != "base64" or not kind:
        raise ModelRequestError(f"{where} holds a data URL that is not data:TYPE;base64,DATA")
    return {"type": "base64", "media_type": kind, "data": data}


def _result(message: Any, waiting: dict[str, str], where: str) -> dict[str, Any]:
    """Return a tool's message as a block."""
    identity = message.get("tool_call_id")
    if waiting.pop(identity, None) is None:
        raise ModelRequestError(f"{where} is the result of the call {identity!r}, which no message before it asks for")
    content = message.get("content")
    if isinstance(content, list | tuple):
        content = [_part(part, f"{where}.content[{place}]") for place, part in enumerate(content)]
    block = {"type": "tool_result", "tool_use_id": identity, "content": content or ""}
    return _marked({**block, "is_error": True} if message.get("is_error") else block, message)


def _said(message: Any, where: str) -> list[Any]:
    """Return an assistant's message as blocks: as they came, where they are there and nobody changed the message."""
    content, calls = message.get("content"), message.get("tool_calls") or ()
    kept = message.get(CONTENT)
    if kept is not None:
        text = "".join(block["text"] for block in kept if block["type"] == "text")
        same = [block["id"] for block in kept if block["type"] == "tool_use"] == [call.get("id") for call in calls]
        if same and text == (content or ""):
            return list(kept)
    blocks = list(_blocks(_content(content, where))) if content else []
    for call in calls:
        try:
            function = call["function"]
            blocks.append(
                {
                    "type": "tool_use",
                    "id": call["id"],
                    "name": function["name"],
                    "input": _arguments(function.get("arguments")),
                }
            )
        except (KeyError, TypeError, AttributeError):
            raise ModelRequestError(f"{where} holds a tool call without id, name or arguments") from None
    if not blocks:
        raise ModelRequestError(f"{where} is empty; Anthropic takes no empty message of the assistant")
    return blocks


def _arguments(text: Any) -> dict[str, Any]:
    """Return a call's arguments as an object; what a model wrote that is none stays as text: the talk must go on."""
    if isinstance(text, dict):
        return text
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"malformed": text}


def encode_tools(tools: list[Any]) -> list[Any]:
    """Return function tools in Anthropic's shape; tools in another shape are passed on."""
    return [_tool(tool) if isinstance(tool, dict) and "function" in tool else tool for tool in tools]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    more = {field: function[field] for field in ("description", "strict") if function.get(field) is not None}
    return _marked({"name": function["name"], **more, "input_schema": schema}, tool)
