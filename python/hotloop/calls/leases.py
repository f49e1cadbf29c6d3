"""Identical calls of several processes share one execution, through the tier that they share."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..cache.base import Cache, Lease, Leasing
from ..cache.tiered import leasing_of
from .forgiven import Forgiven

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["Leases", "Turn"]

_FAILED = "a cache tier failed, which counts as having no leases"


class Turn:
    """A process's turn at the work of one key.

    Attributes:
        stored: whether there is a record by now, and most likely nothing to do.
        recorded: whether the work has left a record; set by whoever did it.
    """

    __slots__ = ("recorded", "stored")

    def __init__(self, *, stored: bool) -> None:
        self.stored = stored
        self.recorded = False


class Leases:
    """Single flight across processes that share a tier.

    One of them works, and renews its lease while it does; the others wait until there is a record, for `patience`
    seconds at most, and else do the work themselves. An owner that is killed is succeeded when its lease runs out; one
    that is cancelled, at once. Work that leaves no record, such as an error, is not waited for twice.

    Args:
        tier: gives the leases.
        sleep: waits for seconds.
        seconds: how long a lease lasts when it is not renewed.
        patience: seconds to wait for another process at most.
        forgiven: hears of a tier that raises, which is one that gives no leases.
    """

    def __init__(
        self,
        tier: Leasing,
        sleep: Callable[[float], Awaitable[None]],
        *,
        seconds: float = 5.0,
        patience: float = 60.0,
        forgiven: Forgiven | None = None,
    ) -> None:
        self._forgiven = forgiven or Forgiven()
        self._tier = tier
        self._sleep = sleep
        self._seconds = seconds
        self._patience = patience

    @classmethod
    def of(cls, cache: Cache | None, sleep: Callable[[float], Awaitable[None]], forgiven: Forgiven) -> Leases | None:
        """Return the leases of the tier that processes share; None where there is no such tier."""
        tier = leasing_of(cache)
        return None if tier is None else cls(tier, sleep, forgiven=forgiven)

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncGenerator[Turn]:
        """Enter when this process may work on `key`, or when there is a record."""
        owner = os.urandom(16)
        pause, left = 0.01, self._patience
        while (state := await self._lease(key, owner)) is Lease.TAKEN and left > 0:
            await self._sleep(pause)
            left -= pause
            pause = min(0.25, pause * 1.5)
        turn = Turn(stored=state is Lease.STORED)
        if state is not Lease.MINE:
            yield turn
            return
        beat = asyncio.get_running_loop().create_task(self._beat(key, owner))
        void = False
        try:
            yield turn
            void = not turn.recorded
        except Exception:
            void = True
            raise
        finally:
            beat.cancel()
            try:
                await self._tier.release(key, owner, void=void)
            except Exception as error:  # noqa: BLE001 - whatever a tier of a user's own may raise
                self._forgiven(_FAILED, error)

    async def _lease(self, key: bytes, owner: bytes) -> Lease:
        try:
            return await self._tier.lease(key, owner, self._seconds)
        except Exception as error:  # noqa: BLE001 - as above
            self._forgiven(_FAILED, error)
            return Lease.NONE

    async def _beat(self, key: bytes, owner: bytes) -> None:
        while True:
            await self._sleep(self._seconds / 3)
            try:
                if not await self._tier.renew(key, owner, self._seconds):
                    return
            except Exception as error:  # noqa: BLE001 - as above
                self._forgiven(_FAILED, error)
                return
