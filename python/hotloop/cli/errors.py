"""How a command ends: the exit codes, and the one line that says what went wrong."""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum

import typer

from ..errors import (
    AgentError,
    CacheError,
    ConfigError,
    HotloopError,
    MissingExtraError,
    MissingKeyError,
    ModelError,
    UnknownModelError,
    WorkspaceError,
)
from .text import one_line

__all__ = ["Code", "code_of", "exit_codes", "report"]


class Code(IntEnum):
    """Exit codes; each has its meaning in `doc`."""

    doc: str

    def __new__(cls, value: int, doc: str) -> Code:
        """Give a code its meaning."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.doc = doc
        return code

    OK = 0, "done"
    FAILED = 1, "another error of hotloop's"
    USAGE = 2, "wrong arguments, such as an empty task or an unknown option"
    CONFIG = 3, "the configuration holds an unknown key or a value that is not allowed, or cannot be read"
    MODEL = 4, "the model cannot be used: unknown name, missing key, or an extra that is not installed"
    SERVER = 5, "the model's server could not be reached, answered with an error, or answered nonsense"
    WORKSPACE = 6, "the workspace is missing or not a folder"
    UNANSWERED = 7, "the run ended without an answer, as when its turns were used up"
    CACHE = 8, "the cache file cannot be used"
    BUG = 70, "a bug in hotloop"
    OUTPUT = 74, "reading or writing failed, as on a full disk"
    INTERRUPTED = 130, "interrupted with Ctrl-C"
    PIPE = 141, "the reader of the output went away"


_CODES: tuple[tuple[type[BaseException], Code], ...] = (  # the first that fits
    (typer.TyperException, Code.USAGE),
    (ConfigError, Code.CONFIG),
    (UnknownModelError, Code.MODEL),
    (MissingKeyError, Code.MODEL),
    (MissingExtraError, Code.MODEL),
    (ModelError, Code.SERVER),
    (WorkspaceError, Code.WORKSPACE),
    (AgentError, Code.UNANSWERED),
    (CacheError, Code.CACHE),
    (HotloopError, Code.FAILED),
    (KeyboardInterrupt, Code.INTERRUPTED),
    (BrokenPipeError, Code.PIPE),
    (OSError, Code.OUTPUT),
)


def code_of(error: BaseException) -> Code:
    """Return the exit code of a command that `error` ended."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.BUG)


def exit_codes(*codes: Code) -> str:
    """Return the part of a command's help that lists its exit codes; the ones that any command has are added."""
    every = sorted({Code.OK, Code.USAGE, Code.CONFIG, Code.BUG, Code.OUTPUT, Code.INTERRUPTED, Code.PIPE, *codes})
    return "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {code.doc}" for code in every)


def report(error: BaseException, *, verbose: bool = False) -> Code:
    """Say on standard error, in one line, what ended the command, and return its exit code.

    Args:
        error: what ended the command.
        verbose: whether the traceback follows.
    """
    code = code_of(error)
    if code is Code.PIPE:
        return code  # nobody listens any more
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "hotloop"
        line = f"{error.format_message().rstrip('.')} (see {command} --help)"
    elif code is Code.INTERRUPTED:
        line = "interrupted"
    elif code is Code.OUTPUT:
        line = f"reading or writing failed: {error}"
    elif code is Code.BUG:
        line = f"this is a bug: {type(error).__name__}: {error}"
        line += "" if verbose else " (-v shows where)"
    else:
        line = str(error) or type(error).__name__
    print(f"hotloop: {one_line(line)}", file=sys.stderr)
    if verbose and not isinstance(error, typer.TyperException):
        traceback.print_exception(error)
    return code
