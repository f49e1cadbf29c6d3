"""What a cache tier is and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cache", "Hit", "Lease", "Leasing", "Nearest", "Record", "TierStats"]


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


class Lease(Enum):
    """Who does the work of a key, among the processes that share a tier."""

    MINE = "mine"
    """The asker, from now on: it renews the lease while it works and releases it afterwards."""
    TAKEN = "taken"
    """Another owner, who is at it."""
    STORED = "stored"
    """Nobody needs to: there is a record."""
    NONE = "none"
    """Whoever wants to: there are no leases now, or the work has just shown to leave no record."""


@runtime_checkable
class Leasing(Protocol):
    """What a tier can do that several processes share: say which of them does the work of a key.

    A lease ends by itself, so that an owner that was killed holds nobody up. Nothing here raises: a tier that cannot
    answer gives no leases.
    """

    async def lease(self, key: bytes, owner: bytes, seconds: float, *, unless_stored: bool = True) -> Lease:
        """Make `owner` the one who does the work of `key` for `seconds`, unless somebody does it already.

        Args:
            key: the key of the work.
            owner: names the asker; at least 16 random bytes.
            seconds: how long the lease lasts when it is not renewed.
            unless_stored: whether a record that is there ends the matter.
        """

    async def renew(self, key: bytes, owner: bytes, seconds: float) -> bool:
        """Keep the lease for another `seconds`; False when it is lost."""

    async def release(self, key: bytes, owner: bytes, *, void: bool = False) -> None:
        """Give the lease back; `void` says that the work was done and left no record."""
