"""The drop-in: transports that bring caching, dedup, limits and retries to SDKs built on httpx2 and httpx."""

from __future__ import annotations

from .client import http_client, http_client_sync
from .transport import AsyncHotTransport, HotTransport

__all__ = ["AsyncHotTransport", "HotTransport", "http_client", "http_client_sync"]
