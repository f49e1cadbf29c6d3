"""Clients that the SDKs take."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx2
from httpx2._utils import get_environment_proxies  # the rules of NO_PROXY; the library has no public name for them

from ..errors import MissingExtraError
from .pools import Pools
from .settings import client_options, inner_options
from .transport import AsyncHotTransport, HotTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..cache.base import Cache
    from ..calls import Limits, Retry
    from ..config import Config

__all__ = ["http_client", "http_client_sync"]

_OF_TRANSPORT = ("verify", "cert", "trust_env", "http1", "http2", "limits")


def http_client(
    *,
    cache: Cache | None = None,
    limits: Limits | httpx2.Limits | None = None,
    retry: Retry | None = None,
    config: Config | None = None,
    tenant: str | None = None,
    **options: Any,
) -> httpx2.AsyncClient:
    """Return a client ready for ``AsyncOpenAI(http_client=...)`` and ``AsyncAnthropic(http_client=...)``.

    Timeouts, redirects, connections and proxies are what those SDKs set for their own clients.

    Args:
        cache: as in `AsyncHotTransport`, like the next ones.
        limits: what may be in flight; or `httpx2.Limits`, which are those of the connections.
        retry: which failed requests are made again.
        config: settings.
        tenant: a name for those who share answers.
        options: those of `httpx2.AsyncClient`; they win. A `transport`, and those in `mounts`, are put below hotloop.

    Raises:
        CacheError: the disk tier that `config` asks for cannot be used.
        MissingExtraError: `http2` without its extra.
    """
    common: dict[str, Any] = {"cache": cache, "retry": retry, "config": config, "tenant": tenant}
    return httpx2.AsyncClient(
        **_options(
            options,
            limits,
            lambda **below: Pools(lambda: httpx2.AsyncHTTPTransport(**below)),
            lambda inner, limits: AsyncHotTransport(inner, limits=limits, **common),
        )
    )


def http_client_sync(
    *,
    cache: Cache | None = None,
    limits: Limits | httpx2.Limits | None = None,
    retry: Retry | None = None,
    config: Config | None = None,
    tenant: str | None = None,
    **options: Any,
) -> httpx2.Client:
    """Return a client ready for ``OpenAI(http_client=...)`` and ``Anthropic(http_client=...)``: see `http_client`."""
    common: dict[str, Any] = {"cache": cache, "retry": retry, "config": config, "tenant": tenant}
    return httpx2.Client(
        **_options(
            options,
            limits,
            httpx2.HTTPTransport,
            lambda inner, limits: HotTransport(inner, limits=limits, **common),
        )
    )


def _options(
    options: dict[str, Any],
    limits: Limits | httpx2.Limits | None,
    connect: Callable[..., Any],
    heat: Callable[[Any, Limits | None], Any],
) -> dict[str, Any]:
    """Return the options of a client whose requests go through hotloop, whichever proxy or mount they take.

    Args:
        options: what the caller gave for the client; emptied of what is for a transport.
        limits: as in `http_client`.
        connect: makes a bare transport.
        heat: puts the path over one, with limits.
    """
    if options.get("http2") and find_spec("h2") is None:
        raise MissingExtraError("HTTP/2 (http2=True)", "http2")
    below = {**inner_options(httpx2), **{name: options.pop(name) for name in _OF_TRANSPORT if name in options}}
    if isinstance(limits, httpx2.Limits):
        below["limits"], limits = limits, None
    trust_env = below.get("trust_env", True)
    inner, proxy = options.pop("transport", None), options.pop("proxy", None)
    proxies: Mapping[str, Any] = {}
    if proxy is not None:
        proxies = {"all://": proxy}
    elif trust_env and inner is None:
        proxies = get_environment_proxies()
    hot = heat(inner or connect(**below), limits)
    mounts = {pattern: None if proxy is None else connect(proxy=proxy, **below) for pattern, proxy in proxies.items()}
    mounts |= options.pop("mounts", None) or {}
    return {
        "transport": hot,
        "mounts": {pattern: None if inner is None else hot.over(inner) for pattern, inner in mounts.items()},
        "trust_env": trust_env,
        **client_options(httpx2),
        **options,
    }
