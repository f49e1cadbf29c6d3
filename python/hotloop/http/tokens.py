"""What an answer took, for the limits: tokens, as its provider tells them in the body."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .answers import data_of, unpacked

if TYPE_CHECKING:
    from ..calls import Demand

__all__ = ["Tokens", "Watch", "tokens_of"]

Decode = Callable[[bytes, str], bytes]
_LONGEST = 16 << 20  # bytes of an answer that is looked at; a longer one counts as estimated


class Tokens(NamedTuple):
    """All tokens of the request, those of the answer, and those of the request from the provider's prompt cache."""

    input: int
    output: int
    cached: int


class Watch:
    """Reads over a caller's shoulder what an answer took, and tells its limits.

    Args:
        demand: hears it.
        meta: what `kept` made of the head of the answer.
        decode: undoes the content encodings that the standard library does not know.
    """

    __slots__ = ("_chunks", "_decode", "_demand", "_left", "_meta")

    def __init__(self, demand: Demand, meta: Mapping[str, str], decode: Decode) -> None:
        self._demand = demand
        self._meta = meta
        self._decode = decode
        self._chunks: list[bytes] = []
        self._left = _LONGEST

    def see(self, chunk: bytes) -> None:
        """Take a chunk of the body."""
        self._left -= len(chunk)
        if self._left >= 0:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    def end(self) -> None:
        """Tell what was seen, where the answer says what it took; else it counts as estimated."""
        found = tokens_of(b"".join(self._chunks), self._meta, self._decode)
        if found is not None:
            self._demand.settle(*found)


def tokens_of(payload: bytes, meta: Mapping[str, str], decode: Decode) -> Tokens | None:
    """Return what an answer took; None where it does not say."""
    try:
        payload = unpacked(payload, meta, decode)
        if meta.get("content-type", "").startswith("text/event-stream"):
            told = [data for events in data_of(payload) for data in events if b'"usage"' in data]
        else:
            told = [payload]
        usage: dict[str, Any] = {}
        for text in told:
            event = orjson.loads(text)
            # Anthropic tells the input first and the output last; responses tell all in what they end with.
            for holder in (event, event.get("message"), event.get("response")):
                counts = holder.get("usage") if isinstance(holder, dict) else None
                usage |= {k: v for k, v in counts.items() if v is not None} if isinstance(counts, dict) else {}
        return _tokens(usage)
    except (ValueError, TypeError, AttributeError, zlib.error):  # not what the protocol promises
        return None


def _tokens(usage: Mapping[str, Any]) -> Tokens | None:
    if "prompt_tokens" in usage:  # OpenAI's chat completions and embeddings
        details = usage.get("prompt_tokens_details") or {}
        return Tokens(int(usage["prompt_tokens"]), int(usage.get("completion_tokens", 0)), _cached(details))
    if "input_tokens" not in usage:
        return None
    taken, output = int(usage["input_tokens"]), int(usage.get("output_tokens", 0))
    details = usage.get("input_tokens_details")
    if details is not None:  # OpenAI's responses
        return Tokens(taken, output, _cached(details))
    # Anthropic does not count what its cache gave, or took, among the input tokens.
    cached = int(usage.get("cache_read_input_tokens", 0))
    return Tokens(taken + cached + int(usage.get("cache_creation_input_tokens", 0)), output, cached)


def _cached(details: Mapping[str, Any]) -> int:
    return int(details.get("cached_tokens") or 0)
