"""What a cache tier is and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cache", "Hit", "Nearest", "Record", "TierStats"]


@dataclass(frozen=True, slots=True)
class Record:
    """The stored outcome of one keyed call.

    Attributes:
        payload: the outcome as bytes, exactly as it came.
        created: when it was made, in seconds since the epoch.
        expires: when it stops being live, in seconds since the epoch, as said by the tier that holds it; None for
            never.
        namespace: the group it can be cleared with.
        meta: what a replay needs beside the bytes, such as a status or a content type; never a secret.
    """

    payload: bytes
    created: float
    expires: float | None = None
    namespace: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


class Hit(NamedTuple):
    """A record that was found, and the name of the tier that had it."""

    record: Record
    tier: str


class TierStats(NamedTuple):
    """Counters of one tier since it was opened, and what it holds now (None where counting would cost a scan)."""

    tier: str
    hits: int
    misses: int
    writes: int
    errors: int
    entries: int | None
    bytes: int | None


@runtime_checkable
class Cache(Protocol):
    """A tier, or several behind one face.

    Keys are 32-byte digests. A tier that cannot answer (its server is away, its file is locked too long) counts an
    error and reports a miss: a cache never fails a call.
    """

    async def get(self, key: bytes) -> Hit | None:
        """Return the live record under `key`, or None."""

    async def put(self, key: bytes, record: Record, ttl: float | None = None) -> None:
        """Store `record` under `key` for `ttl` seconds, or for the tier's own time to live when None."""

    async def delete(self, key: bytes) -> None:
        """Forget `key`; no error when it is not there."""

    async def clear(self, namespace: str | None = None) -> None:
        """Forget the records of one namespace, or all when None."""

    def stats(self) -> tuple[TierStats, ...]:
        """Return the counters, one entry a tier, the nearest first."""

    async def aclose(self) -> None:
        """Give back what the tier holds; the tier is not used afterwards."""


@runtime_checkable
class Nearest(Protocol):
    """A tier that can answer without waiting; those that cannot have no `peek`."""

    def peek(self, key: bytes) -> Hit | None:
        """Return the live record under `key` where it is at hand; else None, which counts as no miss."""
