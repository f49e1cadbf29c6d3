"""Leaving a server alone that keeps failing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal

from ..errors import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breaker", "Breakers", "Breaking", "State"]

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Breaking:
    """When a server counts as down, as in M. Nygard, "Release It!" (2007), "Circuit Breaker".

    Attributes:
        failures: failed attempts, without one that succeeded between them, after which a server is left alone; None
            for never.
        pause: seconds to leave it alone; then a single attempt decides whether it is well again.
    """

    failures: int | None = 10
    pause: float = 5.0

    def __post_init__(self) -> None:
        if self.failures is not None and self.failures < 1:
            raise ValueError(
                f"failures is {self.failures}; it must be at least 1, or None for a breaker that never opens"
            )
        if not self.pause >= 0:
            raise ValueError(f"pause ({self.pause}) is seconds and cannot be negative")


class Breaker:
    """The breaker of one origin: closed, open, or half open while one attempt tries.

    Each attempt enters, and leaves with what it found. What attempts find that were under way when the state changed
    is not counted: they speak of an earlier time. Safe for threads.

    Args:
        origin: named in the error.
        breaking: when it opens, and for how long.
        monotonic: gives the time in seconds.
    """

    __slots__ = ("_breaking", "_failures", "_lock", "_monotonic", "_origin", "_round", "_until", "state")

    def __init__(self, origin: str, breaking: Breaking, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.state: State = "closed"
        self._origin = origin
        self._breaking = breaking
        self._monotonic = monotonic
        self._failures = 0
        self._until = 0.0
        self._round = 0
        self._lock = Lock()

    def check(self) -> None:
        """Raise CircuitOpenError where `enter` would, without entering."""
        if self.state != "closed":
            with self._lock:
                self._refuse()

    def enter(self) -> int:
        """Begin an attempt; return what `leave` wants back.

        Raises:
            CircuitOpenError: the server is left alone for now.
        """
        entered, state = self._round, self.state  # in this order: a turn changes the state first
        if state == "closed":
            return entered
        with self._lock:
            if self.state != "closed":
                self._refuse()
                self._turn("half-open")
            return self._round

    def leave(self, entered: int, well: bool | None) -> None:
        """End an attempt.

        Args:
            entered: what `enter` gave.
            well: whether the server answered as a healthy one does; None where the attempt did not find out.
        """
        if well and self.state == "closed" and not self._failures:
            return  # mostly there is nothing to change
        with self._lock:
            if entered != self._round:
                return
            if well:
                self._failures = 0
                if self.state == "half-open":
                    self._turn("closed")
            elif self.state == "half-open":
                if well is None:
                    self._until = self._monotonic()  # the next one may try at once
                self._turn("open", keep=well is None)
            elif well is False:
                self._failures += 1
                if self._breaking.failures is not None and self._failures >= self._breaking.failures:
                    self._turn("open")

    def _refuse(self) -> None:
        """Raise unless an attempt may try the server now."""
        left = self._until - self._monotonic()
        if self.state == "half-open" or (self.state == "open" and left > 0):
            soon = f"for another {left:.1f} s" if self.state == "open" else "until the attempt under way has ended"
            raise CircuitOpenError(
                f"{self._origin} has failed again and again and is left alone {soon}", max(0.0, left)
            )

    def _turn(self, state: State, *, keep: bool = False) -> None:
        self.state = state
        self._round += 1
        self._failures = 0
        if state == "open" and not keep:
            self._until = self._monotonic() + self._breaking.pause


class Breakers:
    """The breakers of all origins that a path talks to."""

    _MOST = 4096  # origins that are remembered; beyond them, healthy ones are forgotten

    def __init__(self, breaking: Breaking, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._breaking = breaking
        self._monotonic = monotonic
        self._found: dict[str, Breaker] = {}
        self._lock = Lock()

    def of(self, origin: str) -> Breaker | None:
        """Return the breaker of `origin`; None for a call that names no origin, or where none ever opens."""
        if not origin or self._breaking.failures is None:
            return None
        found = self._found.get(origin)
        if found is None:
            with self._lock:
                if len(self._found) >= self._MOST:
                    self._found = {name: one for name, one in self._found.items() if one.state != "closed"}
                found = self._found.setdefault(origin, Breaker(origin, self._breaking, self._monotonic))
        return found
