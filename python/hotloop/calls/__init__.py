"""The keyed-call path: what every LLM request and tool call walks, and nothing goes round."""

from .limits import Limits
from .path import Call, CallPath, Clock, Mode, Outcome, Policy, StreamCall, StreamOutcome
from .retry import Retry

__all__ = ["Call", "CallPath", "Clock", "Limits", "Mode", "Outcome", "Policy", "Retry", "StreamCall", "StreamOutcome"]
