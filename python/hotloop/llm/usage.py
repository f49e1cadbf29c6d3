"""What calls cost: tokens of one answer, counters of a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .messages import Reply
    from .prices import Price, Prices

__all__ = ["ClientMetrics", "Meter", "Usage"]


@dataclass(slots=True, unsafe_hash=True)  # frozen, it takes three times as long to make
class Usage:
    """Tokens, as the provider counted them; 0 where it said nothing. Adding two gives their sum.

    Attributes:
        input_tokens: tokens of the request, those from the provider's prompt cache included.
        output_tokens: tokens of the answer.
        cached_tokens: tokens of the request that came from the provider's prompt cache.
        cache_write_tokens: tokens of the request that the provider stored in its prompt cache, and may charge extra.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )

    @classmethod
    def of(cls, counts: Mapping[str, Any] | None) -> Usage:
        """Read the `usage` of an OpenAI answer, which may be missing in part or whole."""
        if not isinstance(counts, dict):
            return _NOTHING
        details = counts.get("prompt_tokens_details")
        asked, answered = counts.get("prompt_tokens"), counts.get("completion_tokens")
        if not isinstance(details, dict):
            details = _NO_DETAILS
        cached, written = details.get("cached_tokens"), details.get("cache_write_tokens")
        return cls(
            asked if type(asked) is int and asked > 0 else 0,
            answered if type(answered) is int and answered > 0 else 0,
            cached if type(cached) is int and cached > 0 else 0,
            written if type(written) is int and written > 0 else 0,
        )


_NOTHING = Usage()
_NO_DETAILS: dict[str, Any] = {}


class ClientMetrics(NamedTuple):
    """Counters of a client since it was made.

    Attributes:
        calls: calls that were made, `hits` + `joined` + `misses` + `bypassed` + `errors` of them ended so far.
        hits: answered from a cache tier.
        joined: answered by an identical call that was in flight.
        misses: asked of the model, and looked for in the cache before.
        bypassed: asked of the model; the cache was not asked.
        errors: ended with an error, or were given up by the caller.
        retries: attempts after a call's first.
        input_tokens, output_tokens, cached_tokens: what the model worked off; hits and joined calls cost nothing.
        seconds: spent in calls, from their start to their answer or error.
        cache_write_tokens: tokens that the provider stored in its prompt cache.
        cost: US dollars for what the model worked off; None where the price of some of it is not known.
        fell_back: calls that another model answered, or was asked; they are among the errors here.
        texts: texts that were asked to be embedded; those from the cache included.
        requests: requests for embeddings.
    """

    calls: int = 0
    hits: int = 0
    joined: int = 0
    misses: int = 0
    bypassed: int = 0
    errors: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    cache_write_tokens: int = 0
    cost: float | None = 0.0
    fell_back: int = 0
    texts: int = 0
    requests: int = 0


class Meter:
    """Counts the calls of one model.

    Args:
        prices: what models cost.
        provider, model: which one it is.
    """

    def __init__(self, prices: Prices, provider: str, model: str) -> None:
        self.calls = self.errors = self.retries = self.fell_back = self.texts = self.requests = 0
        self.seconds = 0.0
        self.states = {"hit": 0, "joined": 0, "miss": 0, "bypass": 0}
        self._counts = [0, 0, 0, 0]
        self.cost: float | None = 0.0
        self._prices, self._whose = prices, (provider, model)
        self._price: Price | None = None
        self._priced = False

    def answered(self, reply: Reply, *, batch: bool = False) -> None:
        """Count an answer and say what it costs; its tokens count only where the model worked for this call."""
        self.states[reply.cache] += 1
        reply.cost = self.worked(reply.usage, batch=batch) if reply.cache in ("miss", "bypass") else 0.0

    def worked(self, usage: Usage, *, batch: bool = False) -> float | None:
        """Count what the model worked off, and return what it costs."""
        counts = self._counts
        counts[0] += usage.input_tokens
        counts[1] += usage.output_tokens
        counts[2] += usage.cached_tokens
        counts[3] += usage.cache_write_tokens
        if not self._priced:
            self._price, self._priced = self._prices.of(*self._whose), True
        price = self._price
        cost = None if price is None else price.cost(usage, batch=batch)
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        return cost

    def read(self) -> ClientMetrics:
        """Return the counters as they stand."""
        states, usage = self.states, Usage(*self._counts)
        return ClientMetrics(
            self.calls,
            states["hit"],
            states["joined"],
            states["miss"],
            states["bypass"],
            self.errors,
            self.retries,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            self.seconds,
            usage.cache_write_tokens,
            self.cost,
            self.fell_back,
            self.texts,
            self.requests,
        )
