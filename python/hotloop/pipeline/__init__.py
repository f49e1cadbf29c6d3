"""Runs what an agent does: scheduling by what calls touch, priorities, timeouts, batches, results that are kept."""

from .metrics import Distribution, PipelineMetrics
from .pipeline import ToolPipeline
from .queue import Priority
from .result import ToolResult

__all__ = ["Distribution", "PipelineMetrics", "Priority", "ToolPipeline", "ToolResult"]
