"""Runs an async tool step by step inside its caller's task, so that it cannot hold on to its caller."""

from __future__ import annotations

import asyncio
import logging
import types
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from .metrics import Meters

__all__ = ["BLOCKED_AFTER", "DROPPED", "drive", "go_on"]

_log = logging.getLogger(__name__)

BLOCKED_AFTER = 0.1
"""Seconds that one step of an async tool may hold the event loop before it is reported."""


DROPPED = "it went on after its cancellation"
"""The message of the CancelledError of a coroutine that is never resumed."""


@types.coroutine
def drive(coro: Coroutine[Any, Any, Any], name: str, grace: float, meters: Meters) -> Generator[Any, Any, Any]:
    """Await `coro`, and give up on it when it goes on after its cancellation.

    No task is made for it: a call that does not wait costs no turn of the event loop. A cancellation is the caller's,
    so it goes up even when the coroutine swallows it.

    Args:
        coro: the call of an async tool.
        name: the tool's name.
        grace: seconds that it may go on after it was cancelled.
        meters: learn of steps that hold the event loop.

    Raises:
        asyncio.CancelledError: it was cancelled; with the message `DROPPED` where it was still not over after its
            grace. It will not run any further.
    """
    began = perf_counter()
    try:
        wanted = coro.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        if (held := perf_counter() - began) > BLOCKED_AFTER:
            meters.blocked(name, held)
    return (yield from go_on(coro, wanted, name, grace, meters))


@types.coroutine
def go_on(
    coro: Coroutine[Any, Any, Any], wanted: Any, name: str, grace: float, meters: Meters
) -> Generator[Any, Any, Any]:
    """Go on as `drive` does with a coroutine that has taken its first step and waits for `wanted`."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a tool runs in a task of asyncio")
    before = task.cancelling()
    timer: asyncio.TimerHandle | None = None
    over = False

    def end() -> None:
        nonlocal over
        over = True
        task.cancel()

    try:
        while True:
            error: BaseException | None = None
            try:
                sent = yield wanted
            except GeneratorExit:
                raise
            except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's
                error = thrown
            if over:
                task.uncancel()
                meters.dropped(name)
                raise asyncio.CancelledError(DROPPED)
            began = perf_counter()
            try:
                wanted = coro.send(sent) if error is None else coro.throw(error)
            except StopIteration as stop:
                if task.cancelling() > before:  # swallowed
                    raise asyncio.CancelledError from error
                return stop.value
            finally:
                if (held := perf_counter() - began) > BLOCKED_AFTER:
                    meters.blocked(name, held)
            if timer is None and task.cancelling() > before:
                timer = asyncio.get_running_loop().call_later(grace, end)
            elif timer is not None and task.cancelling() <= before:  # a time limit of its own, which it has handled
                timer.cancel()
                timer = None
    finally:
        if timer is not None:
            timer.cancel()
        _close(coro)


def _close(coro: Coroutine[Any, Any, Any]) -> None:
    try:
        coro.close()
    except Exception as error:  # noqa: BLE001 - whatever its clean-up raises comes too late
        _log.warning("an async tool that was given up ended with %s: %s", type(error).__name__, error)
        import ctypes

        # Kept for ever: to free it would run it again, also when the interpreter ends, and then without an end.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(coro))
