"""The body of the synchronous transports: the same path, walked in the portal's event loop.

An answer in memory is served in the caller's thread, and a request that is neither stored nor joined is sent there. So
is one whose answer comes in one piece, where no tier has to be waited for: other threads that ask the same wait for it
in the portal. Everything else runs in the portal, with the blocking work in its workers. Chunks are read from the
server when a reader wants them, so that none is being read when the last reader leaves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from ..calls import Opened, Reader, StreamCall, StreamOutcome
from ..calls.chunks import once
from .core import FAILURES, Core, RefusedError, report
from .portal import Portal, portal
from .tokens import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from ..calls import Demand
    from ..calls.gate import Passage
    from ..calls.tapes import Lead

__all__ = ["Chunks", "Stay", "SyncBody"]

T = TypeVar("T")
_Answer = tuple[Any, list[bytes], Iterator[bytes] | None, Exception | None]


class Chunks:
    """The body of a response, as it comes along the path; each library's own stream class is mixed in."""

    def __init__(
        self, home: Portal, entered: AbstractAsyncContextManager[StreamOutcome], chunks: AsyncIterator[bytes]
    ) -> None:
        self._portal = home
        self._entered: AbstractAsyncContextManager[StreamOutcome] | None = entered
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        chunks = self._chunks
        reader = chunks if isinstance(chunks, Reader) else None
        while True:
            chunk = reader.at_hand() if reader is not None else None
            if chunk is None:
                if reader is not None and reader.settled:
                    return
                chunk = self._portal.call(_next(chunks))
                if chunk is None:
                    return
            yield chunk

    def close(self) -> None:
        """Leave the path; the connection is given back when nobody else reads."""
        entered, self._entered = self._entered, None
        if entered is not None:
            leaving = self._portal.start(_leave(entered))
            if not (isinstance(self._chunks, Reader) and self._chunks.settled):
                leaving.result()


class Stay:
    """The body of a response that did not take the path; its request's stay with the server ends with it."""

    def __init__(self, stream: Any, passage: Passage | None, watch: Watch | None) -> None:
        self._stream = stream
        self._passage = passage
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if self._watch is not None:
                self._watch.see(chunk)
            yield chunk

    def close(self) -> None:
        """Close the body and leave."""
        passage, self._passage = self._passage, None
        try:
            self._stream.close()
        finally:
            if passage is not None:
                if self._watch is not None:
                    self._watch.end()
                passage.leave()


class SyncBody:
    """Sends requests along the path; arguments are those of `AsyncBody`, and `watched`: the same with `Stay`."""

    def __init__(
        self, library: Any, inner: Any, stream: Callable[..., Any], watched: Callable[..., Any], **options: Any
    ) -> None:
        self.inner = inner
        self._stream = stream
        self._watched = watched
        self.core = Core(library, self._open, **options)

    def over(self, inner: Any) -> SyncBody:
        """Return a body that shares the path of this one, over another transport."""
        twin = copy(self)
        twin.inner = inner
        twin.core = self.core.with_open(twin._open)  # noqa: SLF001 - its own class
        return twin

    def handle(self, request: Any) -> Any:
        """Return the response to `request`.

        Raises:
            TransportError: of the library; nothing else.
        """
        core = self.core
        request, call = core.plan(request)
        if call is None:
            return self.inner.handle_request(request)
        try:
            return self._handled(request, call)
        except FAILURES as error:
            failure = error
        return core.failed(call, failure)  # out here, so that what it raises has no context

    def _handled(self, request: Any, call: StreamCall) -> Any:
        core = self.core
        if core.path.free(call) and call.demand is not None:
            return self._send(request, call, call.demand)
        found = core.path.peek(call)
        if found is not None:
            if found.stale:
                portal().start(core.path.renew(call))
            return core.stored(call, found)
        home = portal()
        if call.demand is not None and (lead := core.path.lead(call, home.loop)) is not None:
            return self._lead(request, call, call.demand, lead)
        return self._walk(call, home)

    def _send(self, request: Any, call: StreamCall, demand: Demand) -> Any:
        """Send a request that has no tier to be in and nobody to share with, in the caller's thread."""
        core, retrying = self.core, call.policy.retry

        async def attempt() -> Any:
            passage = _entered(core.path.passage(call))
            try:
                response = self._ask(request, retrying, demand)
                if retrying and core.may_pass(response):
                    try:
                        raise RefusedError(response, b"".join(response.stream))
                    finally:
                        response.stream.close()
            except BaseException as error:
                passage.leave(error)
                raise
            if passage.lasts:
                watch = Watch(demand, core.meta(request, response), core.decoded) if passage.counts_tokens else None
                response.stream = self._watched(response.stream, passage, watch)
            else:
                passage.leave()
            return response

        response = _now(core.path.attempt(call, attempt, sleep=_sleep))
        response.extensions["hotloop"] = report(call, "bypass")
        return response

    def _lead(self, request: Any, call: StreamCall, demand: Demand, lead: Lead) -> Any:
        """Send a request in the caller's thread, read and store its answer, and tell it those who have joined."""
        core, retrying = self.core, call.policy.retry

        async def attempt() -> tuple[Opened, bytes, Exception | None]:
            passage = _entered(core.path.passage(call))
            try:
                response = self._ask(request, retrying, demand)
                body, broken = self._read(response, refused=retrying and core.may_pass(response))
            except BaseException as error:
                passage.leave(error)
                raise
            meta = core.meta(request, response)
            if passage.counts_tokens:
                watch = Watch(demand, meta, core.decoded)
                watch.see(body)
                watch.end()
            passage.leave()
            return Opened(once(body), meta, response), body, broken

        try:
            opened, body, broken = _now(core.path.attempt(call, attempt, sleep=_sleep))
            if broken is None:
                core.path.keep(call, body, opened.meta)
        except Exception as error:
            lead.end(None, b"", error)
            raise
        except BaseException:
            lead.forsake()
            raise
        lead.end(opened, body, broken)
        stream = core.library.ByteStream(body) if broken is None else self._watched(_Broken(body, broken), None, None)
        return core.live(call, StreamOutcome(opened.chunks, lead.cache, head=opened.head), stream)

    def _ask(self, request: Any, retrying: bool, demand: Demand) -> Any:
        try:
            response = self.inner.handle_request(request)
        except self.core.silent as error:
            self.core.unanswered(error, retrying, demand)
            raise
        self.core.observe(demand, response)
        return response

    def _walk(self, call: StreamCall, home: Portal) -> Any:
        core = self.core
        entered = core.path.stream(call)
        outcome = home.call(_enter(entered))
        if outcome.payload is None:
            return core.live(call, outcome, self._stream(home, entered, outcome.chunks))
        home.call(_leave(entered))
        return core.stored(call, outcome)

    @asynccontextmanager
    async def _open(self, request: Any, retrying: bool, demand: Demand) -> AsyncGenerator[Opened]:
        home = portal()

        async def blocking(work: Callable[..., T], *arguments: Any) -> T:
            return await home.loop.run_in_executor(home.workers, work, *arguments)

        async def read() -> AsyncGenerator[bytes]:
            for chunk in got:
                if watch is not None:
                    watch.see(chunk)
                yield chunk
            if error is not None:
                raise error
            while rest is not None and (chunk := await blocking(next, rest, None)) is not None:
                if watch is not None:
                    watch.see(chunk)
                yield chunk

        response, got, rest, error = await blocking(self._answer, request, retrying, demand)
        meta = self.core.meta(request, response)
        watch = Watch(demand, meta, self.core.decoded) if demand.counts_tokens else None
        try:
            yield Opened(read(), meta, response, lazy=rest is not None, brief=rest is None)
        finally:
            if watch is not None:
                watch.end()
            if rest is not None:
                await blocking(response.stream.close)

    def _answer(
        self, request: Any, retrying: bool, demand: Demand
    ) -> tuple[Any, list[bytes], Iterator[bytes] | None, Exception | None]:
        """Return the server's response with the chunks that are read, those that are not, and what broke it off.

        Only a stream of events is left to be read piece by piece: each way to a worker and back costs more than a
        chunk. What breaks the body of another answer is kept until the caller has come so far.
        """
        response = self._ask(request, retrying, demand)
        refused = retrying and self.core.may_pass(response)
        if not refused and response.headers.get("content-type", "").startswith("text/event-stream"):
            return response, [], iter(response.stream), None
        body, broken = self._read(response, refused=refused)
        return response, [body], None, broken

    @staticmethod
    def _read(response: Any, *, refused: bool) -> tuple[bytes, Exception | None]:
        """Return the body of a response, and what broke it off; raise it where it was refused."""
        got, broken = [], None
        try:
            for chunk in response.stream:
                got.append(chunk)  # noqa: PERF402 - what came before an error counts
        except Exception as error:  # noqa: BLE001 - the caller raises it
            broken = error
        finally:
            response.stream.close()
        if refused and broken is None:
            raise RefusedError(response, b"".join(got))
        return b"".join(got), broken

    def close(self) -> None:
        """Close the inner transport, and the tiers where they are the transport's own."""
        try:
            self.inner.close()
        finally:
            if self.core.owned is not None:
                portal().call(self.core.owned.aclose())


class _Broken:
    """The body of an answer that is read already and broke off."""

    def __init__(self, body: bytes, error: Exception) -> None:
        self._body = body
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        raise self._error

    def close(self) -> None:
        """Do nothing; the answer is closed."""


def _entered(passage: Passage) -> Passage:
    if not passage.try_enter():
        portal().call(passage.__aenter__())
    return passage


def _now(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` gives, in this thread; it waits for nothing but by blocking."""
    try:
        work.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    raise AssertionError("it waited for an event loop")


async def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - blocks the caller's thread, as `_now` wants it


async def _enter(entered: AbstractAsyncContextManager[StreamOutcome]) -> StreamOutcome:
    return await entered.__aenter__()


async def _leave(entered: AbstractAsyncContextManager[StreamOutcome]) -> None:
    await entered.__aexit__(None, None, None)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)
