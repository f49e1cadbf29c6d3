"""The agent loop: a model, its tools, a conversation."""

from .agent import Agent
from .conversation import Conversation
from .events import (
    AgentEvent,
    ApprovalNeeded,
    RunFinished,
    RunResult,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from .state import RunState, State

__all__ = [
    "Agent",
    "AgentEvent",
    "ApprovalNeeded",
    "Conversation",
    "RunFinished",
    "RunResult",
    "RunState",
    "State",
    "ToolFinished",
    "ToolStarted",
    "TurnFinished",
    "TurnStarted",
]
