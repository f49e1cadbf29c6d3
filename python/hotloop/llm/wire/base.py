"""What a wire is, and how its failures read, whatever it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from ...errors import ConfigError, ModelConnectionError, ModelTimeoutError
from ..text import brief

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ..._core import PoolStats
    from ...calls.headers import Headers

__all__ = ["LOCAL", "Answer", "Wire", "broken", "no_connection", "origin", "proxy_error", "silent", "unreached"]

T = TypeVar("T")

LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
"""This machine, which no proxy of the environment can reach for us: the embedded model's server is here."""


class Answer(NamedTuple):
    """A response: its status, its headers (found by names in lower case) and its body."""

    status: int
    headers: Headers
    body: bytes | memoryview


class Wire(Protocol):
    """Sends requests, from any event loop. It follows no redirect and keeps no cookie."""

    async def send(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        patience: float | None,
        use: Callable[[Answer], T],
        method: str = "POST",
    ) -> T:
        """Send a request and return what `use` makes of the whole response, whose body is there only while it runs.

        Args:
            url: where to.
            headers: the request's.
            body: the request's.
            patience: seconds that the server may be silent; None for the configuration's.
            use: reads the response.
            method: the request's.

        Raises:
            ModelConnectionError: the server could not be reached, or went away.
            ModelTimeoutError: it did not answer in time.
        """

    def stream(
        self, url: str, headers: Mapping[str, str], body: bytes, patience: float | None
    ) -> AbstractAsyncContextManager[tuple[Answer, AsyncIterator[bytes]]]:
        """Send a request and give the response's head, with an empty body, and its chunks as they come.

        Raises:
            ModelConnectionError: the server could not be reached, or went away; also while reading.
            ModelTimeoutError: it did not answer in time; also while reading.
        """

    def pool(self) -> PoolStats:
        """Return the counters of the buffers that large responses are read into."""

    async def aclose(self) -> None:
        """Close the connections of the running event loop; those of other loops close with their loops."""


def no_connection(url: str, limit: float) -> ModelTimeoutError:
    """Return the error for a connection that was not made in time."""
    late = ModelTimeoutError(f"{origin(url)} took no connection within {limit:g} s")
    late.acted = False
    return late


def silent(url: str, limit: float) -> ModelTimeoutError:
    """Return the error for an answer that did not come, or did not go on, in time."""
    return ModelTimeoutError(f"{origin(url)} was silent for {limit:g} s; give it longer with llm_client.timeout")


def unreached(url: str, why: str) -> ModelConnectionError:
    """Return the error for a server that took no connection."""
    lost = ModelConnectionError(
        f"{origin(url)} could not be reached ({brief(why)}); check the base URL, and that the server runs"
    )
    lost.acted = False
    return lost


def broken(url: str, why: str) -> ModelConnectionError:
    """Return the error for an answer that broke off."""
    return ModelConnectionError(f"{origin(url)} broke off its answer ({brief(why)})")


def proxy_error(why: str) -> ConfigError:
    """Return the error for a proxy that is none."""
    return ConfigError(f"the proxy that the environment names cannot be used: {brief(why)}")


def origin(url: str) -> str:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
