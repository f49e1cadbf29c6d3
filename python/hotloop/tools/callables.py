"""What kinds of callables there are, and what can be told of them without calling them."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from ..errors import ToolDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["by_name", "is_async", "local_names", "name_of"]


def name_of(func: Any) -> str:
    """Return the name of a function, of the one that a partial calls, or of an object's class."""
    while isinstance(func, functools.partial):
        func = func.func
    return str(getattr(func, "__name__", type(func).__name__))


def is_async(func: Any) -> bool:
    """Return whether calling `func` gives a coroutine.

    Raises:
        ToolDefinitionError: it is a generator.
    """
    while isinstance(func, functools.partial):
        func = func.func
    if not (inspect.isroutine(func) or isinstance(func, type)):
        func = type(func).__call__
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise ToolDefinitionError(f"{name_of(func)} cannot be made a tool: it is a generator; return a list instead")
    return inspect.iscoroutinefunction(func)


def by_name(func: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """Return a function that hands `func` those of the arguments that it names."""
    parameters = inspect.signature(func).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return lambda args: func(**args)
    wanted = [parameter.name for parameter in parameters]
    return lambda args: func(**{name: args[name] for name in wanted if name in args})


def local_names(func: Any, frame: FrameType) -> dict[str, Any] | None:
    """Return the local names where `func` was made, if its annotations are text and may need them."""
    annotations = getattr(func, "__annotations__", {})
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and any(isinstance(hint, str) for hint in annotations.values()):
        return dict(frame.f_locals)
    return None
