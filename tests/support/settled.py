"""Time for files that were just written."""

import time


def settle(pipe):
    """Let the time pass after which the stamps of files that were just written can be trusted."""
    pipe._engine.versions._now = lambda: time.time_ns() + 60 * 10**9
