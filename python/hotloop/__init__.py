"""hotloop makes LLM agents fast and cheap.

A compiled core (keys, hot cache, buffer pool, file search) under an async tool pipeline, an LLM client and an agent
loop. Every public name can be imported from here, and is loaded when it is first used: `import hotloop` itself loads
nothing else.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = (
    False  # as type checkers know it; `typing` takes longer to load than all the rest that a command starts with
)
if TYPE_CHECKING:
    from ._core import (
        Buffer,
        BufferPool,
        CacheStats,
        HotCache,
        KeyChain,
        PoolStats,
        __version__,
        cache_key,
        canonical_json,
        canonicalize,
        request_key,
    )
    from .agent import Agent, Conversation, RunResult
    from .cache import Cache, MemoryCache, RedisCache, SqliteCache, TieredCache
    from .calls import Limits, Retry
    from .config import Config
    from .errors import (
        AgentError,
        CacheError,
        CanonicalError,
        ConfigError,
        HotloopError,
        MissingExtraError,
        ModelError,
        ToolError,
    )
    from .http import AsyncHotTransport, HotTransport, http_client, http_client_sync
    from .llm import (
        ClientMetrics,
        Done,
        LLMClient,
        Reply,
        TextDelta,
        ToolCallDelta,
        ToolCallEnd,
        ToolCallStart,
        Usage,
    )
    from .pipeline import Priority, ToolPipeline, ToolResult
    from .toolcall import ToolCall
    from .tools import Batch, Tool, ToolRegistry, tool

_HOMES = {
    "_core": (
        "Buffer BufferPool CacheStats HotCache KeyChain PoolStats __version__ cache_key canonical_json canonicalize "
        "request_key"
    ),
    "agent": "Agent Conversation RunResult",
    "cache": "Cache MemoryCache RedisCache SqliteCache TieredCache",
    "calls": "Limits Retry",
    "config": "Config",
    "errors": ("AgentError CacheError CanonicalError ConfigError HotloopError MissingExtraError ModelError ToolError"),
    "http": "AsyncHotTransport HotTransport http_client http_client_sync",
    "llm": "ClientMetrics Done LLMClient Reply TextDelta ToolCallDelta ToolCallEnd ToolCallStart Usage",
    "pipeline": "Priority ToolPipeline ToolResult",
    "toolcall": "ToolCall",
    "tools": "Batch Tool ToolRegistry tool",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [  # the same names again: type checkers and linters read only a literal list
    "Agent",
    "AgentError",
    "AsyncHotTransport",
    "Batch",
    "Buffer",
    "BufferPool",
    "Cache",
    "CacheError",
    "CacheStats",
    "CanonicalError",
    "ClientMetrics",
    "Config",
    "ConfigError",
    "Conversation",
    "Done",
    "HotCache",
    "HotTransport",
    "HotloopError",
    "KeyChain",
    "LLMClient",
    "Limits",
    "MemoryCache",
    "MissingExtraError",
    "ModelError",
    "PoolStats",
    "Priority",
    "RedisCache",
    "Reply",
    "Retry",
    "RunResult",
    "SqliteCache",
    "TextDelta",
    "TieredCache",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolError",
    "ToolPipeline",
    "ToolRegistry",
    "ToolResult",
    "Usage",
    "__version__",
    "cache_key",
    "canonical_json",
    "canonicalize",
    "http_client",
    "http_client_sync",
    "request_key",
    "tool",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
