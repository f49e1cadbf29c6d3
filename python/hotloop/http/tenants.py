"""What keeps the answers of one caller apart from those of others, without any secret in it."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["tenant_of", "varied"]

_CREDENTIALS = frozenset(
    {
        b"authorization",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"proxy-authorization",
        b"x-amz-security-token",
    }
)
_COOKIE = frozenset({b"cookie"})


def tenant_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return what keeps the answers of one credential apart from those of others.

    It must be the same in every process that shares a tier, so it is keyed by a fixed word. It separates; it shows
    nobody a credential, because no tier holds it: it enters a key, which is a hash in its turn.
    """
    found = [(low, value) for name, value in headers if (low := name.lower()) in _CREDENTIALS]
    if not found:  # beside a credential, a cookie is the load balancer's, and new every hour
        found = [(low, value) for name, value in headers if (low := name.lower()) in _COOKIE]
    return _tenant(tuple(found)) if found else b""


@lru_cache(64)
def _tenant(found: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return _hmac(b"".join(b"%d:%s%d:%s" % (len(n), n, len(v), v) for n, v in found))


@lru_cache(64)
def _hmac(credential: bytes) -> bytes:
    return hmac.digest(b"hotloop tenant 1", credential, "sha256")


def varied(names: str, headers: Mapping[str, str]) -> str:
    """Return what stands for a request's headers of these names: their values may be secret."""
    named = [name for name in names.split(",") if name.encode() not in _CREDENTIALS]  # the tenant stands for those
    return _hmac(orjson.dumps([headers.get(name) for name in named])).hex()[:32]
