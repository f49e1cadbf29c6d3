"""Runs what an agent does: scheduling by what calls touch, priorities, timeouts, results."""

from .pipeline import ToolPipeline
from .queue import Priority
from .result import PipelineMetrics, ToolResult

__all__ = ["PipelineMetrics", "Priority", "ToolPipeline", "ToolResult"]
