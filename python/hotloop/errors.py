"""The one error tree.

Every error says what happened, to which call or value, and what to do about it::

    HotloopError
    ├── CanonicalError          a value that has no canonical JSON (also ValueError)
    ├── ConfigError             a setting that is unknown, of the wrong type or out of range (also ValueError)
    ├── MissingExtraError       a feature whose extra is not installed (also ImportError)
    ├── CacheError              a cache tier that cannot be opened or used
    ├── ModelError              a model call that gave no answer
    │   ├── UnknownModelError       no provider serves a model of that name (also ValueError)
    │   ├── MissingKeyError         a hosted model without an API key
    │   ├── ModelRequestError       a request that its provider has no form for (also ValueError)
    │   ├── ModelConnectionError    the server could not be reached, or went away
    │   │   └── CircuitOpenError        the server kept failing and is left alone for now
    │   ├── ModelTimeoutError       the server did not answer in time (also TimeoutError)
    │   ├── ModelStatusError        the server answered with an HTTP error
    │   └── ModelResponseError      the server answered, but not with what its protocol promises
    ├── ToolError               a tool call that gave no value
    │   ├── UnknownToolError        no tool of that name is registered
    │   ├── ToolArgumentsError      the arguments are not JSON or do not fit the schema
    │   ├── ToolRefusedError        the call needed a person's approval and did not get it
    │   ├── ToolTimeoutError        the call took too long (also TimeoutError)
    │   └── ToolDefinitionError     a function that cannot be made a tool (also TypeError)
    ├── WorkspaceError          a path outside the workspace, or one that cannot be used
    └── AgentError              a run that cannot go on
        ├── MaxTurnsError           the model still asked for tools when the turns were used up
        ├── NoAnswerError           the model ended with nothing that is an answer
        └── StateError              a transition that the run's state does not allow
"""

from __future__ import annotations

__all__ = [
    "AgentError",
    "CacheError",
    "CanonicalError",
    "CircuitOpenError",
    "ConfigError",
    "HotloopError",
    "MaxTurnsError",
    "MissingExtraError",
    "MissingKeyError",
    "ModelConnectionError",
    "ModelError",
    "ModelRequestError",
    "ModelResponseError",
    "ModelStatusError",
    "ModelTimeoutError",
    "NoAnswerError",
    "StateError",
    "ToolArgumentsError",
    "ToolDefinitionError",
    "ToolError",
    "ToolRefusedError",
    "ToolTimeoutError",
    "UnknownModelError",
    "UnknownToolError",
    "WorkspaceError",
]


class HotloopError(Exception):
    """Base of every error that hotloop raises.

    Attributes:
        retryable: whether the same call may succeed when it is made again.
        retry_after: seconds that the other side asked to wait first, or None.
        acted: whether the other side may have acted on the call.
        ill: whether the error tells that the other side is unwell, whatever it was asked.
    """

    retryable: bool = False
    retry_after: float | None = None
    acted: bool = True
    ill: bool = False


class CanonicalError(HotloopError, ValueError):
    """A value has no canonical JSON.

    Attributes:
        path: JSON path of the offending value, ``$`` for the value itself, as in ``$.messages[3].content``.
        reason: what is wrong with it.
    """

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[CanonicalError], tuple[str, str]]:
        return type(self), (self.reason, self.path)


class ConfigError(HotloopError, ValueError):
    """A setting is unknown, of the wrong type or out of range; names its source, key and allowed range."""


class MissingExtraError(HotloopError, ImportError):
    """A feature needs an optional dependency that is not installed.

    Attributes:
        extra: the extra to install, as in ``pip install "hotloop[local]"``.
        command: the command that installs what is missing.
    """

    def __init__(self, feature: str, extra: str, command: str | None = None) -> None:
        self.command = command or f'pip install "hotloop[{extra}]"'
        super().__init__(f'{feature} needs the extra "{extra}": {self.command}')
        self.feature = feature
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), (self.feature, self.extra, self.command)


class CacheError(HotloopError):
    """A cache tier cannot be opened or used."""


class ModelError(HotloopError):
    """A model call gave no answer."""


class UnknownModelError(ModelError, ValueError):
    """No provider serves a model of that name."""


class MissingKeyError(ModelError):
    """A hosted model was asked without an API key."""


class ModelRequestError(ModelError, ValueError):
    """A request that its provider has no form for; nothing was sent."""

    acted = False


class ModelConnectionError(ModelError):
    """The server could not be reached, or went away before it had answered."""

    retryable = True
    ill = True


class CircuitOpenError(ModelConnectionError):
    """The server kept failing and is left alone for now; nothing was sent.

    Attributes:
        retry_after: seconds until it is tried again.
    """

    retryable = False
    acted = False
    ill = False

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[CircuitOpenError], tuple[str, float]]:
        return type(self), (str(self), self.retry_after or 0.0)


class ModelTimeoutError(ModelError, TimeoutError):
    """The server did not answer in time."""

    retryable = True
    ill = True


_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_NOT_ACTED = frozenset({408, 425, 429, 503, 529})


class ModelStatusError(ModelError):
    """The server answered with an HTTP error.

    Attributes:
        status: the HTTP status code.
        retry_after: seconds that the server asked to wait, or None.
    """

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.retryable = status in _TRANSIENT
        self.acted = status >= 500 and status not in _NOT_ACTED  # others refuse a call before they act on it
        self.ill = status >= 500

    def __reduce__(self) -> tuple[type[ModelStatusError], tuple[str, int, float | None]]:
        return type(self), (str(self), self.status, self.retry_after)


class ModelResponseError(ModelError):
    """The server answered, but not with what its protocol promises."""


class ToolError(HotloopError):
    """A tool call gave no value; its cause, where there is one, is ``__cause__``."""


class UnknownToolError(ToolError):
    """No tool of that name is registered."""


class ToolArgumentsError(ToolError):
    """The arguments of a call are not JSON, or do not fit the tool's schema."""


class ToolRefusedError(ToolError):
    """A tool call needed a person's approval and did not get it; it was not run."""


class ToolTimeoutError(ToolError, TimeoutError):
    """A tool call took longer than it may."""


class ToolDefinitionError(ToolError, TypeError):
    """A function cannot be made a tool."""


class WorkspaceError(HotloopError):
    """A path lies outside the workspace, or cannot be used."""


class AgentError(HotloopError):
    """A run cannot go on."""


class MaxTurnsError(AgentError):
    """The model still asked for tools when the turns of the run were used up."""


class NoAnswerError(AgentError):
    """The model ended with nothing that is an answer: it refused, was filtered, said nothing, or not what was asked."""


class StateError(AgentError):
    """A transition was asked for that the state of the run does not allow."""
