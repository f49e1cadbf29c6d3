"""Which answers may be stored, and what of them."""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from .._core import SSEReader

if TYPE_CHECKING:
    from .asks import Endpoint

__all__ = ["data_of", "kept", "replayed", "unpacked", "whole"]

# What a replay gives again. Left out is what was true only then (rate limits, cookies, ages), what belongs to the
# connection, and all that nobody here has heard of.
_KEPT = frozenset(
    {
        "content-encoding",
        "content-language",
        "content-type",
        "date",
        "openai-model",
        "openai-processing-ms",
        "openai-version",
        "request-id",
        "x-request-id",
    }
)

_SHOWN = frozenset(name.encode() for name in _KEPT)
_READ = {name.encode(): name for name in (*_KEPT, "cache-control", "content-length", "vary")}

# An answer is stored only when it ended by itself. Others were cut off (length, max_tokens, pause_turn), filtered
# (content_filter, refusal), failed, or ended for a reason that nobody here has heard of.
_GOOD_ENDS = frozenset(
    {"stop", "tool_calls", "function_call", "end_turn", "tool_use", "stop_sequence", "eos", "eos_token"}
)


Decode = Callable[[bytes, str], bytes]
_MOST = 1 << 28  # bytes of an answer that is worth unpacking


def kept(status: int, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return what is stored beside the bytes of an answer, from its status and its raw headers."""
    meta = {"status": str(status)}
    for raw, value in headers:
        low = raw.lower()
        name = _READ.get(low)
        if name is None:
            continue
        text = value.decode("latin-1")
        if low in _SHOWN:
            if text.isascii():  # else it could not be given again
                meta[name] = f"{meta[name]}, {text}" if name in meta else text
        elif low == b"content-length":
            meta["length"] = text
        elif low == b"cache-control":
            if "no-store" in text.lower():
                meta["no-store"] = "1"
        else:
            names = {one.strip().lower() for one in f"{meta.get('vary', '')},{text}".split(",")}
            if "*" in names:
                meta["no-store"] = "1"
            if names := names - {"", "accept-encoding"}:  # which encodings are accepted is looked at by itself
                meta["vary"] = ",".join(sorted(names))
    return meta


def replayed(meta: Mapping[str, str], payload: bytes, age: float) -> list[tuple[str, str]]:
    """Return the headers of a stored answer."""
    headers = [(name, value) for name, value in meta.items() if name in _KEPT]
    if "length" in meta:
        headers.append(("content-length", str(len(payload))))
    headers.append(("age", str(int(age))))
    return headers


def whole(
    endpoint: Endpoint,
    streamed: bool,
    payload: bytes,
    meta: Mapping[str, str],
    decode: Decode,
) -> bool:
    """Whether the bytes of an answer are all of it, and it is good.

    Args:
        endpoint: what was asked.
        streamed: whether a stream was asked for.
        payload: the bytes as they came.
        meta: what `kept` made of its head.
        decode: undoes the content encodings that the standard library does not know.
    """
    if meta.get("status") != "200" or "no-store" in meta or ("length" in meta and meta["length"] != str(len(payload))):
        return False
    try:
        payload = unpacked(payload, meta, decode)
        is_stream = meta.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"
        if streamed != is_stream:
            return False
        return (
            _STREAMS[endpoint](_events(payload))
            if streamed
            else _WHOLES[endpoint](orjson.loads(payload.removeprefix(BOM_UTF8)))
        )
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):  # not what the protocol promises
        return False


def unpacked(payload: bytes, meta: Mapping[str, str], decode: Decode) -> bytes:
    """Return the bytes of an answer without its content encoding.

    Raises:
        ValueError, zlib.error: they are damaged, cut off, or far too long.
    """
    encoding = meta.get("content-encoding", "").strip().lower()
    if not encoding:
        return payload
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return decode(payload, encoding)
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either format, by its head
    plain = inflate.decompress(payload, _MOST)
    if not inflate.eof or inflate.unused_data:
        raise ValueError("cut off in the middle, or far too long")
    return plain


# -- an answer in one piece


def _chat(body: Any) -> bool:
    return not body.get("error") and _all_ended(body["choices"])


def _all_ended(choices: list[Any]) -> bool:
    return bool(choices) and all(choice["finish_reason"] in _GOOD_ENDS for choice in choices)


def _response(body: Any) -> bool:
    return not body.get("error") and body["status"] == "completed"


def _embeddings(body: Any) -> bool:
    return not body.get("error") and bool(body["data"]) and all("embedding" in item for item in body["data"])


def _message(body: Any) -> bool:
    return body["type"] == "message" and body["stop_reason"] in _GOOD_ENDS


_WHOLES: dict[Endpoint, Callable[[Any], bool]] = {
    "chat": _chat,
    "responses": _response,
    "embeddings": _embeddings,
    "messages": _message,
}

# -- an answer in events


def data_of(payload: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the data of the server-sent events that are whole, and of one that the bytes end in the middle of."""
    reader = SSEReader()
    whole, cut = (
        [event[1] for event in reader.feed(piece) if not isinstance(event, str)] for piece in (payload, b"\n\n")
    )
    return whole, cut


def _events(payload: bytes) -> Iterator[Any]:
    """Yield the data of each server-sent event; None for the mark ``[DONE]``.

    Raises:
        ValueError: the bytes end in the middle of an event, or its data is no JSON.
    """
    whole, cut = data_of(payload)
    for data in whole:
        data = data.strip()
        yield None if data == b"[DONE]" else orjson.loads(data)
    if cut:
        raise ValueError("cut off in the middle of an event")


def _chat_stream(events: Iterator[Any]) -> bool:
    ends: dict[int, Any] = {}
    for event in events:
        if event is None:
            return next(events, events) is events and bool(ends) and all(end in _GOOD_ENDS for end in ends.values())
        if event.get("error"):
            return False
        for choice in event["choices"]:
            index = choice.get("index", 0)
            ends[index] = choice.get("finish_reason") or ends.get(index)
    return False


def _response_stream(events: Iterator[Any]) -> bool:
    done = False
    for event in events:
        if event is None:  # some servers end these streams, too, with the mark of chat
            continue
        if event["type"] in ("error", "response.failed", "response.incomplete"):
            return False
        done = event["type"] == "response.completed" and _response(event["response"])
    return done


def _message_stream(events: Iterator[Any]) -> bool:
    good = done = False
    for event in events:
        kind = event["type"]
        if kind == "error" or done:
            return False
        if kind == "message_delta":
            good = event["delta"].get("stop_reason") in _GOOD_ENDS
        done = kind == "message_stop"
    return good and done


_STREAMS: dict[Endpoint, Callable[[Iterator[Any]], bool]] = {
    "chat": _chat_stream,
    "responses": _response_stream,
    "embeddings": lambda _: False,
    "messages": _message_stream,
}
