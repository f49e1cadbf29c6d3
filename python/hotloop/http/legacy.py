"""The transports for httpx 0.28 (extra ``httpx``): the same as those for httpx2, over the same bodies."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Self

from ..errors import MissingExtraError

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("hotloop.http.legacy", "httpx") from error

from .asynchronous import AsyncBody, AsyncChunks
from .pools import Pools
from .settings import inner_options
from .synchronous import Chunks, Stay, SyncBody

if TYPE_CHECKING:
    from ..cache.base import Cache
    from ..calls import Limits, Retry
    from ..config import Config

__all__ = ["AsyncHotTransport", "HotTransport"]


class _AsyncStream(AsyncChunks, httpx.AsyncByteStream):
    pass


class _Stream(Chunks, httpx.SyncByteStream):
    pass


class _Stay(Stay, httpx.SyncByteStream):
    pass


class AsyncHotTransport(httpx.AsyncBaseTransport):
    """Sends questions to models along the keyed-call path, and everything else on untouched.

    Knows OpenAI's chat completions, responses and embeddings and Anthropic's messages, at any base URL. What it did is
    told in ``response.extensions["hotloop"]``; what it shall do may be said in ``request.extensions["hotloop"]`` or in
    headers ``x-hotloop-*`` (docs/transport.md). It may be used from several event loops (of asyncio) and threads.

    Args:
        inner: the transport below; None for one of its own that keeps connections as the SDKs do.
        cache: the tiers; they are not closed with the transport. None for those that `config` asks for, or, without
            one, for a memory of its own; these are closed.
        limits: what may be in flight; None for the configuration's.
        retry: which failed requests are made again; None for the configuration's. An SDK that retries by itself is
            left to do so.
        config: settings; None for the defaults.
        tenant: a name for those who share answers; None keeps those with different credentials apart.

    Raises:
        CacheError: the disk tier that `config` asks for cannot be used.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport | None = None,
        *,
        cache: Cache | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        config: Config | None = None,
        tenant: str | None = None,
    ) -> None:
        below = inner or Pools(lambda: httpx.AsyncHTTPTransport(**inner_options(httpx)))
        self._body = AsyncBody(
            httpx, below, _AsyncStream, cache=cache, limits=limits, retry=retry, config=config, tenant=tenant
        )

    def over(self, inner: httpx.AsyncBaseTransport) -> Self:
        """Return a transport that shares the path of this one, with its tiers and limits, over another below."""
        twin = copy(self)
        twin._body = self._body.over(inner)  # noqa: SLF001 - its own class
        return twin

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response to `request`.

        Raises:
            httpx.TransportError: as the inner transport raises it; ``LocalProtocolError`` where the request asks of
                hotloop what cannot be had.
        """
        response: httpx.Response = await self._body.handle(request)
        return response

    async def aclose(self) -> None:
        """Close the connections, and the tiers where they are the transport's own."""
        await self._body.aclose()


class HotTransport(httpx.BaseTransport):
    """The synchronous twin of `AsyncHotTransport`; may be used from several threads.

    Requests are sent in the caller's thread where no tier and no stream has to be waited for. The others run in a
    thread of hotloop's own, which all such transports of the process share.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport | None = None,
        *,
        cache: Cache | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        config: Config | None = None,
        tenant: str | None = None,
    ) -> None:
        below = inner or httpx.HTTPTransport(**inner_options(httpx))
        self._body = SyncBody(
            httpx, below, _Stream, _Stay, cache=cache, limits=limits, retry=retry, config=config, tenant=tenant
        )

    def over(self, inner: httpx.BaseTransport) -> Self:
        """Return a transport that shares the path of this one, with its tiers and limits, over another below."""
        twin = copy(self)
        twin._body = self._body.over(inner)  # noqa: SLF001 - its own class
        return twin

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response to `request`; raises as `AsyncHotTransport.handle_async_request` does."""
        response: httpx.Response = self._body.handle(request)
        return response

    def close(self) -> None:
        """Close the connections, and the tiers where they are the transport's own."""
        self._body.close()
