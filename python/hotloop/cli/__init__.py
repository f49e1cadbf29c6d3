"""The command line: ``hotloop`` and ``python -m hotloop`` (extra ``cli``)."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command that the process's arguments name, and return its exit code."""
    try:
        try:
            return _main()
        finally:
            _uninterrupted()
    except KeyboardInterrupt:  # while modules were loaded, or once more while the first one was seen to
        _uninterrupted()
        print("hotloop: interrupted", file=sys.stderr)
        return 130


def _main() -> int:
    try:
        from .app import invoke
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        from ..errors import MissingExtraError

        print(f"hotloop: {MissingExtraError('the command line', 'cli')}", file=sys.stderr)
        return 4
    return invoke(sys.argv[1:])


def _uninterrupted() -> None:
    """Let the process end with its own exit code: all that is left is Python's shutdown."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
