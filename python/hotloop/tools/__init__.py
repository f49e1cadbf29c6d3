"""What an agent does: tools, what they touch, and where they are looked up."""

from .effects import Access, Effect, Touches
from .registry import RegistryStats, ToolRegistry
from .tool import Tool, tool
from .workspace import workspace_tools

__all__ = ["Access", "Effect", "RegistryStats", "Tool", "ToolRegistry", "Touches", "tool", "workspace_tools"]
