"""What a command of a model is given: a clean environment and, where bubblewrap is, a sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

__all__ = ["environment", "sandboxed"]

_KEPT = frozenset(
    "COLORTERM HOME LANG LANGUAGE LOGNAME PATH SHELL TEMP TERM TMP TMPDIR TZ USER VIRTUAL_ENV".split()  # noqa: SIM905
)
_PROBE_SECONDS = 10


def environment() -> dict[str, str]:
    """Return the environment of a command: of the variables, those that are known to hold no secret."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}


def sandboxed(command: list[str], root: str, *, network: bool) -> list[str] | None:
    """Return the command line that runs `command` in a sandbox; None where there is no working bubblewrap.

    In it the whole system can be read and only the workspace written; /tmp is its own and ends with it, as does every
    process; sockets of the system's services are out of reach, and without `network` all of the network is.

    Args:
        command: the command line.
        root: the workspace, without links.
        network: whether the network can be reached.
    """
    program = _bubblewrap()
    if program is None:
        return None
    share = ["--share-net"] if network else []
    return [
        *(program, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"),  # noqa: S108
        *("--bind", root, root, "--chdir", root),
        *("--unshare-all", *share, "--die-with-parent", "--new-session", "--", *command),
    ]


@cache
def _bubblewrap() -> str | None:
    program = shutil.which("bwrap")
    if program is None:
        return None
    probe = [program, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, timeout=_PROBE_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if done.returncode == 0 else None  # many systems forbid it
