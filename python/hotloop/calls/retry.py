"""Whether and when a failed attempt is made again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from ..errors import HotloopError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Budget", "Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

    Only errors that say they are worth it (`HotloopError.retryable`) are tried again, and those after which the server
    may have acted on the call (`HotloopError.acted`) only where the call says that it is safe to repeat. A server's own
    wish (Retry-After) is honoured where it is no longer than `max_wait`, and ends the attempts where it is longer.

    Retries have a budget, so that many calls do not press on a server that is down: each call adds `budget` of a retry,
    up to `reserve` of them, and each retry takes one. (A token bucket as Finagle's RetryBudget and gRPC's retry
    throttling, proposal A6.)

    Attributes:
        attempts: how often a call is tried in all; 1 turns retrying off.
        base: upper bound of the first wait, in seconds; doubles with each attempt.
        max_wait: upper bound of any wait, in seconds.
        budget: retries for each call in the long run; None for as many as `attempts` allows.
        reserve: retries that may be saved up; there are so many at first.
        uniform: gives a number between its two arguments; replaced in tests.
    """

    attempts: int = 3
    base: float = 0.5
    max_wait: float = 30.0
    budget: float | None = 0.2
    reserve: int = 10
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; it must be at least 1 (1 turns retrying off)")
        if not (self.base >= 0 and self.max_wait >= 0):
            raise ValueError(f"base ({self.base}) and max_wait ({self.max_wait}) are seconds and cannot be negative")
        if not (self.budget is None or self.budget >= 0) or self.reserve < 1:
            raise ValueError(
                f"budget ({self.budget}) cannot be negative, and reserve ({self.reserve}) must be at least 1; "
                "None for no budget, attempts=1 for no retries"
            )

    def delay(self, error: BaseException, attempt: int, *, repeatable: bool = False) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            error: what ended the attempt.
            attempt: the number of the attempt that failed, from 1.
            repeatable: whether the call may be made again although the server may have acted on it.
        """
        if attempt >= self.attempts or not (isinstance(error, HotloopError) and error.retryable):
            return None
        if error.acted and not repeatable:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.max_wait else None
        return self.uniform(0.0, min(self.max_wait, self.base * 2 ** min(attempt - 1, 60)))


class Budget:
    """Counts what is left of a path's retries. Safe for threads."""

    __slots__ = ("_lock", "_retry", "left")

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._lock = Lock()
        self.left = float(retry.reserve)

    def deposit(self) -> None:
        """Count a call."""
        if self._retry.budget is not None and self.left < self._retry.reserve:  # mostly it is full
            with self._lock:
                self.left = min(float(self._retry.reserve), self.left + self._retry.budget)

    def withdraw(self) -> bool:
        """Take a retry; False when none is left."""
        if self._retry.budget is None:
            return True
        with self._lock:
            if self.left < 1.0:
                return False
            self.left -= 1.0
            return True
