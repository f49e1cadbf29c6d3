"""Which model a run asks, and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["EMBEDDED", "HOSTED", "Choice", "choose_model"]

HOSTED = "openai:gpt-5-mini"
EMBEDDED = "local:smollm2"


class Choice(NamedTuple):
    """A model and the reason why it was chosen."""

    model: str
    why: str


def choose_model(option: str | None, config: Config) -> Choice:
    """Return the model that the option names, else the configuration, else what the environment allows for."""
    if option is not None:
        return Choice(option, "--model")
    if config.llm_client.model is not None:
        return Choice(config.llm_client.model, "llm_client.model is set")
    if os.environ.get("OPENAI_API_KEY", "").strip():
        return Choice(HOSTED, "OPENAI_API_KEY is set")
    return Choice(EMBEDDED, "no model is configured and OPENAI_API_KEY is not set")
