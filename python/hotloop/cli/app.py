"""The commands, and the one place where their errors end."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from . import cache, config, doctor, run
from .errors import Code, exit_codes, report
from .options import State

__all__ = ["app", "invoke"]


def _version(value: bool) -> None:
    if value:
        from .._core import __version__

        print(f"hotloop {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="hotloop",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=exit_codes(*Code),
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Make LLM agents fast and cheap."""


app.command("run", epilog=run.EXIT_CODES)(run.run)
app.add_typer(config.app, name="config")
app.add_typer(cache.app, name="cache")
app.command("doctor", epilog=doctor.EXIT_CODES)(doctor.doctor)


def invoke(args: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error ends here, in one line on standard error."""
    _prepare_streams()
    state = State()
    try:
        code = _invoke(list(args), state)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of the line: everything is reported here
        if isinstance(error, OSError):
            _drop_output()
        return report(error, verbose=state.verbose)
    return code


def _drop_output() -> None:
    """Send what could not be written nowhere: it would fail again when the interpreter flushes it at its end."""
    with suppress(OSError, ValueError):  # not a real stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(args: list[str], state: State) -> int:
    # What typer's own main does, without its handling of errors, which would print more than a line.
    command = typer.main.get_command(app)
    try:
        with command.make_context("hotloop", args, obj=state) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _prepare_streams() -> None:
    """Make sure that any text can be written: a closed stream swallows it, a narrow encoding shows escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - a stream for the life of the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
