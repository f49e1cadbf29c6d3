"""Requests and answers of the four endpoints that hotloop knows."""

import json

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
}
STREAMING = ("chat", "responses", "messages")


def ask(endpoint: str, text: str = "hi", **fields) -> dict:
    """A deterministic request."""
    if endpoint == "embeddings":
        return {"model": "m", "input": text, **fields}
    body = {"model": "m", "temperature": 0, **fields}
    if endpoint == "responses":
        return {**body, "input": text}
    return {
        **body,
        "messages": [{"role": "user", "content": text}],
        **({"max_tokens": 9} if endpoint == "messages" else {}),
    }


def answer(endpoint: str, text: str = "hello", **fields) -> dict:
    """A whole, good answer."""
    if endpoint == "chat":
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        } | fields
    if endpoint == "responses":
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        usage = {
            "input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        return {
            "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage, "error": None,
        } | fields  # fmt: skip
    if endpoint == "embeddings":
        item = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
        return {
            "object": "list",
            "model": "m",
            "data": [item],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        } | fields
    usage = {"input_tokens": 3, "output_tokens": 2}
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
    } | fields  # fmt: skip


def event(value: dict | str, name: str = "") -> bytes:
    """One server-sent event."""
    data = value if isinstance(value, str) else json.dumps(value)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def events(endpoint: str, text: str = "hello") -> list[bytes]:
    """A whole, good stream, event by event."""
    if endpoint == "chat":

        def chunk(delta: dict, finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return event(
                {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            )

        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
        pieces = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": letter}) for letter in text)]
        return [*pieces, chunk({}, "stop"), event(last), event("[DONE]")]
    if endpoint == "responses":
        whole = answer("responses", text)
        made = {
            "type": "response.created",
            "sequence_number": 0,
            "response": {**whole, "status": "in_progress", "output": [], "usage": None},
        }
        deltas = [
            {"type": "response.output_text.delta", "sequence_number": n + 1, "item_id": "i", "output_index": 0,
             "content_index": 0, "delta": letter, "logprobs": []}
            for n, letter in enumerate(text)
        ]  # fmt: skip
        done = {"type": "response.completed", "sequence_number": len(text) + 1, "response": whole}
        return [event(value, value["type"]) for value in (made, *deltas, done)]
    start = {"type": "message_start", "message": {**answer("messages"), "content": [], "stop_reason": None}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": c}} for c in text]
    stop = {"type": "content_block_stop", "index": 0}
    delta = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    }
    values = (start, block, {"type": "ping"}, *deltas, stop, delta, {"type": "message_stop"})
    return [event(value, value["type"]) for value in values]
