"""What an agent does: tools, what they touch, and where they are looked up."""

from .approval import Approval, Approver, Decision, Question
from .batch import Batch
from .effects import Access, Effect, Touches
from .registry import RegistryStats, ToolRegistry
from .source import ToolSource
from .tool import Tool, tool
from .workspace import workspace_tools

__all__ = [
    "Access",
    "Approval",
    "Approver",
    "Batch",
    "Decision",
    "Effect",
    "Question",
    "RegistryStats",
    "Tool",
    "ToolRegistry",
    "ToolSource",
    "Touches",
    "tool",
    "workspace_tools",
]
