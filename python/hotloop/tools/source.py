"""What gives tools that may change while it is used, as a server does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tool import Tool

__all__ = ["ToolSource"]


class ToolSource(ABC):
    """Gives tools; a registry asks it again before they are shown to a model.

    Attributes:
        name: put before the name of a tool that another tool has already.
    """

    name: str

    @abstractmethod
    async def tools(self) -> tuple[Tool, ...]:
        """Return the tools: the same object as long as they are the same.

        Raises:
            ToolError: they cannot be had.
        """

    @abstractmethod
    async def release(self) -> None:
        """Let go of what was opened for the registry; what its user opened stays open."""
