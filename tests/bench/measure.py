"""Interleaved measurement: all candidates of a row run once a round, in an order that turns with the rounds.

The clock is the process's CPU time, so that a neighbour takes cache lines but no time slices. What is reported is the
median, over the rounds, of the ratio to the peer in the same round.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Candidate:
    """Work to be timed.

    Attributes:
        name: as in the table.
        work: one batch, called with what `prepare` returned.
        operations: how many operations a batch is.
        prepare: makes the batch's arguments; not timed.
    """

    name: str
    work: Callable[..., Any]
    operations: int = 1
    prepare: Callable[[], tuple[Any, ...]] = tuple

    def once(self) -> float:
        """Nanoseconds of CPU time for one operation."""
        arguments = self.prepare()
        start = time.process_time_ns()
        self.work(*arguments)
        return (time.process_time_ns() - start) / self.operations


def repeated(name: str, call: Callable[[], Any], operations: int) -> Candidate:
    """A candidate that makes one call so many times."""

    def work() -> None:
        for _ in range(operations):
            call()

    return Candidate(name, work, operations)


def ratio(candidates: list[Candidate], rounds: int) -> tuple[float, dict[str, float]]:
    """Measures candidates against each other.

    Returns:
        The median ratio of the first to the second, and the median nanoseconds of each.
    """
    times: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for candidate in candidates:
        candidate.once()
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            at = turn % len(candidates)
            for candidate in candidates[at:] + candidates[:at]:
                times[candidate.name].append(candidate.once())
    finally:
        gc.enable()
    ours, peer = (times[candidate.name] for candidate in candidates[:2])
    median = statistics.median(mine / theirs for mine, theirs in zip(ours, peer, strict=True))
    return median, {name: statistics.median(measured) for name, measured in times.items()}
