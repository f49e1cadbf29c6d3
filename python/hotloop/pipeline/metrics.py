"""What a pipeline counts: times, sizes and numbers of calls."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Distribution", "Histogram", "Meters", "PipelineMetrics"]

_log = logging.getLogger(__name__)

_SHIFT = 46
"""Bits of a float that its bucket leaves out: 64 buckets for each doubling, so a percentile is off by 1 % at most."""

_FOLDED = 1024


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


class Histogram:
    """Counts values by their size, in buckets that are as fine at a microsecond as at an hour.

    The idea is that of HdrHistogram (Tene, 2012): the first bits of a float, its exponent among them, are its bucket.
    """

    __slots__ = ("_buckets", "_count", "_highest", "_new", "_total")

    def __init__(self) -> None:
        self._new: list[float] = []  # counted together, which is cheaper
        self._buckets: Counter[int] = Counter()
        self._count = 0
        self._total = 0.0
        self._highest = 0.0

    def add(self, value: float) -> None:
        """Count a value that is not negative."""
        new = self._new
        new.append(value)
        if len(new) >= _FOLDED:
            self._fold()

    def extend(self, values: list[float]) -> None:
        """Count values that are not negative."""
        self._new += values
        if len(self._new) >= _FOLDED:
            self._fold()

    def _fold(self) -> None:
        if new := self._new:
            self._new = []
            self._count += len(new)
            self._total += sum(new)
            self._highest = max(self._highest, max(new))
            self._buckets.update([bits >> _SHIFT for bits in memoryview(array("d", new)).cast("B").cast("Q")])

    def distribution(self) -> Distribution:
        """Return how the values are spread."""
        self._fold()
        if not self._count:
            return Distribution(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = (self._percentile(share) for share in (0.50, 0.95, 0.99))
        return Distribution(self._count, self._total / self._count, p50, p95, p99, self._highest)

    def _percentile(self, share: float) -> float:
        seen, wanted = 0, share * self._count
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                middle: float = memoryview(array("Q", [(2 * bucket + 1) << (_SHIFT - 1)])).cast("B").cast("d")[0]
                return min(middle, self._highest)
        return self._highest


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
