"""How the calls of a tool run together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ToolDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs the calls of a tool that come within a window, or until there are enough of them, as one.

    Attributes:
        func: takes the validated arguments of the calls, a list of dicts by parameter name, and returns a list with the
            result of each, in their order; an exception in the list is the error of that call alone. Sync functions
            run in a thread. In a class it is a method, as its tool is.
        window: seconds that the first call of a batch waits for others; 0 for those that are there already.
        size: calls of one batch at most.

    Raises:
        ToolDefinitionError: a value is out of range.
    """

    func: Callable[..., Any]
    window: float = 0.005
    size: int = 100

    def __post_init__(self) -> None:
        if not callable(self.func):
            raise ToolDefinitionError(f"Batch: func is {type(self.func).__name__}; it must be a function")
        if not (isinstance(self.window, int | float) and 0 <= self.window <= 3600):
            raise ToolDefinitionError(
                f"Batch: window is {self.window!r}; it must be a number of seconds from 0 to 3600"
            )
        if not (isinstance(self.size, int) and self.size >= 1):
            raise ToolDefinitionError(f"Batch: size is {self.size!r}; it must be a number of calls from 1")
