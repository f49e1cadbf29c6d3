"""The wire over pyreqwest: HTTP in Rust, for a fraction of the processor time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies
from weakref import WeakKeyDictionary, ref

from ..._core import BufferPool
from ...calls.loop import running_loop
from ...errors import ConfigError, HotloopError, MissingExtraError
from ..text import brief
from .base import LOCAL, Answer, broken, no_connection, origin, proxy_error, silent, unreached
from .leaving import wait_when_leaving

try:
    from pyreqwest.client import Client, ClientBuilder
    from pyreqwest.exceptions import BuilderError, PyreqwestError, RequestTimeoutError
    from pyreqwest.http import HeaderMap, Url
except ImportError as missing:
    raise MissingExtraError('the wire "pyreqwest" (llm_client.wire)', "fast") from missing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from pyreqwest.request import RequestBuilder
    from pyreqwest.response import ResponseBodyReader

    from ..._core import PoolStats
    from ...config.sections import LLMClientConfig

__all__ = ["FastWire"]

T = TypeVar("T")

_PATIENCES = 8
"""Time-outs belong to a client of pyreqwest: so many are kept, for calls that have time-outs of their own."""
_NO_LOOP: tuple[Callable[[], asyncio.AbstractEventLoop | None], dict[float, Client]] = lambda: None, {}
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


class _Headers:
    """The headers of a response. One that is no text is not there: the library's own object raises for it."""

    __slots__ = ("_get",)

    def __init__(self, headers: HeaderMap) -> None:
        self._get = headers.get

    def get(self, name: str, /) -> str | None:
        """Return the value of `name`, or None."""
        try:
            return self._get(name)
        except ValueError:
            return None


class FastWire:
    """A `Wire` over pyreqwest. Bodies lie in memory of its own, so no buffer of ours is taken for them.

    Args:
        settings: timeouts, connections and HTTP versions.
    """

    def __init__(self, settings: LLMClientConfig) -> None:
        wait_when_leaving()
        self._settings = settings
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Client]] = WeakKeyDictionary()
        self._latest = _NO_LOOP
        self._parsed = lru_cache(64)(Url)
        self._headers: tuple[Mapping[str, str], HeaderMap] = {}, HeaderMap()

    async def send(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        patience: float | None,
        use: Callable[[Answer], T],
        method: str = "POST",
    ) -> T:
        """Send a request and return what `use` makes of the whole response."""
        try:
            response = await self._request(method, url, headers, body, patience).build().send()
            content = memoryview(await response.bytes())
        except PyreqwestError as error:
            raise self._failure(error, url, patience) from _cause(error, url)
        return use(Answer(response.status, _Headers(response.headers), content))

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes, patience: float | None
    ) -> AsyncGenerator[tuple[Answer, AsyncIterator[bytes]]]:
        """Send a request and give the response's head, with an empty body, and its chunks as they come."""
        try:
            builder = self._request("POST", url, headers, body, patience)
            request = builder.streamed_read_buffer_limit(0).build_streamed()
            response = await request.__aenter__()
        except PyreqwestError as error:
            raise self._failure(error, url, patience) from _cause(error, url)
        try:
            head = Answer(response.status, _Headers(response.headers), b"")
            yield head, self._chunks(response.body_reader, url, patience)
        finally:
            await request.__aexit__(None, None, None)

    async def _chunks(self, reader: ResponseBodyReader, url: str, patience: float | None) -> AsyncGenerator[bytes]:
        read = reader.read_chunk
        try:
            while (chunk := await read()) is not None:
                yield chunk.to_bytes()
        except PyreqwestError as error:
            raise self._failure(error, url, patience) from _cause(error, url)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, patience: float | None
    ) -> RequestBuilder:
        running = running_loop()
        loop, clients = self._latest
        if loop() is not running:
            clients = self._loops.setdefault(running, {})
            self._latest = ref(running), clients
        patience = self._settings.timeout if patience is None else patience
        client = clients.get(patience)
        if client is None:
            while len(clients) >= _PATIENCES:
                del clients[next(iter(clients))]  # its requests under way go on
            client = clients[patience] = self._client(urlsplit(url).hostname or "", patience)
        known, read = self._headers
        if known != headers:  # mostly they are those of the request before
            known, read = self._headers = dict(headers), HeaderMap(headers)
        return client.request(method, self._parsed(url)).headers(read).body_bytes(body)

    def _client(self, host: str, patience: float) -> Client:
        settings = self._settings
        builder = (
            ClientBuilder()
            .follow_redirects(False)
            .referer(False)
            .connect_timeout(timedelta(seconds=settings.connect_timeout))
            .read_timeout(timedelta(seconds=patience))
            .max_connections(settings.max_connections)
            .pool_max_idle_per_host(settings.max_connections)
            .http2(settings.http2)
        )
        if host in LOCAL:
            builder = builder.no_proxy()
        else:
            for scheme, proxy in getproxies().items():
                if scheme in ("http", "https", "all") and urlsplit(proxy).scheme not in _PROXY_SCHEMES:
                    raise proxy_error(f"{scheme} proxies are none of the kind {urlsplit(proxy).scheme or proxy!r}")
        return builder.build()

    def _failure(self, error: PyreqwestError, url: str, patience: float | None) -> HotloopError:
        settings = self._settings
        causes = [cause["message"] for cause in getattr(error, "details", {}).get("causes") or ()]
        # Its classes tell the phase of the request, and count the wait for the head of an answer as connecting.
        connecting = any("(Connect)" in cause for cause in causes)
        why = causes[-1] if causes else type(error).__name__
        if isinstance(error, BuilderError):
            return ConfigError(f"{origin(url)} cannot be asked: {brief(why)}")
        if isinstance(error, RequestTimeoutError):
            if connecting:
                return no_connection(url, settings.connect_timeout)
            return silent(url, settings.timeout if patience is None else patience)
        return unreached(url, why) if connecting else broken(url, why)

    def pool(self) -> PoolStats:
        """Return counters of buffers: none was taken."""
        return BufferPool(1, 1).stats()

    async def aclose(self) -> None:
        """Close the clients of the running loop; those of other loops close with their loops."""
        self._latest = _NO_LOOP
        for client in self._loops.pop(asyncio.get_running_loop(), {}).values():
            await client.close()


def _cause(error: PyreqwestError, url: str) -> PyreqwestError | None:
    """Return the error that another comes from; None where it repeats a query, which may hold a credential."""
    return None if "?" in url else error
