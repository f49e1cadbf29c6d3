"""Whether and when a failed attempt is made again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import HotloopError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

    Only errors that say they are worth it (`HotloopError.retryable`) are tried again. A server's own wish
    (Retry-After) is honoured where it is no longer than `max_wait`, and ends the attempts where it is longer.

    Attributes:
        attempts: how often a call is tried in all; 1 turns retrying off.
        base: upper bound of the first wait, in seconds; doubles with each attempt.
        max_wait: upper bound of any wait, in seconds.
        uniform: gives a number between its two arguments; replaced in tests.
    """

    attempts: int = 3
    base: float = 0.5
    max_wait: float = 30.0
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; it must be at least 1 (1 turns retrying off)")
        if not (self.base >= 0 and self.max_wait >= 0):
            raise ValueError(f"base ({self.base}) and max_wait ({self.max_wait}) are seconds and cannot be negative")

    def delay(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            error: what ended the attempt.
            attempt: the number of the attempt that failed, from 1.
        """
        if attempt >= self.attempts or not (isinstance(error, HotloopError) and error.retryable):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.max_wait else None
        return self.uniform(0.0, min(self.max_wait, self.base * 2 ** (attempt - 1)))
