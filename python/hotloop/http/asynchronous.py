"""The body of the asynchronous transports."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from copy import copy
from typing import TYPE_CHECKING, Any

from ..calls import Opened, Reader, StreamCall, StreamOutcome
from .core import FAILURES, Core, RefusedError, report
from .tokens import Watch

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..calls import Demand
    from ..calls.gate import Passage

__all__ = ["AsyncBody", "AsyncChunks"]


class AsyncChunks:
    """The body of a response, as it comes along the path; each library's own stream class is mixed in.

    Args:
        entered: what is left when the response is closed.
        chunks: the bytes.
    """

    def __init__(self, entered: AbstractAsyncContextManager[StreamOutcome], chunks: AsyncIterator[bytes]) -> None:
        self._entered: AbstractAsyncContextManager[StreamOutcome] | None = entered
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks  # goes on where the last one stopped: an SDK may read the rest by itself

    async def aclose(self) -> None:
        """Leave the path; the connection is given back when nobody else reads."""
        entered, self._entered = self._entered, None
        if entered is not None:
            await entered.__aexit__(None, None, None)


class AsyncBody:
    """Sends requests along the path.

    Args:
        inner: the transport below.
        stream: the library's stream class with `AsyncChunks` mixed in.
        library, options: as in `Core`.
    """

    def __init__(self, library: Any, inner: Any, stream: Callable[..., Any], **options: Any) -> None:
        self.inner = inner
        self._stream = stream
        self.core = Core(library, self._open, **options)

    def over(self, inner: Any) -> AsyncBody:
        """Return a body that shares the path of this one, over another transport."""
        twin = copy(self)
        twin.inner = inner
        twin.core = self.core.with_open(twin._open)  # noqa: SLF001 - its own class
        return twin

    async def handle(self, request: Any) -> Any:
        """Return the response to `request`.

        Raises:
            TransportError: of the library; nothing else.
        """
        request, call = self.core.plan(request)
        if call is None:
            return await self.inner.handle_async_request(request)
        if self.core.path.free(call) and call.demand is not None:
            work = self._send(request, call, call.demand)
        else:
            work = self._walk(call)
        try:
            return await work
        except FAILURES as error:
            failure = error
        return self.core.failed(call, failure)  # out here, so that what it raises has no context

    async def _send(self, request: Any, call: StreamCall, demand: Demand) -> Any:
        """Send a request that has no tier to be in and nobody to share with."""
        core = self.core

        async def attempt() -> Any:
            passage = core.path.passage(call)
            await passage.__aenter__()
            try:
                response = await self._answer(request, call.policy.retry, demand)
            except BaseException as error:
                passage.leave(error)
                raise
            if passage.lasts:
                watch = Watch(demand, core.meta(request, response), core.decoded) if passage.counts_tokens else None
                response.stream = self._stream(_Stay(response.stream, passage, watch), _watched(response.stream, watch))
            else:
                passage.leave()
            return response

        response = await core.path.attempt(call, attempt)
        response.extensions["hotloop"] = report(call, "bypass")
        return response

    async def _walk(self, call: StreamCall) -> Any:
        core = self.core
        entered = core.path.stream(call)
        outcome = await entered.__aenter__()
        if outcome.payload is not None:
            await entered.__aexit__(None, None, None)
            return core.stored(call, outcome)
        payload = outcome.chunks.rest() if isinstance(outcome.chunks, Reader) else None
        if payload is None:
            return core.live(call, outcome, self._stream(entered, outcome.chunks))
        await entered.__aexit__(None, None, None)
        return core.live(call, outcome, core.library.ByteStream(payload))

    async def _answer(self, request: Any, retrying: bool, demand: Demand) -> Any:
        """Return the server's response; where it is to be retried, raise what may pass."""
        try:
            response = await self.inner.handle_async_request(request)
        except self.core.silent as error:
            self.core.unanswered(error, retrying, demand)
            raise
        self.core.observe(demand, response)
        if retrying and self.core.may_pass(response):
            try:
                raise RefusedError(response, b"".join([chunk async for chunk in response.stream]))
            finally:
                await response.stream.aclose()
        return response

    def _open(self, request: Any, retrying: bool, demand: Demand) -> AbstractAsyncContextManager[Opened]:
        return _Work(self, request, retrying, demand)

    async def aclose(self) -> None:
        """Close the inner transport, and the tiers where they are the transport's own."""
        try:
            await self.inner.aclose()
        finally:
            if self.core.owned is not None:
                await self.core.owned.aclose()


def _watched(stream: Any, watch: Watch | None) -> AsyncIterator[bytes]:
    if watch is None:
        plain: AsyncIterator[bytes] = stream.__aiter__()
        return plain

    async def chunks() -> AsyncGenerator[bytes]:
        async for chunk in stream:
            watch.see(chunk)
            yield chunk

    return chunks()


class _Stay:
    """A request's stay with its server, left when its answer is closed."""

    def __init__(self, stream: Any, passage: Passage, watch: Watch | None) -> None:
        self._stream = stream
        self._passage = passage
        self._watch = watch

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._watch is not None:
                self._watch.end()
            self._passage.leave()


class _Work:
    """An answer of the server, from its head to its end. A class, because each miss pays for it."""

    __slots__ = ("_body", "_chunks", "_demand", "_request", "_response", "_retrying", "_watch")

    def __init__(self, body: AsyncBody, request: Any, retrying: bool, demand: Demand) -> None:
        self._body = body
        self._request = request
        self._retrying = retrying
        self._demand = demand
        self._watch: Watch | None = None

    async def __aenter__(self) -> Opened:
        core, demand = self._body.core, self._demand
        self._response = response = await self._body._answer(self._request, self._retrying, demand)  # noqa: SLF001
        meta = core.meta(self._request, response)
        if demand.counts_tokens:
            self._watch = Watch(demand, meta, core.decoded)
        self._chunks = chunks = _watched(response.stream, self._watch)
        return Opened(chunks, meta, response, brief=core.brief(meta))

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.end()
        try:
            if isinstance(self._chunks, AsyncGenerator):
                await self._chunks.aclose()
        finally:
            await self._response.stream.aclose()
