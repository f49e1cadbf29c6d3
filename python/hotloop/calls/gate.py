"""What each attempt passes on its way to a server: the breaker of its origin, then the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CircuitOpenError, HotloopError
from .breaker import Breakers, Breaking
from .limiter import Limiter

if TYPE_CHECKING:
    from types import TracebackType

    from .breaker import Breaker
    from .call import Clock
    from .headers import Headers
    from .limiter import Slot
    from .limits import Demand, Limits

__all__ = ["Gate", "Passage"]


class Gate:
    """The way to the servers.

    Args:
        limits: what is kept.
        breaking: when a server is left alone.
        clock: time.

    Raises:
        CacheError: the Redis URL of the limits cannot be read.
        MissingExtraError: it is set, and the extra ``redis`` is not installed.
    """

    def __init__(self, limits: Limits, breaking: Breaking, clock: Clock) -> None:
        self.limiter = Limiter(limits, sleep=clock.sleep, monotonic=clock.monotonic, epoch=clock.epoch)
        self._breakers = Breakers(breaking, clock.monotonic)

    def passage(self, demand: Demand | None) -> Passage:
        """Return a context that is entered when an attempt may start and left when it has ended.

        Entering raises CircuitOpenError when the origin is left alone for now.
        """
        breaker = None if demand is None else self._breakers.of(demand.origin)
        return Passage(self.limiter.slot(demand), demand, breaker)


class Passage:
    """One attempt's stay with the server."""

    __slots__ = ("_breaker", "_demand", "_entered", "_slot")

    def __init__(self, slot: Slot, demand: Demand | None, breaker: Breaker | None) -> None:
        self._slot = slot
        self._demand = demand
        self._breaker = breaker
        self._entered = 0

    def try_enter(self) -> bool:
        """Enter where that takes no wait; else do nothing and say so.

        Raises:
            CircuitOpenError: the origin is left alone for now.
        """
        breaker = self._breaker
        if breaker is not None and breaker.state != "closed":
            breaker.check()
        if not self._slot.try_enter():
            return False
        self._start()
        return True

    async def __aenter__(self) -> Passage:
        if not self.try_enter():
            await self._slot.__aenter__()
            self._start()
        return self

    def _start(self) -> None:
        if self._breaker is not None:
            try:
                self._entered = self._breaker.enter()
            except CircuitOpenError as error:
                self._slot.forgo()
                self._slot.leave(error)
                raise
        demand, self._demand = self._demand, None  # refers to this from now on: a circle would keep both for long
        if demand is not None:
            demand.passage = self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(error)

    def leave(self, error: BaseException | None = None) -> None:
        """End the stay; `error` is what the attempt ended with."""
        if self._breaker is not None:
            if isinstance(error, HotloopError):
                self._judge(not error.ill)
            else:
                self._judge(True if error is None else None)
        self._slot.leave(error)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters for later calls how many tokens this one takes."""
        return self._slot.counts_tokens

    @property
    def lasts(self) -> bool:
        """Whether the stay is to last as long as its answer comes in; else it may end with the answer's head."""
        return self._slot.holds or self._slot.counts_tokens

    def fail(self) -> None:
        """Take that the server could not be reached, or went away without an answer."""
        self._judge(False)

    def observe(self, headers: Headers, status: int) -> None:
        """Take what the head of the answer says."""
        self._judge(status < 500)
        self._slot.observe(headers, status)

    def settle(self, input_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        """Count what the answer took."""
        self._slot.settle(input_tokens, output_tokens, cached_tokens)

    def _judge(self, well: bool | None) -> None:
        """Tell the breaker, once."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker.leave(self._entered, well)
