"""The wire: how requests travel to a model's server and answers come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Answer, Wire

if TYPE_CHECKING:
    import httpx2

    from ...config import Config

__all__ = ["Answer", "Wire", "open_wire"]


def open_wire(config: Config, http: httpx2.AsyncClient | None) -> Wire:
    """Return the wire that `config.llm_client.wire` names; `http`, where it is given, is the wire.

    Raises:
        MissingExtraError: the wire is pyreqwest, and it is not installed.
    """
    if http is None and config.llm_client.wire == "pyreqwest":
        from .fast import FastWire

        return FastWire(config.llm_client)
    from .standard import StandardWire

    return StandardWire(config.llm_client, config.memory_pool, http)
