"""One call on its way through the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..tools.effects import ANYTHING, Access
from .printed import Printer

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

    `start` is when it was asked for, by `perf_counter`.

    What most calls leave as it is stands in the class: a job is made for each call.
    """

    tool: Tool | None = None
    given: Any = None
    args: Any = None
    access: Access = ANYTHING
    limits: Limits = ()
    version: Version | None = None
    way: Way | None = None
    error: ToolError | None = None
    abandoned = False
    value: Any = None  # what its tool returned, and what a model reads of that
    content = ""
    started = 0.0  # when its work did, by perf_counter
    question: Question | None = None
    edited: dict[str, Any] | None = None

    def __init__(self, call: ToolCall, versions: Versions, start: float) -> None:
        self.call = call
        self.versions = versions
        self.start = start

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
