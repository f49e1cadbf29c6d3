"""The keyed-call path: what every LLM request and tool call walks, and nothing goes round."""

from .breaker import Breaking
from .call import Call, Clock, Mode, Opened, Outcome, Policy, StreamCall, StreamOutcome
from .limits import Demand, Limits
from .path import CallPath
from .retry import Retry
from .singleflight import Reader

__all__ = [
    "Breaking",
    "Call",
    "CallPath",
    "Clock",
    "Demand",
    "Limits",
    "Mode",
    "Opened",
    "Outcome",
    "Policy",
    "Reader",
    "Retry",
    "StreamCall",
    "StreamOutcome",
]
