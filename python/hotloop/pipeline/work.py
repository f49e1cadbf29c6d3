"""The work of one call: where it runs, how long it may, and what becomes of whatever it raises."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ..errors import HotloopError, ToolError, ToolTimeoutError
from ..tools.content import content_of

if TYPE_CHECKING:
    from ..tools import Tool
    from .threads import Threads

__all__ = ["Done", "decode", "encode", "work"]


class Done(NamedTuple):
    """What a tool returned, and what a model reads of it."""

    value: Any
    content: str


def encode(done: Done) -> bytes:
    """Return the bytes to store."""
    return (b"s" if isinstance(done.value, str) else b"j") + done.content.encode()


def decode(payload: bytes) -> Done:
    """Return what such bytes stand for; the value in its JSON form.

    Raises:
        ValueError: the bytes are damaged.
    """
    text = payload[1:].decode()
    if payload[:1] == b"s":
        return Done(text, text)
    return Done(orjson.loads(text), text)


async def work(tool: Tool, args: Any, limit: float | None, threads: Threads) -> Done:
    """Call `tool` with validated arguments, on the loop or in a thread.

    Args:
        tool: the tool.
        args: its arguments.
        limit: seconds that the work may take; None for no limit.
        threads: where sync tools run.

    Raises:
        ToolError: the tool failed; its own exception, `SystemExit` among them, is the cause.
        KeyboardInterrupt: Ctrl-C was pressed while it ran on the loop.
    """
    try:
        if limit is not None:
            value = await _within(limit, tool, args, threads)
        elif tool.is_async:
            value = await tool.invoke(args)
        else:
            value = await _in_thread(tool, args, threads)
        return Done(value, content_of(value))
    except (ToolError, KeyboardInterrupt):
        raise
    except GeneratorExit as error:
        if not _runs():  # this coroutine is being closed
            raise
        raise _failure(tool.name, error) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ToolError(f"{tool.name} failed: it was cancelled from inside") from error
    except BaseException as error:
        raise _failure(tool.name, error) from error


async def _in_thread(tool: Tool, args: Any, threads: Threads) -> Any:
    value, error = await threads.run(partial(tool.invoke, args))
    if error is not None:
        # An interrupt is for the main thread: one that is raised in another is the tool's own doing.
        raise error if isinstance(error, ToolError) else _failure(tool.name, error) from error
    return await value if asyncio.iscoroutine(value) else value


async def _within(limit: float, tool: Tool, args: Any, threads: Threads) -> Any:
    scope = asyncio.timeout(limit)
    late: BaseException | None = None
    try:
        async with scope:
            value = await (tool.invoke(args) if tool.is_async else _in_thread(tool, args, threads))
    except TimeoutError as error:
        if not scope.expired():
            raise
        late = error
    if scope.expired():  # also when it held on to its cancellation and came back with something, too late
        fate = (
            "was cancelled" if tool.is_async else "runs on in its thread, which cannot be stopped; its result is lost"
        )
        raise ToolTimeoutError(f"{tool.name} took longer than {limit:g} s and {fate}") from late
    return value


def _runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _failure(name: str, error: BaseException) -> ToolError:
    if isinstance(error, HotloopError):
        return ToolError(str(error))
    text = str(error)
    return ToolError(f"{name} failed: {type(error).__name__}{': ' if text else ''}{text}")
