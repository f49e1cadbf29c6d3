"""The real command, in a folder, a home and an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


class Shell:
    """Runs ``hotloop`` as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "here"
        self.folder.mkdir()
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        self.env = {
            **keep,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "COLUMNS": "200",
        }
        self.cache_file = folder / "cache" / "hotloop" / "responses.db"

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "hotloop", *args]

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args), cwd=self.folder, env=self.env | env, capture_output=True, text=True, timeout=120
        )

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*args),
            cwd=self.folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Check that a command ended with `code` and one line on standard error, and return the line."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("hotloop: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("hotloop: ").rstrip("\n")
