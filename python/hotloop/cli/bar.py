"""The calls of one turn that are under way, as a bar at the foot of the terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ..toolcall import ToolCall

__all__ = ["Bar"]

_SHOWN = 60


class Bar:
    """Shows how many calls have ended, which have not, and for how long; where there is no terminal, nothing.

    Args:
        console: what the lines above it are printed on.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("  tools"),
            BarColumn(20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=console.quiet or not console.is_interactive,
        )
        self._running: list[ToolCall] = []
        self._task = self._progress.add_task("", total=0)
        self._total = 0
        self._paused = False

    def started(self, call: ToolCall) -> None:
        """Show one more call; the first starts the bar."""
        self._running.append(call)
        self._total += 1
        if self._total == 1:
            self._progress.reset(self._task)
        self._update()
        self._show()

    def finished(self, call: ToolCall) -> None:
        """Show one more ended call; the last ends the bar."""
        self._running = [other for other in self._running if other is not call]
        self._update()
        if not self._running:
            self.close()

    def close(self) -> None:
        """Take it off the terminal."""
        self._progress.stop()
        self._running, self._total = [], 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to somebody else, for the time of a `with` block."""
        self._paused = True
        self._progress.stop()
        try:
            yield
        finally:
            self._paused = False
            self._show()

    def _show(self) -> None:
        if self._running and not self._paused:
            self._progress.start()

    def _update(self) -> None:
        names = one_line(", ".join(call.name for call in self._running), _SHOWN)
        done = self._total - len(self._running)
        self._progress.update(self._task, total=self._total, completed=done, description=names)
