"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Portal", "portal"]

T = TypeVar("T")

_WORKERS = 1000  # blocking requests at once; as many as the pool of an SDK has connections


class Portal:
    """Runs coroutines for threads that wait for them, and blocking work for those coroutines."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.workers = ThreadPoolExecutor(_WORKERS, "hotloop-worker")
        threading.Thread(target=self._run, name="hotloop-portal", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` gives; a caller that is interrupted cancels it."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # no-op where the work itself raised
            raise


_lock = threading.Lock()
_portals: dict[int, Portal] = {}  # by process: a fork has the parent's objects, and none of its threads


def portal() -> Portal:
    """Return the portal of this process; it starts with its first use and ends with the process."""
    found = _portals.get(os.getpid())
    if found is None:
        with _lock:
            found = _portals.get(os.getpid())
            if found is None:
                _portals.clear()
                found = _portals[os.getpid()] = Portal()
    return found
