"""Making failed attempts again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..observe.events import CallRetried, Observer
from .retry import Budget, Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .call import Call, StreamCall

__all__ = ["Attempts", "brief"]

T = TypeVar("T")


class Attempts:
    """The one place that retries.

    Args:
        retry: whether and when.
        sleep: waits for seconds.
        observer: hears of each retry.
    """

    def __init__(self, retry: Retry, sleep: Callable[[float], Awaitable[None]], observer: Observer) -> None:
        self._retry = retry
        self._budget = Budget(retry)
        self._sleep = sleep
        self._observer = observer

    async def first(
        self,
        call: Call[Any] | StreamCall,
        work: Callable[[], Awaitable[T]],
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> T:
        """Return what `work` gives, on the first attempt that succeeds."""
        number = 1
        self._budget.deposit()
        while True:
            try:
                return await work()
            except Exception as error:
                retries = call.policy.retry
                delay = self._retry.delay(error, number, repeatable=call.repeatable) if retries else None
                if delay is None or not self._budget.withdraw():
                    raise
                self._observer(CallRetried(call.kind, call.name, number, delay, brief(error), call.id))
            await (sleep or self._sleep)(delay)
            number += 1


def brief(error: BaseException) -> str:
    """Return an error in one line, with its type."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
