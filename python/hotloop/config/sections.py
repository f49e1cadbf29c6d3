"""The sections of the configuration; each key changes something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .setting import Section, setting

__all__ = [
    "AgentExecutionConfig",
    "AsyncPipelineConfig",
    "CompactionConfig",
    "LLMClientConfig",
    "MemoryPoolConfig",
    "ProfilingConfig",
    "PromptCacheConfig",
    "ResponseCacheConfig",
    "ToolRegistryConfig",
]

_MIB = 1 << 20
_TIB = 1 << 40
_DAY = 86_400
_DECADE = 10 * 365 * _DAY


@dataclass(frozen=True, slots=True)
class MemoryPoolConfig(Section):
    """Buffers that large responses are read into, kept for the next ones."""

    enabled: bool = setting(True, "Whether buffers are kept and reused.")
    max_buffers: int = setting(64, "Buffers that are kept at most.", low=1, high=65_536)
    max_bytes: int = setting(64 * _MIB, "Bytes that the kept buffers hold at most.", low=1, high=_TIB)


@dataclass(frozen=True, slots=True)
class ToolRegistryConfig(Section):
    """Looking tools up."""

    cache_size: int = setting(256, "Look-ups of tools that are remembered; 0 for none.", low=0, high=1_000_000)


@dataclass(frozen=True, slots=True)
class AsyncPipelineConfig(Section):
    """Running tools."""

    max_concurrency: int = setting(8, "Tool calls that run at once.", low=1, high=1024)
    timeout: float | None = setting(None, "Seconds that a tool call may take.", low=0.001, high=_DAY)
    cancel_grace: float = setting(
        5.0, "Seconds that an async tool may go on after its cancellation before it is given up.", low=0.0, high=_DAY
    )
    max_argument_chars: int = setting(
        8 * _MIB, "Characters of JSON that the arguments of one call may have.", low=1, high=_TIB
    )
    dedupe: bool = setting(True, "Whether identical calls of tools without effects share one execution.")
    overlap_undeclared: bool | None = setting(
        None,
        "Whether calls of tools that declare no effect may overlap with others, or each waits its turn; none: they "
        "overlap within one turn of an agent, and wait elsewhere.",
    )


@dataclass(frozen=True, slots=True)
class LLMClientConfig(Section):
    """Asking models."""

    model: str | None = setting(None, "The model that `hotloop run` asks, as provider:name.", low=1, high=256)
    timeout: float = setting(600.0, "Seconds between two pieces of an answer.", low=0.001, high=_DAY)
    connect_timeout: float = setting(5.0, "Seconds to connect to the server.", low=0.001, high=_DAY)
    max_retries: int = setting(2, "Further attempts after an error that may pass.", low=0, high=100)
    max_connections: int = setting(100, "Connections that are open at once.", low=1, high=10_000)
    concurrency: int | None = setting(None, "Model calls in flight at once.", low=1, high=10_000)
    requests_per_minute: float | None = setting(
        None, "Requests a minute; none for what the server says itself.", low=0.001, high=1e9
    )
    tokens_per_minute: float | None = setting(
        None, "Tokens of requests and answers a minute; none for what the server says itself.", low=1, high=1e12
    )
    breaker_failures: int | None = setting(
        10, "Failures in a row after which a server is left alone for a while; none for never.", low=1, high=1_000_000
    )
    wire: str = setting(
        "httpx2",
        'What carries requests; "pyreqwest" costs a fraction of the processor time and needs the extra "fast".',
        choices=("httpx2", "pyreqwest"),
    )
    embedding_batch: int = setting(256, "Texts in one request for embeddings at most.", low=1, high=100_000)
    embedding_window: float = setting(
        0.005,
        "Seconds that a request for embeddings waits for texts of other calls; 0 for the running ones.",
        low=0,
        high=60,
    )
    prices: str | None = setting(
        None, "A TOML file of models' prices that override and add to the built-in ones.", low=1, high=4096
    )
    http2: bool = setting(False, 'Whether to offer HTTP/2 to the server; needs the extra "http2".')
    local_context: int = setting(4096, "Tokens of context of a local model.", low=256, high=1 << 20)
    local_threads: int = setting(1, "Processor threads of a local model.", low=1, high=1024)


@dataclass(frozen=True, slots=True)
class ResponseCacheConfig(Section):
    """Stored answers of models."""

    enabled: bool = setting(True, "Whether answers are stored and served.")
    ttl: float | None = setting(None, "Seconds that an answer stays; none for ever.", low=0.001, high=_DECADE)
    memory_entries: int = setting(10_000, "Answers in memory at most.", low=1, high=100_000_000)
    memory_bytes: int = setting(64 * _MIB, "Bytes in memory at most.", low=1, high=_TIB)
    disk: bool = setting(True, "Whether answers are stored on disk too.")
    path: str | None = setting(
        None, "The SQLite file; none for responses.db in the user's cache folder.", low=1, high=4096
    )
    disk_bytes: int = setting(1 << 30, "Bytes on disk at most.", low=1 << 16, high=_TIB)
    redis_url: str | None = setting(
        None,
        'A Redis or Valkey server to share answers and quotas with other processes; needs the extra "redis".',
        low=1,
        high=4096,
        secret=True,
    )
    cache_sampled: bool | None = setting(
        None,
        "Whether answers are stored although their request leaves them to chance; none: `hotloop run` stores them, a "
        "client does not.",
    )
    single_flight: bool = setting(True, "Whether identical requests in flight share one execution.")
    namespace: str = setting("", "The group that answers belong to; groups share nothing.", low=0, high=256)

    def location(self) -> Path:
        """Return the SQLite file: `path` with ``~`` expanded, or ``responses.db`` in the user's cache folder.

        Nothing is created.

        Raises:
            ConfigError: ``~`` stands for a folder that nobody has.
        """
        if self.path is not None:
            try:
                return Path(self.path).expanduser()
            except RuntimeError as error:
                raise ConfigError(f"response_cache.path: {self.path!r}: no home folder is known for it") from error
        from platformdirs import user_cache_path

        return user_cache_path("hotloop", appauthor=False) / "responses.db"


@dataclass(frozen=True, slots=True)
class AgentExecutionConfig(Section):
    """The loop of an agent."""

    max_turns: int = setting(100, "Model calls of one run at most.", low=1, high=10_000)
    parallel_tools: bool = setting(True, "Whether the tool calls of one turn run at once.")


@dataclass(frozen=True, slots=True)
class CompactionConfig(Section):
    """Keeping a conversation short."""

    max_tool_result_chars: int | None = setting(
        None, "Characters after which a tool's result is cut, with a mark.", low=100, high=100_000_000
    )


@dataclass(frozen=True, slots=True)
class PromptCacheConfig(Section):
    """What a model server remembers of a prompt."""

    enabled: bool = setting(True, "Whether a local model's server reuses the evaluated prefix of a prompt.")


@dataclass(frozen=True, slots=True)
class ProfilingConfig(Section):
    """What a run records of itself."""

    events: bool = setting(True, "Whether a run's result holds its events.")
