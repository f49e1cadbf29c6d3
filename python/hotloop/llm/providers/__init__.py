"""The servers that can be asked; each module encodes requests and decodes answers, and does nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...errors import UnknownModelError
from .base import Provider, Question, StreamDecoder

if TYPE_CHECKING:
    from ...config import Config

__all__ = ["Provider", "Question", "StreamDecoder", "provider_of"]

_KNOWN = (
    '"openai:MODEL" (any server that speaks OpenAI\'s chat completions, see base_url), "openai-responses:MODEL", '
    '"anthropic:MODEL" and "local:smollm2"'
)


def provider_of(model: str, base_url: str | None, api_key: str | None, config: Config) -> Provider:
    """Return the provider that serves `model`.

    Args:
        model: provider and model, as in "openai:gpt-5-mini".
        base_url: where the server is; None for the provider's environment variable, or its own server.
        api_key: the credential; None for the provider's environment variable.
        config: settings of the embedded model.

    Raises:
        UnknownModelError: no provider serves it.
        MissingKeyError: a hosted model without a key.
        MissingExtraError: the embedded model is not installed.
    """
    # what is no text is mostly a variable that is not set
    kind, separator, name = model.partition(":") if isinstance(model, str) else ("", "", "")
    if not separator or not name.strip():
        raise UnknownModelError(f"no provider serves {model!r}: write provider and model; there are {_KNOWN}")
    if kind == "openai":
        from .openai import OpenAIProvider

        return OpenAIProvider(name, base_url, api_key, os.environ)
    if kind == "openai-responses":
        from .responses import ResponsesProvider

        return ResponsesProvider(name, base_url, api_key, os.environ)
    if kind == "anthropic":
        from .anthropic import AnthropicProvider

        return AnthropicProvider(name, base_url, api_key, os.environ)
    if kind == "local":
        from .local import LocalProvider

        return LocalProvider(name, config)
    raise UnknownModelError(f"no provider {kind!r} for {model!r}: there are {_KNOWN}")
