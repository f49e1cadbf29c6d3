"""What a command of a model is given: a clean environment and, where bubblewrap is, a sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["environment", "sandboxed"]

_KEPT = frozenset(
    "COLORTERM HOME LANG LANGUAGE LOGNAME PATH SHELL TEMP TERM TMP TMPDIR TZ USER VIRTUAL_ENV".split()  # noqa: SIM905
)
_SECRETS = (
    *(".aws", ".azure", ".docker", ".gnupg", ".kube", ".ssh", ".config/gcloud", ".config/gh", ".config/hub"),
    *(".git-credentials", ".netrc", ".npmrc", ".pgpass", ".pypirc", ".cargo/credentials.toml"),
)
"""What programs keep their keys and credentials in, below the home folder."""
_PROBE_SECONDS = 10


def environment() -> dict[str, str]:
    """Return the environment of a command: of the variables, those that are known to hold no secret."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}


def sandboxed(command: list[str], root: str, *, network: bool) -> list[str] | None:
    """Return the command line that runs `command` in a sandbox; None where there is no working bubblewrap.

    In it the system can be read, but for the user's keys and credentials, and only the workspace written; /tmp is its
    own and ends with it, as does every process; sockets of the system's services are out of reach, and without
    `network` all of the network is.

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
        *_hidden(),
        *("--bind", root, root, "--chdir", root),
        *("--unshare-all", *share, "--die-with-parent", "--new-session", "--", *command),
    ]


def _hidden() -> list[str]:
    """Return the arguments that cover what is known to hold secrets with nothing."""
    args: list[str] = []
    for name in _SECRETS:
        place = Path.home() / name
        if place.is_dir():
            args += ["--tmpfs", str(place.resolve())]
        elif place.is_file():
            args += ["--ro-bind", os.devnull, str(place.resolve())]
    return args


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
