"""What a run prints while it goes on, and at its end."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console

from ..agent.events import AgentEvent, RunFinished, ToolFinished, ToolStarted, TurnFinished, TurnStarted
from .bar import Bar
from .text import duration, one_line, plural, printable, short

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["Progress"]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # rich would exit; here the error goes where all errors go


class Progress:
    """Prints the events of one run: lines, and on a terminal a bar for the calls that are under way.

    Progress goes to standard output, or to standard error where that is for JSON.

    Attributes:
        bar: what must leave the terminal while a person is asked on it.

    Args:
        model: the name of the model that is asked.
        as_json: whether standard output gets one line of JSON, and nothing else.
        quiet: whether there is only the answer.
        verbose: whether arguments are shown in full, and results with their beginning.
        clock: gives seconds; replaced in tests.
    """

    def __init__(
        self, model: str, *, as_json: bool, quiet: bool, verbose: bool, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._model = model
        self._json = as_json
        self._verbose = verbose
        self._console = _Console(
            file=sys.stderr if as_json else sys.stdout,
            force_terminal=False if os.environ.get("NO_COLOR") else None,  # rich would leave bold and dim
            highlight=False,
            quiet=quiet,
        )
        self._clock = clock
        self._start = clock()
        self._turns = self._calls = self._hits = self._tokens = 0
        self._wait = ExitStack()  # the spinner of a model call, on a terminal
        self.bar = Bar(self._console)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait.close()
        self.bar.close()

    def show(self, event: AgentEvent) -> None:
        """Print one event."""
        match event:
            case TurnStarted(turn):
                self._turns = turn
                if self._console.is_terminal and not self._console.quiet:
                    self._wait.enter_context(self._console.status(f"turn {turn}  asking {printable(self._model)}"))
            case TurnFinished():
                self._wait.close()
                self._turn(event)
            case ToolStarted(_, call):
                if self._verbose:
                    self._line(f"  {call.name}({short(call.args, 10_000)})  starts", style="dim")
                self.bar.started(call)
            case ToolFinished():
                self._tool(event)
                self.bar.finished(event.result.call)
            case RunFinished(result):
                self._end(result.output)

    def _turn(self, event: TurnFinished) -> None:
        self._calls += 1
        if event.cache in ("hit", "joined"):
            source = f"cache hit ({event.tier})" if event.cache == "hit" else "joined an identical call"
            self._hits += event.cache == "hit"
            self._line(f"turn {event.turn}  {source}, {duration(event.seconds)}", style="green")
        else:
            tokens = event.usage.output_tokens
            self._tokens += tokens
            past = ", not cached" if event.cache == "bypass" else ""
            self._line(
                f"turn {event.turn}  model call{past}, {duration(event.seconds)}, {plural(tokens, 'token')}",
                style="bold",
            )

    def _tool(self, event: ToolFinished) -> None:
        result = event.result
        call = f"  {result.call.name}({short(result.call.args, 10_000 if self._verbose else 60)})"
        source = "from the cache, " if result.cached else ""
        failed = f", failed: {one_line(str(result.error), 200)}" if result.error is not None else ""
        self._line(f"{call}  {source}{duration(result.seconds)}{failed}", style="red" if failed else "cyan")
        if self._verbose and not failed:
            self._line(f"    {one_line(result.content, 300)}", style="dim")

    def _end(self, output: str) -> None:
        seconds = self._clock() - self._start
        if self._json:
            counts = {
                "output": output,
                "turns": self._turns,
                "model_calls": self._calls,
                "cache_hits": self._hits,
                "tokens_generated": self._tokens,
                "seconds": round(seconds, 6),
            }
            sys.stdout.write(json.dumps(counts) + "\n")
            return
        self._line("")
        sys.stdout.write(printable(output) + "\n")
        self._line("")
        self._line(
            f"{plural(self._turns, 'turn')}, {plural(self._calls, 'model call')}, {plural(self._hits, 'cache hit')}, "
            f"{plural(self._tokens, 'token')} generated, {duration(seconds)}",
            style="dim",
        )

    def _line(self, text: str, style: str | None = None) -> None:
        self._console.print(printable(text), style=style, markup=False, emoji=False, soft_wrap=True)
        self._console.file.flush()  # live, also into a pipe
