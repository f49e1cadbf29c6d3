"""What happens on the keyed-call path, as values that anyone may listen to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["CacheState", "CallFinished", "CallKind", "CallRetried", "CallStarted", "Event", "Observer"]

CallKind = Literal["llm", "tool"]
CacheState = Literal["hit", "miss", "joined", "bypass"]
"""How a call was answered: from a tier, by its own work, by identical work in flight, or past the cache."""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A keyed call entered the path."""

    kind: CallKind
    name: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class CallRetried:
    """Attempt number `attempt` failed and another follows after `delay` seconds."""

    kind: CallKind
    name: str
    attempt: int
    delay: float
    error: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A keyed call left the path, `seconds` after it entered; `error` is None when it gave a value."""

    kind: CallKind
    name: str
    cache: CacheState
    seconds: float
    tier: str | None = None
    error: str | None = None
    id: str | None = None


Event = CallStarted | CallRetried | CallFinished
Observer = Callable[[Event], None]
"""Called in the order of events, on the event loop of the call; it must not block."""
