"""Streams made of what is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

__all__ = ["chain", "once"]


async def once(payload: bytes) -> AsyncGenerator[bytes]:
    """Yield `payload`."""
    yield payload


async def chain(first: bytes | None, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield `first`, then the rest; nothing when there is no first."""
    if first is not None:
        yield first
        async for chunk in rest:
            yield chunk
