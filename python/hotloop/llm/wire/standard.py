"""The wire over httpx2: one client for each event loop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import httpx2

from ..._core import BufferPool
from ...calls.loop import running_loop
from ...errors import ConfigError, MissingExtraError
from .base import LOCAL, Answer, broken, no_connection, proxy_error, silent, unreached

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping

    from ..._core import PoolStats
    from ...config.sections import LLMClientConfig, MemoryPoolConfig

__all__ = ["StandardWire"]

T = TypeVar("T")

_POOLED_FROM = 256 << 10
"""Bytes from which a body is read into a pooled buffer; smaller ones malloc keeps ready as well."""
_POOLED_TO = 64 << 20
"""A server that announces more is not believed: its body grows as it comes."""


class StandardWire:
    """A `Wire` over httpx2.

    Connections belong to the event loop that opened them, so each loop has its own client; it is closed with
    `aclose`, or with its loop.

    Args:
        settings: timeouts, connections and HTTP versions.
        memory: the buffers that large responses are read into.
        http: a client to use as it is, and not to close; None for clients of our own.
    """

    def __init__(
        self, settings: LLMClientConfig, memory: MemoryPoolConfig, http: httpx2.AsyncClient | None = None
    ) -> None:
        self._settings = settings
        self._pools = memory.enabled
        self._pool = BufferPool(memory.max_buffers, memory.max_bytes)
        self._http = http
        self._open: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[httpx2.AsyncClient, AsyncGenerator[httpx2.AsyncClient]]
        ] = WeakKeyDictionary()
        self._tls: ssl.SSLContext | None = None
        self._timeout = self._limits(settings.timeout)
        self._parsed = lru_cache(64)(httpx2.URL)  # a request parses its URL twice

    async def send(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        patience: float | None,
        use: Callable[[Answer], T],
        method: str = "POST",
    ) -> T:
        """Send a request and return what `use` makes of the whole response; a large one lies in a pooled buffer."""
        client = self._http or await self._client(url)
        request = client.build_request(
            method, self._parsed(url), headers=headers, content=body, timeout=self._limits(patience)
        )
        with self._failures(url, patience):
            response = await client.send(request, stream=True)
        try:
            size = self._pooled_size(response)
            if not size:
                with self._failures(url, patience):
                    content = await response.aread()
                return use(Answer(response.status_code, dict(response.headers.items()), content))
            with self._pool.take(size) as buffer:
                with self._failures(url, patience):
                    async for chunk in response.aiter_bytes():
                        buffer.write(chunk)
                with buffer.view() as view:
                    return use(Answer(response.status_code, dict(response.headers.items()), view))
        finally:
            await response.aclose()

    def _pooled_size(self, response: httpx2.Response) -> int:
        """Return the size of a body that is worth a pooled buffer, else 0."""
        length = response.headers.get("content-length", "")
        if not self._pools or not length.isdecimal() or "content-encoding" in response.headers:
            return 0
        size = int(length)
        return size if _POOLED_FROM <= size <= _POOLED_TO else 0

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes, patience: float | None
    ) -> AsyncGenerator[tuple[Answer, AsyncIterator[bytes]]]:
        """Send a request and give the response's head, with an empty body, and its chunks as they come."""
        client = self._http or await self._client(url)
        request = client.build_request(
            "POST", self._parsed(url), headers=headers, content=body, timeout=self._limits(patience)
        )
        with self._failures(url, patience):
            response = await client.send(request, stream=True)
        try:
            yield (
                Answer(response.status_code, dict(response.headers.items()), b""),
                self._chunks(response, url, patience),
            )
        finally:
            await response.aclose()

    async def _chunks(self, response: httpx2.Response, url: str, patience: float | None) -> AsyncGenerator[bytes]:
        with self._failures(url, patience):
            async for chunk in response.aiter_bytes():
                yield chunk

    def _limits(self, patience: float | None) -> httpx2.Timeout:
        if patience is None:
            return self._timeout
        # Waiting for one of our own connections is no silence of the server's, and has no limit.
        return httpx2.Timeout(patience, connect=self._settings.connect_timeout, pool=None)

    @contextmanager
    def _failures(self, url: str, patience: float | None) -> Generator[None]:
        try:
            yield
        except httpx2.ConnectTimeout as error:
            raise no_connection(url, self._settings.connect_timeout) from error
        except httpx2.TimeoutException as error:
            raise silent(url, self._settings.timeout if patience is None else patience) from error
        except httpx2.ConnectError as error:
            raise unreached(url, str(error) or type(error).__name__) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise broken(url, str(error) or type(error).__name__) from error

    async def _client(self, url: str) -> httpx2.AsyncClient:
        loop = running_loop()
        found = self._open.get(loop)
        if found is None:
            for other in [other for other in self._open if other.is_closed()]:
                del self._open[other]
            life = self._life(loop, httpx2.URL(url))
            found = self._open[loop] = await anext(life), life
        return found[0]

    async def _life(self, loop: asyncio.AbstractEventLoop, url: httpx2.URL) -> AsyncGenerator[httpx2.AsyncClient]:
        """Hold a client open until it is closed: an event loop that ends closes its generators first."""
        settings = self._settings
        connections = settings.max_connections
        if self._tls is None and url.scheme == "https":
            try:
                self._tls = httpx2.create_ssl_context()
            except OSError as error:
                raise ConfigError(
                    "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be used: "
                    f"{error.strerror or error}"
                ) from error
        try:
            client = httpx2.AsyncClient(
                verify=self._tls or False,  # never asked where nothing is encrypted
                http2=settings.http2,
                timeout=self._timeout,
                limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
                trust_env=url.host not in LOCAL,
            )
        except ValueError as error:
            raise proxy_error(str(error)) from error
        except ImportError as error:
            if "SOCKS" in str(error):
                raise proxy_error('SOCKS needs a package more: pip install "httpx2[socks]"') from error
            raise MissingExtraError("HTTP/2 (llm_client.http2)", "http2") from error
        try:
            yield client
        finally:
            self._open.pop(loop, None)
            await client.aclose()

    def pool(self) -> PoolStats:
        """Return the counters of the buffers."""
        return self._pool.stats()

    async def aclose(self) -> None:
        """Close the client of the running loop; those of other loops close with their loops."""
        found = self._open.get(asyncio.get_running_loop())
        if found is not None:
            await found[1].aclose()
