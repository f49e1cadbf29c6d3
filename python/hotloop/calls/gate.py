"""What each attempt passes on its way to a server: the breaker of its origin, then the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..errors import CircuitOpenError, HotloopError
from .breaker import Breakers, Breaking
from .limiter import NO_DEMAND, Limiter, Slot

if TYPE_CHECKING:
    from .breaker import Breaker
    from .call import Call, Clock
    from .headers import Headers
    from .limits import Demand, Limits

__all__ = ["Gate", "Passage"]

T = TypeVar("T")


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
        if demand is None:
            return Passage(self.limiter, NO_DEMAND, self.limiter.counts, None)
        return Passage(self.limiter, demand, True, self._breakers.of(demand.origin))

    async def run(self, call: Call[T]) -> T:
        """Return what one attempt at `call` gives, within its passage."""
        passage = self.passage(call.demand)
        if not passage.try_enter():
            await passage.enter()
        try:
            value = await call.run()
        except BaseException as error:
            passage.leave(error)
            raise
        passage.leave()
        return value


class Passage(Slot):
    """One attempt's stay with the server.

    Args:
        limiter, demand, counts: as in `Slot`.
        breaker: that of the server; None for none.
    """

    __slots__ = ("_breaker", "_entered")

    def __init__(self, limiter: Limiter, demand: Demand, counts: bool, breaker: Breaker | None) -> None:
        super().__init__(limiter, demand, counts)
        self._breaker = breaker
        self._entered = 0

    def try_enter(self) -> bool:
        """Enter where that takes no wait; else do nothing and say so.

        Raises:
            CircuitOpenError: the origin is left alone for now.
        """
        breaker, demand = self._breaker, self._demand
        if breaker is not None and breaker.state != "closed":
            breaker.check()
        if not super().try_enter():
            return False
        self._start(demand)
        return True

    async def enter(self) -> None:
        """Enter, after a wait where there must be one; errors are those of `try_enter`."""
        demand = self._demand
        await super().enter()
        self._start(demand)

    def _start(self, demand: Demand) -> None:
        if self._breaker is not None:
            try:
                self._entered = self._breaker.enter()
            except CircuitOpenError as error:
                self.forgo()
                super().leave(error)
                raise
        if demand is not NO_DEMAND:
            demand.passage = self

    def leave(self, error: BaseException | None = None) -> None:
        """End the stay; `error` is what the attempt ended with."""
        if self._breaker is not None:
            if isinstance(error, HotloopError):
                self._judge(not error.ill)
            else:
                self._judge(True if error is None else None)
        super().leave(error)

    @property
    def lasts(self) -> bool:
        """Whether the stay is to last as long as its answer comes in; else it may end with the answer's head."""
        return self.holds or self.counts_tokens

    def fail(self) -> None:
        """Take that the server could not be reached, or went away without an answer."""
        self._judge(False)

    def observe(self, headers: Headers, status: int) -> None:
        """Take what the head of the answer says."""
        self._judge(status < 500)
        super().observe(headers, status)

    def _judge(self, well: bool | None) -> None:
        """Tell the breaker, once."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker.leave(self._entered, well)
