"""Pooled buffers: take, fill, give back."""

from __future__ import annotations

import resource
import time

import hotloop


class Pool:
    """One buffer at a time, in steady state."""

    timer = time.process_time
    params = (16 << 10, 1 << 20, 8 << 20)
    param_names = ("bytes",)

    def setup(self, size: int) -> None:
        self.pool = hotloop.BufferPool()
        self.data = bytes(size)
        self.use()

    def use(self) -> None:
        with self.pool.take(len(self.data)) as buffer:
            buffer.write(self.data)

    def time_take_fill_give(self, _size: int) -> None:
        self.use()

    def track_page_faults(self, _size: int) -> float:
        """Of one operation, over a hundred."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            self.use()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 100

    track_page_faults.unit = "faults"  # type: ignore[attr-defined]
