"""Connections as the SDKs of OpenAI and Anthropic keep them."""

from __future__ import annotations

import socket
import sys
from typing import Any

__all__ = ["client_options", "inner_options"]

_PROBE = 60  # seconds between probes of an idle connection


def inner_options(library: Any) -> dict[str, Any]:
    """Return the options of a transport: many connections, and probes so that a dead one is noticed."""
    return {
        "limits": library.Limits(max_connections=1000, max_keepalive_connections=100),
        "socket_options": _keepalive(),
    }


def client_options(library: Any) -> dict[str, Any]:
    """Return the options of a client: ten minutes for an answer, five seconds to connect, redirects followed."""
    return {"timeout": library.Timeout(600, connect=5.0), "follow_redirects": True}


def _keepalive() -> list[tuple[int, int, int]]:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if hasattr(socket, "TCP_KEEPINTVL"):
        options.append((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE))
    if hasattr(socket, "TCP_KEEPCNT"):
        options.append((socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5))
    if hasattr(socket, "TCP_KEEPIDLE"):
        options.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE))
    elif sys.platform == "darwin":
        options.append((socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPALIVE", 0x10), _PROBE))
    return options
