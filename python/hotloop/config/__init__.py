"""Frozen settings, read once.

`Config` holds one frozen section for each part of hotloop. Values come, the first that has one, from arguments,
``HOTLOOP_SECTION__KEY`` variables, the project's file (``./hotloop.toml``, or ``[tool.hotloop]`` in
``./pyproject.toml``), the user's ``hotloop.toml``, a preset, and the defaults.
"""

from __future__ import annotations

from .root import Config
from .sections import (
    AgentExecutionConfig,
    AsyncPipelineConfig,
    CompactionConfig,
    LLMClientConfig,
    MemoryPoolConfig,
    ProfilingConfig,
    PromptCacheConfig,
    ResponseCacheConfig,
    ToolRegistryConfig,
)

__all__ = [
    "AgentExecutionConfig",
    "AsyncPipelineConfig",
    "CompactionConfig",
    "Config",
    "LLMClientConfig",
    "MemoryPoolConfig",
    "ProfilingConfig",
    "PromptCacheConfig",
    "ResponseCacheConfig",
    "ToolRegistryConfig",
]
