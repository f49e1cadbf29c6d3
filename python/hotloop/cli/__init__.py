"""The command line: ``hotloop`` and ``python -m hotloop`` (extra ``cli``)."""

from __future__ import annotations

import sys

from ..errors import MissingExtraError

__all__ = ["main"]


def main() -> int:
    """Run the command that the process's arguments name, and return its exit code."""
    try:
        from .app import invoke
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"hotloop: {MissingExtraError('the command line', 'cli')}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print("hotloop: interrupted", file=sys.stderr)
        return 130
    return invoke(sys.argv[1:])
