"""What a declaration of a tool may say."""

from __future__ import annotations

import re
from types import FunctionType
from typing import TYPE_CHECKING

from ..errors import ToolDefinitionError
from .batch import Batch
from .effects import EFFECTS

if TYPE_CHECKING:
    from .effects import Resources
    from .tool import Tool

__all__ = ["check_declaration", "check_importable"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_declaration(tool: Tool, resources: Resources | None) -> None:
    """Refuse a tool whose declaration is out of range or contradicts itself.

    Raises:
        ToolDefinitionError: it is.
    """
    if not _NAME.fullmatch(tool.name):
        raise ToolDefinitionError(
            f"{tool.name!r} cannot be the name of a tool: 1 to 64 letters, digits, _ and -; give one with name="
        )
    if tool.effect is not None and tool.effect not in EFFECTS:
        raise ToolDefinitionError(f"{tool.name}: effect is {tool.effect!r}; it must be one of {', '.join(EFFECTS)}")
    if tool.approval not in ("never", "always") and not callable(tool.approval):
        raise ToolDefinitionError(
            f"{tool.name}: approval is {tool.approval!r}; it must be never, always or a function of the call"
        )
    for field in ("timeout", "cache_ttl"):
        value = getattr(tool, field)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise ToolDefinitionError(f"{tool.name}: {field} is {value!r}; it must be a number of seconds above 0")
    if resources is not None and tool.effect not in ("read", "write", "external"):
        raise ToolDefinitionError(f"{tool.name}: resources= needs an effect: read, write or external")
    if tool.cache_ttl is not None and not (tool.effect == "pure" or (tool.effect == "read" and resources is not None)):
        raise ToolDefinitionError(
            f"{tool.name}: cache_ttl= needs effect='pure', or effect='read' and resources= that tell what is read"
        )
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in tool.cache_errors):
        raise ToolDefinitionError(f"{tool.name}: cache_errors={tool.cache_errors!r} must be classes of exceptions")
    if tool.cache_errors and tool.where == "process":
        raise ToolDefinitionError(f'{tool.name}: cache_errors= cannot be kept with where="process"')
    if tool.cache_errors and tool.cache_ttl is None:
        raise ToolDefinitionError(f"{tool.name}: cache_errors= needs cache_ttl=, which says how long they are kept")
    count = tool.max_concurrency
    if count is not None and not (isinstance(count, int) and count >= 1):
        raise ToolDefinitionError(f"{tool.name}: max_concurrency is {count!r}; it must be a number from 1")
    if tool.where not in ("thread", "process"):
        raise ToolDefinitionError(f'{tool.name}: where is {tool.where!r}; it must be "thread" or "process"')
    if tool.batch is not None and not isinstance(tool.batch, Batch):
        raise ToolDefinitionError(
            f"{tool.name}: batch is {type(tool.batch).__name__}; it must be a Batch: a function and its limits"
        )
    if tool.batch is not None and tool.where == "process":
        raise ToolDefinitionError(f'{tool.name}: a tool has batch= or where="process", not both')


def check_importable(tool: Tool) -> None:
    """Refuse what another process cannot find: it gets the function's name, and the arguments as JSON.

    Raises:
        ToolDefinitionError: it cannot.
    """
    path = getattr(tool.func, "__qualname__", "<locals>")
    if tool.is_async or not (isinstance(tool.func, FunctionType) and path.isidentifier()):
        raise ToolDefinitionError(
            f'{tool.name}: where="process" needs a sync function at the top of a module, which the process imports '
            "by its name"
        )
