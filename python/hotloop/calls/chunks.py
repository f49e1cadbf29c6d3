"""Streams made of what is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

__all__ = ["chain", "once"]


async def once(payload: bytes) -> AsyncGenerator[bytes]:
    """Yield `payload`."""
    yield payload


class chain:  # noqa: N801 - it is used as a function
    """Gives `first`, then the rest; nothing when there is no first.

    No generator: it hands the rest's own awaitables on, which costs a stream of many pieces less.
    """

    __slots__ = ("_first", "_rest")

    def __init__(self, first: bytes | None, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> chain:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        first, self._first = self._first, None
        return self._rest.__anext__() if first is None else _ready(first)


async def _ready(piece: bytes) -> bytes:
    return piece
