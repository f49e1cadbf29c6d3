"""One call on its way through the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..tools.effects import ANYTHING, Access
from .printed import Printed, Printer

if TYPE_CHECKING:
    from ..errors import ToolError
    from ..toolcall import ToolCall
    from ..tools import Tool
    from ..tools.approval import Question
    from .queue import Limits
    from .versions import Version, Versions, Way

__all__ = ["Job"]


class Job(Printer):
    """A call that was looked up and checked, once: its arguments as they were `given`, and validated as `args`.

    Attributes:
        start: when it was asked for, by `perf_counter`.
        started: when its work was begun.
        value: what its tool returned.
        content: what a model reads of that.
        abandoned: whether its thread runs on for nobody.
    """

    # named here, and all set at once: attributes that come later cost each job a dict of its own
    __slots__ = (
        "abandoned",
        "access",
        "args",
        "call",
        "content",
        "edited",
        "error",
        "given",
        "limits",
        "question",
        "start",
        "started",
        "tool",
        "value",
        "version",
        "versions",
        "way",
    )

    def __init__(self, call: ToolCall, versions: Versions, start: float) -> None:
        self.call = call
        self.versions = versions
        self.start = self.started = start
        self.tool: Tool | None = None
        self.given: Any = None
        self.args: Any = None
        self.access: Access = ANYTHING
        self.limits: Limits = ()
        self.version: Version | None = None
        self.way: Way | None = None
        self.error: ToolError | None = None
        self.question: Question | None = None
        self.edited: dict[str, Any] | None = None
        self.value: Any = None
        self.content = ""
        self.printed: Printed | None = None
        self.abandoned = False

    def begin(self) -> None:
        """Note that its work begins."""
        if self.access.writes:
            self.versions.begin(self.access)

    def end(self) -> None:
        """Note that its work has ended; work that runs on in a thread ends with the thread."""
        if self.access.writes and not self.abandoned:
            self.versions.end(self.access)

    def late(self) -> None:
        """Note that the thread which ran on has ended."""
        self.abandoned = False
        self.end()
