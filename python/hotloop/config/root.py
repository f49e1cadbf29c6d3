"""`Config`: all sections, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
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
from .setting import Section, Setting, nearest, settings_of

if TYPE_CHECKING:
    import os

__all__ = ["PRESETS", "SECTIONS", "Config", "find"]


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of hotloop; a bad value cannot be held.

    Args:
        memory_pool: buffers that are kept for reuse.
        tool_registry: looking tools up.
        async_pipeline: running tools.
        llm_client: asking models.
        response_cache: stored answers of models.
        agent_execution: the loop of an agent.
        compaction: keeping a conversation short.
        prompt_cache: what a model server remembers of a prompt.
        profiling: what a run records of itself.

    Raises:
        ConfigError: a value is of the wrong type or out of range.
    """

    memory_pool: MemoryPoolConfig = field(default_factory=MemoryPoolConfig)
    tool_registry: ToolRegistryConfig = field(default_factory=ToolRegistryConfig)
    async_pipeline: AsyncPipelineConfig = field(default_factory=AsyncPipelineConfig)
    llm_client: LLMClientConfig = field(default_factory=LLMClientConfig)
    response_cache: ResponseCacheConfig = field(default_factory=ResponseCacheConfig)
    agent_execution: AgentExecutionConfig = field(default_factory=AgentExecutionConfig)
    compaction: CompactionConfig = field(default_factory=CompactionConfig)
    prompt_cache: PromptCacheConfig = field(default_factory=PromptCacheConfig)
    profiling: ProfilingConfig = field(default_factory=ProfilingConfig)

    def __post_init__(self) -> None:
        self.validate()

    @classmethod
    def development(cls) -> Config:
        """Return the preset for work at a desk.

        Answers are stored for a day only, because prompts and models change from day to day. Little is retried and
        timeouts are short, so that an error shows itself at once, and a run that goes in circles ends after 25 turns.
        """
        return cls().replace(**PRESETS["development"])

    @classmethod
    def production(cls) -> Config:
        """Return the preset for a long-lived server.

        Memory is spent on caches and buffers, more is in flight, errors that may pass are retried longer, and no tool
        call may hang for ever. Runs keep no events, because memory must not grow with their length.
        """
        return cls().replace(**PRESETS["production"])

    @classmethod
    def from_env(cls) -> Config:
        """Return the defaults, the preset that ``HOTLOOP_PRESET`` names, and the ``HOTLOOP_SECTION__KEY`` variables.

        Raises:
            ConfigError: a variable names no setting, or its value is not allowed.
        """
        from .load import from_environment

        return from_environment()[0]

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Config:
        """Return the configuration of this process: variables, the files, a preset, the defaults.

        Args:
            path: the only file to read; None for the project's (``./hotloop.toml``, else ``[tool.hotloop]`` in
                ``./pyproject.toml``) over the user's (``hotloop.toml`` in the user's configuration folder).

        Raises:
            ConfigError: a file cannot be read or is not TOML, or a key or value is not allowed.
        """
        from .load import load

        return load(path)[0]

    def replace(self, **sections: Mapping[str, object] | Section) -> Config:
        """Return a copy with some settings changed, as in ``config.replace(response_cache={"ttl": 60})``.

        Raises:
            ConfigError: a name is no section or setting, or a value is not allowed.
        """
        changed: dict[str, Any] = {}
        for name, values in sections.items():
            _kind("Config.replace", name)
            changed[name] = values
            if isinstance(values, Mapping):
                for key, value in values.items():
                    find("Config.replace", name, key).check(value, "Config.replace", f"{name}.{key}")
                changed[name] = replace(getattr(self, name), **values)
        return replace(self, **changed)

    def validate(self) -> Config:
        """Check every section and value again (making a `Config` does so already), and return the config itself.

        Raises:
            ConfigError: a section is of another class, or a value is of the wrong type or out of range.
        """
        for name, kind in SECTIONS.items():
            section = getattr(self, name)
            if not isinstance(section, kind):
                raise ConfigError(
                    f"Config: {name} must be a {kind.__name__}, not {type(section).__name__}; "
                    f"Config().replace({name}={{...}}) takes a mapping"
                )
            for key, one in settings_of(kind).items():
                one.check(getattr(section, key), "Config", f"{name}.{key}")
        return self


SECTIONS: dict[str, type[Section]] = {one.name: one.default_factory for one in fields(Config)}  # type: ignore[misc]
"""The classes of the sections by name."""

PRESETS: dict[str, dict[str, dict[str, object]]] = {
    "development": {
        "async_pipeline": {"timeout": 60.0},
        "llm_client": {"timeout": 120.0, "max_retries": 1},
        "response_cache": {"ttl": 86_400.0},
        "agent_execution": {"max_turns": 25},
    },
    "production": {
        "memory_pool": {"max_buffers": 256, "max_bytes": 256 << 20},
        "tool_registry": {"cache_size": 4096},
        "async_pipeline": {"max_concurrency": 32, "timeout": 300.0},
        "llm_client": {"max_retries": 4, "max_connections": 500, "concurrency": 64},
        "response_cache": {"memory_entries": 100_000, "memory_bytes": 512 << 20, "disk_bytes": 8 << 30},
        "profiling": {"events": False},
    },
}
"""What each preset changes of the defaults."""


def _kind(source: str, section: str) -> type[Section]:
    if section not in SECTIONS:
        raise ConfigError(f'{source}: there is no section "{section}"; {nearest(section, SECTIONS)}')
    return SECTIONS[section]


def find(source: str, section: str, key: str) -> Setting:
    """Return the setting ``section.key``.

    Raises:
        ConfigError: there is none; names `source`, the key, and the nearest one.
    """
    known = settings_of(_kind(source, section))
    if key not in known:
        raise ConfigError(f'{source}: there is no setting "{section}.{key}"; {nearest(key, known)}')
    return known[key]
