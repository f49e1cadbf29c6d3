"""What a server can bear, and what a call asks of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Config
    from .gate import Passage
    from .headers import Headers

__all__ = ["Amounts", "Demand", "Limits"]


class Amounts(NamedTuple):
    """What is counted a minute: requests, and tokens in the three ways in which providers count them."""

    requests: float = 0.0
    tokens: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server, or a machine, can bear. Quotas hold for each scope by itself (see `Demand`).

    Attributes:
        concurrency: calls running at once in this process; None for no limit.
        requests_per_minute: requests; None for what the server's own headers say.
        tokens_per_minute: tokens of requests and answers together, as OpenAI counts; None as above.
        input_tokens_per_minute, output_tokens_per_minute: tokens of requests and of answers, as Anthropic counts; None
            as above.
        count_cached: whether input tokens that came from the provider's prompt cache count; None for what is usual:
            they count towards `tokens_per_minute` (OpenAI) and not towards `input_tokens_per_minute` (Anthropic).
        burst: seconds of quota that may be used at once after a quiet time; 60 is a whole minute's.
        slack: seconds of quota that are held back from the burst, so that requests that overtake each other on the
            way do not meet a server that has just run dry.
        learn: whether ``x-ratelimit-*`` and ``anthropic-ratelimit-*`` headers and Retry-After set and correct quotas.
            A quota that is set here is never raised by them.
        max_pause: seconds that calls are held back at most after a server has said when to come again.
        redis_url: a Redis or Valkey server through which processes share their quotas; None for each its own.
    """

    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    count_cached: bool | None = None
    burst: float = 60.0
    slack: float = 0.2
    learn: bool = True
    max_pause: float = 60.0
    redis_url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}; it must be at least 1, or None for no limit")
        for name in (one.name for one in fields(self) if one.name.endswith("_per_minute")):
            quota = getattr(self, name)
            if quota is not None and not 0 < quota < float("inf"):
                raise ValueError(f"{name} is {quota}; it must be more than 0, or None for no quota")
        if not (self.max_pause >= 0 and 0 <= self.slack < self.burst < float("inf")):
            raise ValueError(
                f"burst ({self.burst}), slack ({self.slack}) and max_pause ({self.max_pause}) are seconds; none "
                "of them can be negative, and slack must be less than burst"
            )

    @classmethod
    def of(cls, config: Config) -> Limits:
        """Return the limits that a configuration asks for."""
        client = config.llm_client
        return cls(
            client.concurrency,
            client.requests_per_minute,
            client.tokens_per_minute,
            redis_url=config.response_cache.redis_url,
        )

    @property
    def quotas(self) -> tuple[float | None, float | None, float | None, float | None]:
        """The quotas a minute, in the order of `Amounts`."""
        return (
            self.requests_per_minute,
            self.tokens_per_minute,
            self.input_tokens_per_minute,
            self.output_tokens_per_minute,
        )


class Demand:
    """What one call asks of its server, and what its attempts report back.

    The caller makes it and puts it into the call; the work reports through `observe` and `settle`, as early as it
    knows. Work that reports nothing is counted as estimated.

    Args:
        scope: names what quotas are counted for: a server, a model and an account, without any secret.
        origin: names the server, whose health is judged as one; `scope` when empty.
        input_tokens: tokens of the request, as estimated; or what estimates them, called when the call must be counted.
        output_tokens: tokens of the answer at most; None for what answers of this scope took lately.
        priority: 0 to 3; calls that must wait go in this order, and none waits for ever.
    """

    __slots__ = ("estimated", "origin", "output_tokens", "passage", "priority", "scope")

    def __init__(
        self,
        scope: str = "",
        *,
        origin: str = "",
        input_tokens: int | Callable[[], int] = 0,
        output_tokens: int | None = 0,
        priority: int = 1,
    ) -> None:
        self.scope = scope
        self.origin = origin or scope
        self.estimated = input_tokens
        self.output_tokens = output_tokens
        self.priority = priority if 0 <= priority <= 3 else min(3, max(0, priority))
        self.passage: Passage | None = None

    @property
    def input_tokens(self) -> int:
        """Tokens of the request, as estimated."""
        if not isinstance(self.estimated, int):
            self.estimated = self.estimated()
        return self.estimated

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters for later calls what this one takes: a quota of tokens is known."""
        return self.passage is not None and self.passage.counts_tokens

    def fail(self) -> None:
        """Report that the server could not be reached, or went away without an answer."""
        if self.passage is not None:
            self.passage.fail()

    def observe(self, headers: Headers, status: int = 200) -> None:
        """Report the head of the server's answer; `headers` finds names in lower case."""
        if self.passage is not None:
            self.passage.observe(headers, status)

    def settle(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> None:
        """Report what the answer took: all input tokens, and those of them that came from the provider's cache.

        A report that comes when the attempt has ended still counts where it took more than estimated.
        """
        if self.passage is not None:
            self.passage.settle(input_tokens, output_tokens, cached_tokens)
