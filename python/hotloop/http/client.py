"""A client that the SDKs take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
from httpx2._utils import get_environment_proxies  # the rules of NO_PROXY; the library has no public name for them

from .pools import Pools
from .settings import client_options, inner_options
from .transport import AsyncHotTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..cache.base import Cache
    from ..calls import Limits, Retry
    from ..config import Config

__all__ = ["http_client"]

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
    """
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

    def pools(proxy: Any) -> Any:
        return Pools(lambda: httpx2.AsyncHTTPTransport(proxy=proxy, **below))

    hot = AsyncHotTransport(inner or pools(None), cache=cache, limits=limits, retry=retry, config=config, tenant=tenant)
    mounts = {pattern: None if proxy is None else pools(proxy) for pattern, proxy in proxies.items()}
    mounts |= options.pop("mounts", None) or {}
    return httpx2.AsyncClient(
        transport=hot,
        mounts={pattern: None if inner is None else hot.over(inner) for pattern, inner in mounts.items()},
        trust_env=trust_env,
        **client_options(httpx2) | options,
    )
