"""Pooled buffers: take, fill, give back."""

from __future__ import annotations

import resource
import time

import hotloop

DATA = {size: bytes(size) for size in (16 << 10, 1 << 20, 8 << 20)}
POOL = hotloop.BufferPool()


class Pool:
    """One buffer at a time, in steady state; without a `setup`, for the reason that `bench_key` gives."""

    timer = time.process_time
    params = tuple(DATA)
    param_names = ("bytes",)

    def time_take_fill_give(self, size: int) -> None:
        data = DATA[size]
        with POOL.take(size) as buffer:
            buffer.write(data)

    def track_page_faults(self, size: int) -> float:
        """Of one operation, over a hundred."""
        self.time_take_fill_give(size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            self.time_take_fill_give(size)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 100

    track_page_faults.unit = "faults"  # type: ignore[attr-defined]
