"""How much may be in flight."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Limiter", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider, or a machine, can bear.

    Attributes:
        concurrency: calls running at once; None for no limit.
    """

    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}; it must be at least 1, or None for no limit")


class Limiter:
    """Holds calls back so that `Limits` are kept; they proceed in the order in which they came.

    A client may be used from several event loops; each has its own queue, because asyncio's primitives belong to one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def slot(self) -> AbstractAsyncContextManager[Any]:
        """Return a context that is entered when a call may start and left when it has ended."""
        if self.limits.concurrency is None:
            return nullcontext()
        loop = asyncio.get_running_loop()
        slots = self._slots.get(loop)
        if slots is None:
            slots = self._slots[loop] = asyncio.Semaphore(self.limits.concurrency)
        return slots
