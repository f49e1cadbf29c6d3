"""What a pipeline counts: times, sizes and numbers of calls."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from .._core import Histogram

__all__ = ["Distribution", "Meters", "PipelineMetrics", "spread"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How values are spread; zeros where there are none.

    Attributes:
        count: how many there are.
        mean: their mean.
        p50, p95, p99: the value that so many percent of them do not exceed, within 1 %.
        highest: the highest.
    """

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    highest: float


def spread(values: Histogram) -> Distribution:
    """Return how the values that were counted are spread."""
    p50, p95, p99 = (values.percentile(share) for share in (0.50, 0.95, 0.99))
    return Distribution(values.count, values.mean, p50, p95, p99, values.highest)


class PipelineMetrics(NamedTuple):
    """Counters of a pipeline since it was made, and what it does now. Times are in seconds.

    Attributes:
        calls: results given.
        failed: those with an error, time-outs among them.
        timeouts: calls that took too long.
        cancelled: calls whose caller was cancelled.
        hits: results from a cache tier.
        misses: results that a cache tier was asked for and did not have.
        joined: results of identical work in flight.
        running: calls at work now; a batch is one.
        waiting: calls that wait for a place now.
        peak: the most that ran at once.
        threads: threads alive now.
        abandoned: threads that run on for nobody now, because a thread cannot be stopped.
        processes: processes alive now.
        killed: processes that were ended because their call took too long or was cancelled.
        dropped: async calls that went on after their cancellation and were given up.
        blocked: steps of async tools that held the event loop for more than 0.1 s; such a tool should be sync.
        concurrency: how many calls ran at once, in the mean over the time in which any ran.
        queue_time: how long calls waited for their place.
        run_time: how long their work took.
        batch_sizes: how many calls ran as one, for tools with `batch=`.
    """

    calls: int
    failed: int
    timeouts: int
    cancelled: int
    hits: int
    misses: int
    joined: int
    running: int
    waiting: int
    peak: int
    threads: int
    abandoned: int
    processes: int
    killed: int
    dropped: int
    blocked: int
    concurrency: float
    queue_time: Distribution
    run_time: Distribution
    batch_sizes: Distribution

    @property
    def hit_rate(self) -> float:
        """The share of the look-ups in a cache tier that had the result; 0 where there were none."""
        return self.hits / (self.hits + self.misses) if self.hits else 0.0


class Meters:
    """What is counted while calls run."""

    __slots__ = ("batch_sizes", "calls", "counts", "queue_time", "run_time")

    def __init__(self) -> None:
        self.calls = 0
        self.counts: Counter[str] = Counter()
        self.queue_time = Histogram()
        self.run_time = Histogram()
        self.batch_sizes = Histogram()

    def blocked(self, name: str, seconds: float) -> None:
        """Note that one step of an async tool held the event loop for so long."""
        self.counts["blocked"] += 1
        _log.warning(
            "the async tool %s held the event loop for %.2f s; a sync tool would run in a thread", name, seconds
        )

    def dropped(self, name: str) -> None:
        """Note that an async call was given up."""
        self.counts["dropped"] += 1
        _log.warning("the async tool %s went on after its cancellation and was given up", name)
