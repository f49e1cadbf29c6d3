"""The body of the asynchronous transports."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from copy import copy
from typing import TYPE_CHECKING, Any

from ..calls import Opened, StreamCall, StreamOutcome
from ..errors import CacheError
from .answers import kept
from .core import Core, RefusedError, UnreachedError, report

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

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
        self._unreached = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout)
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
        if self.core.path.free(call):
            return await self._send(request, call)
        return await self._walk(call)

    async def _send(self, request: Any, call: StreamCall) -> Any:
        """Send a request that the path has nothing to do for once its answer comes."""
        try:
            response = await self.core.path.attempt(call, lambda: self._answer(request, call.policy.retry))
        except RefusedError as refused:
            return self.core.refused(call, refused)
        except UnreachedError as error:
            cause = error.__cause__
        else:
            response.extensions["hotloop"] = report(call, "bypass")
            return response
        raise cause or AssertionError("no cause")

    async def _walk(self, call: StreamCall) -> Any:
        core = self.core
        entered = core.path.stream(call)
        try:
            outcome = await entered.__aenter__()
        except RefusedError as refused:
            return core.refused(call, refused)
        except CacheError:
            return core.absent(call)
        except UnreachedError as error:
            cause = error.__cause__
        else:
            if outcome.payload is None:
                return core.live(call, outcome, self._stream(entered, outcome.chunks))
            await entered.__aexit__(None, None, None)
            return core.stored(call, outcome)
        raise cause or AssertionError("no cause")

    async def _answer(self, request: Any, retrying: bool) -> Any:
        """Return the server's response; where it is to be retried, raise what may pass."""
        if not retrying:
            return await self.inner.handle_async_request(request)
        try:
            response = await self.inner.handle_async_request(request)
        except self._unreached as error:
            raise UnreachedError from error
        if self.core.may_pass(response):
            try:
                raise RefusedError(response, b"".join([chunk async for chunk in response.stream]))
            finally:
                await response.stream.aclose()
        return response

    def _open(self, request: Any, retrying: bool) -> AbstractAsyncContextManager[Opened]:
        return _Work(self._answer(request, retrying))

    async def aclose(self) -> None:
        """Close the inner transport, and the tiers where they are the transport's own."""
        try:
            await self.inner.aclose()
        finally:
            if self.core.owned is not None:
                await self.core.owned.aclose()


class _Work:
    """An answer of the server, from its head to its end. A class, because each miss pays for it."""

    __slots__ = ("_answer", "_chunks", "_response")

    def __init__(self, answer: Coroutine[Any, Any, Any]) -> None:
        self._answer = answer

    async def __aenter__(self) -> Opened:
        self._response = response = await self._answer
        self._chunks = chunks = response.stream.__aiter__()
        return Opened(chunks, kept(response.status_code, response.headers.multi_items()), response)

    async def __aexit__(self, *_: object) -> None:
        try:
            if isinstance(self._chunks, AsyncGenerator):
                await self._chunks.aclose()
        finally:
            await self._response.stream.aclose()
