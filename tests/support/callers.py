"""One face for the clients of two libraries, asynchronous and not, so that one test holds for all four."""

import asyncio
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import httpx
import httpx2

from hotloop.http import legacy, transport

KINDS = ("httpx2-async", "httpx2-sync", "httpx-async", "httpx-sync")


class Got(NamedTuple):
    """What a caller saw: an answer, an error, or an answer that broke off."""

    status: int | None
    headers: list[tuple[str, str]]
    raw: bytes
    content: bytes
    error: str | None
    hotloop: dict[str, Any] | None

    @property
    def plain(self):
        """What it would have seen without hotloop, as far as that is one and the same each time."""
        headers = [pair for pair in self.headers if pair[0] != "date"]
        return self.status, headers, self.raw, self.content, self.error


class Caller:
    """A client; a context manager.

    Args:
        kind: one of `KINDS`.
        hot: whether it goes through hotloop's transport; else it is bare.
        options: those of the transport.
    """

    def __init__(self, kind: str, hot: bool = True, timeout: float = 5.0, **options: Any) -> None:
        library, _, way = kind.partition("-")
        self.library = {"httpx": httpx, "httpx2": httpx2}[library]
        self.asynchronous = way == "async"
        ours = {"httpx": legacy, "httpx2": transport}[library]
        name = "AsyncHotTransport" if self.asynchronous else "HotTransport"
        plain = "AsyncHTTPTransport" if self.asynchronous else "HTTPTransport"
        inner = getattr(self.library, plain)(verify=False)  # the default reads all the world's certificates each time
        self.transport = getattr(ours, name)(inner, **options) if hot else inner
        client = self.library.AsyncClient if self.asynchronous else self.library.Client
        self.client = client(transport=self.transport, timeout=timeout)
        self._stack = ExitStack()

    def __enter__(self):
        if self.asynchronous:
            self._runner = self._stack.enter_context(asyncio.Runner())
        return self

    def __exit__(self, *_):
        with self._stack:
            if self.asynchronous:
                self._runner.run(self.client.aclose())
            else:
                self.client.close()

    def post(self, url: str, body: Any, **options: Any) -> Got:
        """Send a request and read its answer to the end, or to its error."""
        request = self.client.build_request("POST", url, json=body, **options)
        return self.send(request)

    def send(self, request: Any) -> Got:
        """Send this request."""
        return self._runner.run(self._asend(request)) if self.asynchronous else self._send(request)

    def _send(self, request: Any) -> Got:
        raw, response = [], None
        try:
            response = self.client.send(request, stream=True)
            raw.extend(response.iter_raw())
        except self.library.TransportError as error:
            return self._got(response, raw, error)
        finally:
            if response is not None:
                response.close()
        return self._got(response, raw, None)

    async def _asend(self, request: Any) -> Got:
        raw, response = [], None
        try:
            response = await self.client.send(request, stream=True)
            async for chunk in response.aiter_raw():
                raw.append(chunk)  # noqa: PERF401 - what came before an error counts
        except self.library.TransportError as error:
            return self._got(response, raw, error)
        finally:
            if response is not None:
                await response.aclose()
        return self._got(response, raw, None)

    def _got(self, response: Any, raw: list[bytes], error: Exception | None) -> Got:
        said = None if error is None else f"{type(error).__name__}: {error}"
        if response is None:
            return Got(None, [], b"", b"", said, None)
        headers = response.headers.multi_items()
        content = b""
        if error is None:
            with suppress(self.library.DecodingError):
                content = self.library.Response(200, headers=headers, content=b"".join(raw)).content
        return Got(response.status_code, headers, b"".join(raw), content, said, response.extensions.get("hotloop"))
