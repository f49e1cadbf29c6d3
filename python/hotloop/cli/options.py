"""What every command takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile", "Json", "Quiet", "State", "Verbose"]


@dataclass
class State:
    """What `invoke` must know of the command that it runs: whether errors show their traceback."""

    verbose: bool = False


def _verbose(context: typer.Context, value: bool) -> bool:
    if value:
        context.ensure_object(State).verbose = True
    return value


Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output, in one line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write the result only.")]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", is_eager=True, callback=_verbose, help="Write more; errors show their traceback."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The only configuration file to read.", show_default=False),
]
