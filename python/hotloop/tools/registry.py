"""The one place where a tool is looked up."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import HotCache
from ..config import Config
from ..errors import ToolDefinitionError, UnknownToolError
from .source import ToolSource
from .tool import Provider, Tool, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["RegistryStats", "ToolRegistry"]

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


class RegistryStats(NamedTuple):
    """What a registry holds, and how its look-ups were answered.

    A look-up that misses the hot cache is resolved: exactly, then by alias, then by spelling. The calls of one batch
    look each name up once.
    """

    tools: int
    aliases: int
    hits: int
    misses: int
    evictions: int
    size: int
    capacity: int


class ToolRegistry:
    """Tools by name, as models write names.

    Models decorate the names that they were given (`functions.read_file`), and misspell them in known ways
    (`Read-File`, `readFile`). A name is resolved to the one tool that it can mean, and the answer is kept in the native
    hot cache under the name as it was written; what two tools could mean is unknown.

    Args:
        tools: tools, callables to make tools of, and sources of tools, such as `MCPServer`, whose tools are there after
            `refresh`.
        config: settings; `tool_registry.cache_size` names are kept (0 for none).

    Attributes:
        changes: how often a tool was added or removed.

    Raises:
        ToolDefinitionError: two tools have one name, or a callable cannot be made a tool.
    """

    def __init__(
        self, tools: Iterable[Tool | Callable[..., Any] | ToolSource] = (), *, config: Config | None = None
    ) -> None:
        self.changes = 0
        self._tools: dict[str, Tool] = {}
        self._aliases: dict[str, str] = {}
        self._spellings: dict[str, Tool | None] = {}
        self._settings = (config or Config()).tool_registry
        self._hot: HotCache | None = None
        self._past = RegistryStats(0, 0, 0, 0, 0, 0, 0)  # the counts of the hot caches before this one
        self._misses = 0
        self._sources: dict[ToolSource, tuple[tuple[Tool, ...], list[str]]] = {}
        self.configure()
        for item in tools:
            if isinstance(item, ToolSource):
                self.add_source(item)
            else:
                self.add(item)

    def configure(self, **settings: object) -> None:
        """Change settings of the section `tool_registry`, from the next look-up on: `configure(cache_size=16)`.

        Raises:
            ConfigError: there is no such setting, or its value is not allowed.
        """
        changed = Config().replace(tool_registry={**asdict(self._settings), **settings}).tool_registry
        self._past = self.stats()
        self._misses = 0
        self._settings = changed
        self._hot = HotCache(changed.cache_size) if changed.cache_size else None

    def add(self, item: Tool | Callable[..., Any], *, aliases: Iterable[str] = ()) -> Tool:
        """Add a tool, or make one of a callable, and return it.

        Args:
            item: the tool or the callable.
            aliases: other names that it answers to; they are not shown to models.

        Raises:
            ToolDefinitionError: a name is taken, or the callable cannot be made a tool.
        """
        made: Tool = tool(item)
        made.check()
        names = [made.name, *aliases]
        for name in names:
            owner = self._tools.get(name) or self._tools.get(self._aliases.get(name, ""))
            if owner is not None:
                raise ToolDefinitionError(
                    f"a tool named {name} is registered already ({owner!r}); give one of them another name with name="
                )
        self.changes += 1
        self._tools[made.name] = made
        self._aliases.update(dict.fromkeys(names[1:], made.name))
        for name in names:
            self._spell(name, made)
        if self._hot is not None:
            self._hot.clear()
        return made

    def _spell(self, name: str, made: Tool) -> None:
        spelling = _spelling(name)
        if self._spellings.setdefault(spelling, made) is not made:
            self._spellings[spelling] = None  # two tools: neither is meant

    def add_source(self, source: ToolSource) -> None:
        """Add a source; its tools are there after the next `refresh`."""
        self._sources.setdefault(source, ((), []))

    async def refresh(self) -> None:
        """Bring the tools of the sources up to date. What has no source costs nothing.

        A tool whose name another tool has already is put behind the name of its source, as in `files_read`.

        Raises:
            ToolError: a source cannot be reached.
        """
        for source, (before, names) in list(self._sources.items()):
            now = await source.tools()
            if now is before:
                continue
            for name in names:
                self.remove(name)
            self._sources[source] = (now, [self.add(self._apart(made, source.name)).name for made in now])

    def _apart(self, made: Tool, prefix: str) -> Tool:
        if made.name not in self:
            return made
        base = _UNFIT.sub("_", f"{prefix}_{made.name}")[:60]
        name, number = base, 1
        while name in self:
            number += 1
            name = f"{base}_{number}"
        return made.renamed(name)

    def remove(self, name: str) -> None:
        """Take a tool out, and the aliases that mean it.

        Raises:
            UnknownToolError: no tool has that name.
        """
        if self._tools.pop(name, None) is None:
            raise UnknownToolError(self._unknown(name))
        self.changes += 1
        self._aliases = {alias: meant for alias, meant in self._aliases.items() if meant != name}
        self._spellings.clear()
        for known, meant in [*zip(self._tools, self._tools, strict=True), *self._aliases.items()]:
            self._spell(known, self._tools[meant])
        if self._hot is not None:
            self._hot.clear()

    async def aclose(self) -> None:
        """Let go of the sources; those that their user opened stay open."""
        for source in self._sources:
            await source.release()

    def get(self, name: str) -> Tool:
        """Return the tool that `name` means.

        Raises:
            UnknownToolError: none, or more than one; names the nearest.
        """
        if self._hot is None:
            self._misses += 1
            return self._resolve(name)
        try:
            found: Tool | None = self._hot.get(name)
        except ValueError as error:  # not Unicode, so no tool's name
            raise UnknownToolError(self._unknown(name)) from error
        if found is None:
            found = self._resolve(name)
            self._hot.put(name, found)
        return found

    def _resolve(self, name: str) -> Tool:
        found = self._tools.get(name) or self._tools.get(self._aliases.get(name, ""))
        if found is None:
            found = self._spellings.get(_spelling(name)) or self._spellings.get(_spelling(name.rpartition(".")[2]))
        if found is None:
            raise UnknownToolError(self._unknown(name))
        return found

    def _unknown(self, name: str) -> str:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        if not self._tools:
            return f"there is no tool {shown!r}: no tools are registered"
        spellings = {_spelling(known): known for known in self._tools}
        near = difflib.get_close_matches(_spelling(name[:80]), spellings, n=1)
        hint = f"did you mean {spellings[near[0]]}? " if near else ""
        listed = ", ".join(list(self._tools)[:20])
        return f"there is no tool {shown!r}; {hint}the tools are {listed}{', …' if len(self._tools) > 20 else ''}"

    def names(self) -> list[str]:
        """Return the names of the tools in the order in which they were added."""
        return list(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __contains__(self, name: str) -> bool:
        return name in self._tools or name in self._aliases

    def schemas(self, provider: Provider = "openai") -> list[dict[str, Any]]:
        """Return the definitions of all tools in a provider's form, in the order in which they were added."""
        return [item.schema(provider) for item in self._tools.values()]

    def stats(self) -> RegistryStats:
        """Return what it holds and how look-ups were answered since it was made."""
        past, counts = self._past, (len(self._tools), len(self._aliases))
        if self._hot is None:
            return RegistryStats(*counts, past.hits, past.misses + self._misses, past.evictions, 0, 0)
        hot = self._hot.stats()
        return RegistryStats(
            *counts,
            past.hits + hot.hits,
            past.misses + hot.misses,
            past.evictions + hot.evictions,
            hot.size,
            hot.capacity,
        )


def _spelling(name: str) -> str:
    """Return what stays of a name when case and separators do not count."""
    return "".join(char for char in name.casefold() if char.isalnum())
