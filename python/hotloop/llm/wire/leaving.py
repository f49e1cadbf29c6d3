"""Threads that Python does not know of, at the end of the process.

pyreqwest's threads tell the event loop what became of a request. Where Python ends while one of them is at that, it
crashes: "PyGILState_Release: thread state must be current when releasing". So it was now and then for programs that
ended right after their last error.
"""

from __future__ import annotations

import atexit
import sys
import threading
from functools import cache
from time import monotonic, sleep

__all__ = ["wait_for_strangers", "wait_when_leaving"]

_MOST = 0.5
"""Seconds; other libraries may have threads that never end."""


@cache
def wait_when_leaving() -> None:
    """Call `wait_for_strangers` when the interpreter ends."""
    atexit.register(wait_for_strangers)


def wait_for_strangers() -> None:
    """Return when no thread but Python's own runs Python code, or after half a second."""
    until = monotonic() + _MOST
    own = {thread.ident for thread in threading.enumerate()}
    while sys._current_frames().keys() - own and monotonic() < until:  # noqa: SLF001 -- documented, for debuggers
        sleep(0.001)
