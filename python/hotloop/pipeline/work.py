"""The work of one call: where it runs, how long it may, and what becomes of whatever it raises."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import orjson

from ..errors import HotloopError, ToolError, ToolTimeoutError
from ..tools.content import content_of, words_of
from .drive import BLOCKED_AFTER, DROPPED, drive, go_on
from .printed import Printer, capture, release
from .processes import Processes, Ticket
from .threads import Threads

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ..config.sections import AsyncPipelineConfig
    from ..tools import Tool
    from .job import Job
    from .metrics import Meters
    from .threads import Late

__all__ = ["Done", "Workshop", "decode", "encode", "failure", "reraise"]


_STUCK = "runs on in its thread, which cannot be stopped; its result is lost"


class Done(NamedTuple):
    """What a tool returned, and what a model reads of it; `error` where it raised what is kept like a result."""

    value: Any
    content: str
    printed: str = ""
    error: ToolError | None = None


def encode(done: Done) -> bytes:
    """Return the bytes to store."""
    if done.error is not None:
        return b"e" + str(done.error).encode("utf-8", "replace")
    if done.printed:
        return b"p" + orjson.dumps([isinstance(done.value, str), done.content, done.printed])
    return (b"s" if isinstance(done.value, str) else b"j") + done.content.encode()


def decode(payload: bytes) -> Done:
    """Return what such bytes stand for; the value in its JSON form.

    Raises:
        ValueError: the bytes are damaged.
    """
    kind, text, printed = payload[:1], payload[1:].decode(), ""
    if kind == b"e":
        return Done(None, "", error=ToolError(text))
    if kind == b"p":
        is_text, text, printed = orjson.loads(text)
        kind = b"s" if is_text else b"j"
    return Done(text if kind == b"s" else orjson.loads(text), text, printed)


class Workshop:
    """Where calls are worked on: on the event loop, in threads, in processes.

    Args:
        max_abandoned: how many threads that cannot be stopped may run on before new work is refused.
        meters: what is counted.
    """

    def __init__(self, max_abandoned: int, meters: Meters) -> None:
        self.threads = Threads(max_abandoned)
        self.processes = Processes()
        self._meters = meters

    def close(self) -> None:
        """End the threads and processes that are idle."""
        self.threads.close()
        self.processes.close()

    async def work(self, tool: Tool, job: Job, settings: AsyncPipelineConfig) -> Done:
        """Call `tool` with the validated arguments of `job`.

        Args:
            tool: the tool.
            job: its call.
            settings: how long it may take, where the tool does not say, and go on after its cancellation.

        Raises:
            ToolError: the tool failed; its own exception, `SystemExit` among them, is the cause.
            KeyboardInterrupt: Ctrl-C was pressed while it ran on the loop.
        """
        try:
            await self._work(tool, job, settings)
        except ToolError as error:
            if isinstance(error.__cause__, tool.cache_errors):
                return Done(None, "", error=error)
            raise
        said = "" if job.printed is None else job.printed.text()
        return Done(job.value, job.content, said)

    async def _work(self, tool: Tool, job: Job, settings: AsyncPipelineConfig) -> None:
        if tool.is_async:
            rest = self.start(tool, job, settings)
            if rest is not None:
                await rest
            return
        limit = _limit(tool, settings)
        if tool.where == "process":
            walk = _timed(tool.name, limit, self._in_process(tool, job), "was ended with its process")
        else:
            call = self._call(partial(tool.invoke, job.args), tool.name, job, settings.cancel_grace)
            walk = _timed(tool.name, limit, call, _STUCK)
        await _rest(tool.name, job, walk, capture(job))

    def start(self, tool: Tool, job: Job, settings: AsyncPipelineConfig) -> Coroutine[Any, Any, None] | None:
        """Take the first step of an async tool, which is all that it needs where it does not wait.

        Returns:
            None where that step was its last: the job has its value and content. Else the rest, at whose end it has
            them; that has all that waiting needs, the time limit and the grace.

        Raises:
            ToolError: as `work`.
        """
        rest: Coroutine[Any, Any, None] | None = None
        token = capture(job)
        try:
            coro = tool.invoke(job.args)
            try:
                wanted = coro.send(None)
            except StopIteration as stop:
                job.value = stop.value
                job.content = content_of(stop.value)
                return None
            finally:
                if (held := perf_counter() - job.started) > BLOCKED_AFTER:
                    self._meters.blocked(tool.name, held)
            walk = go_on(coro, wanted, tool.name, settings.cancel_grace, self._meters)
            timed = _timed(tool.name, _limit(tool, settings), walk, "was cancelled", job.started)
            rest = _rest(tool.name, job, timed, token)
        except (ToolError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a tool may raise anything
            reraise(tool.name, error)
        finally:
            if rest is None:
                release(token)
        return rest

    async def batch(self, tool: Tool, args: list[Any], settings: AsyncPipelineConfig, job: Late) -> Any:
        """Call the batch function of `tool` with the arguments of several calls, and return what it returns.

        Raises:
            ToolError: the function failed, or took too long.
        """
        func = tool.batch.func if tool.batch is not None else None
        if func is None:
            raise ToolError(f"{tool.name} has no batch function")
        limit, grace = _limit(tool, settings), settings.cancel_grace
        token = capture(Printer())
        try:
            if asyncio.iscoroutinefunction(func):
                walk = drive(func(args), tool.name, grace, self._meters)
                return await _timed(tool.name, limit, walk, "was cancelled")
            return await _timed(tool.name, limit, self._call(partial(func, args), tool.name, job, grace), _STUCK)
        except (ToolError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a tool may raise anything
            reraise(tool.name, error)
        finally:
            release(token)

    async def _call(self, func: Any, name: str, job: Late, grace: float) -> Any:
        value, error = await self.threads.run(func, job)
        if error is not None:
            # An interrupt is for the main thread: one that is raised in another is the tool's own doing.
            if isinstance(error, ToolError):
                raise error
            raise failure(name, error) from error
        if inspect.iscoroutine(value):  # asyncio would take a generator for one, before Python 3.12
            return await drive(value, name, grace, self._meters)
        return value

    async def _in_process(self, tool: Tool, job: Job) -> Any:
        ticket = Ticket()
        try:
            ended, error = await self.threads.run(partial(self.processes.run, tool, job.given, ticket), job)
        except asyncio.CancelledError:
            self.processes.kill(ticket)  # its thread ends with it
            raise
        if error is not None:
            raise error
        value, text = ended
        if text:
            job.write(text)
        return value


async def _rest(name: str, job: Job, walk: Coroutine[Any, Any, Any], token: Any) -> None:
    """Await the work of a call, whose output was captured, to its end."""
    try:
        job.value = value = await walk
        job.content = content_of(value)
    except (ToolError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - a tool may raise anything
        reraise(name, error)
    finally:
        release(token)


def _limit(tool: Tool, settings: AsyncPipelineConfig) -> float | None:
    return tool.timeout if tool.timeout is not None else settings.timeout


async def _timed(name: str, limit: float | None, walk: Any, fate: str, since: float | None = None) -> Any:
    """Await `walk` for `limit` seconds from now, or from the `perf_counter` of a beginning."""
    if limit is None:
        return await walk
    scope = asyncio.timeout(limit if since is None else since + limit - perf_counter())
    late: BaseException | None = None
    try:
        async with scope:
            return await walk
    except TimeoutError as error:
        if not scope.expired():
            raise
        late = error
    if late.__cause__ is not None and DROPPED in late.__cause__.args:
        fate = "went on after it was cancelled, so it was given up"
    raise ToolTimeoutError(f"{name} took longer than {limit:g} s and {fate}") from late


def reraise(name: str, error: BaseException) -> NoReturn:
    """Raise what a tool raised as the error of its call; a cancellation of the caller stays one."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
        raise ToolError(f"{name} failed: it was cancelled from inside") from error
    if isinstance(error, GeneratorExit) and not _runs():  # the coroutine is being closed
        raise error
    raise failure(name, error) from error


def _runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def failure(name: str, error: BaseException) -> ToolError:
    """Return what a tool raised as the error of its call."""
    if isinstance(error, HotloopError):
        return ToolError(str(error))
    return ToolError(f"{name} failed: {words_of(error)}")
