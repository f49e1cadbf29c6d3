"""What a keyed call is, and what comes of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ..observe.events import CacheState, CallKind
    from .limits import Demand

__all__ = ["Call", "Clock", "Mode", "Opened", "Outcome", "Policy", "StreamCall", "StreamOutcome"]

T = TypeVar("T")

Mode = Literal["use", "refresh", "bypass", "only"]
"""use: serve and store; refresh: store anew; bypass: neither; only: serve, and fail where nothing is stored."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which parts of the path apply to a call.

    Attributes:
        cache: whether it may be served from a tier and stored in one.
        join: whether it may share the execution of an identical call in flight; callers that want independent samples
            say False.
        mode: how the tiers are used, where `cache` allows them.
        ttl: how long its record lives, in seconds; None for the tier's own time to live.
        namespace: the group that its record can be cleared with.
        stale: for how many seconds beyond `ttl` its record may still be served, while it is made anew behind the
            caller's back; None for none.
        retry: whether failed attempts are made again, as the path's `Retry` says; False where the caller does it.
    """

    cache: bool = True
    join: bool = True
    mode: Mode = "use"
    ttl: float | None = None
    namespace: str = ""
    stale: float | None = None
    retry: bool = True


@dataclass(slots=True)  # frozen, it takes three times as long to make, and one is made for each call
class Call(Generic[T]):
    """A call that gives one value.

    Attributes:
        kind: what is called.
        name: the model or the tool.
        key: the 32-byte key of everything that can change the answer; None for a call that is neither stored nor
            joined.
        run: does the work, once for each attempt.
        encode: gives the bytes to store, or None for a value that must not be stored.
        decode: gives the value back from such bytes; raises ValueError where they are damaged.
        policy: which parts of the path apply.
        id: the caller's name for this call, handed on to the events.
        repeatable: whether the work may be done again although a failed attempt may have had its effect.
        demand: what it asks of its server; None for work that no quota counts.
    """

    kind: CallKind
    name: str
    key: bytes | None
    run: Callable[[], Awaitable[T]]
    encode: Callable[[T], bytes | None]
    decode: Callable[[bytes], T]
    policy: Policy = field(default_factory=Policy)
    id: str | None = None
    repeatable: bool = False
    demand: Demand | None = None


class Opened(NamedTuple):
    """What entering the work of a stream gives.

    Attributes:
        chunks: the bytes, piece by piece.
        meta: what a replay needs beside them; stored with them, so never a secret.
        head: what only those get who read while it comes in; never stored.
        lazy: whether each chunk is fetched only when a reader waits for it, for work that cannot be stopped in the
            middle of one.
        brief: whether readers are to be woken once, when all of it is there, because that is soon.
    """

    chunks: AsyncIterator[bytes]
    meta: Mapping[str, str] = {}
    head: Any = None
    lazy: bool = False
    brief: bool = False


@dataclass(slots=True)  # as Call
class StreamCall:
    """A call that gives bytes piece by piece.

    Attributes:
        open: enters the work; entered once for each attempt.
        complete: whether the bytes so far, with their `Opened.meta`, are a whole answer that may be stored.
        fits: whether a stored answer with this meta suits the caller; None where any does.
        prompt: whether the caller gets the stream as soon as it is open; else with its first chunk. An attempt is
            repeated only before that.
        share: calls join only where this is equal too, such as the timeouts that they run under.
        lasting: whether its chunks are expected to come one by one for a while.
        kind, name, key, policy, id, repeatable, demand: as in `Call`.
    """

    kind: CallKind
    name: str
    key: bytes | None
    open: Callable[[], AbstractAsyncContextManager[Opened]]
    complete: Callable[[bytes, Mapping[str, str]], bool]
    policy: Policy = field(default_factory=Policy)
    id: str | None = None
    fits: Callable[[Mapping[str, str]], bool] | None = None
    prompt: bool = False
    share: Hashable = None
    repeatable: bool = False
    demand: Demand | None = None
    lasting: bool = False


@dataclass(slots=True)  # as Call
class Outcome(Generic[T]):
    """A value and where it came from.

    Attributes:
        value: the value.
        cache: how it was had.
        tier: the tier that had it, of a stored value.
        age: seconds since a stored value was made, else 0.
        stale: whether it is older than its time to live, and is being made anew.
    """

    value: T
    cache: CacheState
    tier: str | None = None
    age: float = 0.0
    stale: bool = False


@dataclass(slots=True)  # as Call
class StreamOutcome:
    """Chunks and where they come from.

    Attributes:
        chunks: the bytes, piece by piece.
        cache, tier, age, stale: as in `Outcome`.
        meta, head: as in `Opened`; a stored stream has no head.
        payload: all of a stored stream at once; None while it comes in.
    """

    chunks: AsyncIterator[bytes]
    cache: CacheState
    tier: str | None = None
    age: float = 0.0
    stale: bool = False
    meta: Mapping[str, str] = field(default_factory=dict)
    head: Any = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, injected: `monotonic` for durations, `epoch` for ages, `sleep` for waits; all in seconds."""

    monotonic: Callable[[], float] = time.perf_counter
    epoch: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
