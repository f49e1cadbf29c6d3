"""Connections belong to the event loop that opened them; here each loop has a pool of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..calls.loop import running_loop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pools"]


class Pools:
    """The inner transport of a transport that is used from several event loops.

    Args:
        make: makes the transport of one loop.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._pools: dict[asyncio.AbstractEventLoop, Any] = {}

    async def handle_async_request(self, request: Any) -> Any:
        """Send `request` over the connections of the running loop."""
        loop = running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for ended in [other for other in self._pools.copy() if other.is_closed()]:
                self._pools.pop(ended, None)
            pool = self._pools[loop] = self._make()
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections, each in its loop; those of a loop that has ended went with it."""
        here = running_loop()
        while self._pools:
            loop, pool = self._pools.popitem()
            if loop is here:
                await pool.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(pool.aclose(), loop))
