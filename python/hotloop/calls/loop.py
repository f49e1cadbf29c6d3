"""The event loop."""

from __future__ import annotations

import asyncio

__all__ = ["running_loop"]


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        RuntimeError: none of asyncio runs here.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "hotloop runs on asyncio, and no event loop of asyncio runs here (trio is no such)"
        ) from None
