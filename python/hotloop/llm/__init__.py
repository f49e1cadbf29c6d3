"""Asking models."""

from .client import LLMClient
from .messages import Reply
from .stream import Done, StreamEvent, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from .usage import ClientMetrics, Usage

__all__ = [
    "ClientMetrics",
    "Done",
    "LLMClient",
    "Reply",
    "StreamEvent",
    "TextDelta",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "Usage",
]
