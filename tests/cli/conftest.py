"""The real command, in a folder, a home and an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hotloop.cli.app import invoke


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


@pytest.fixture
def inside(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same command without a process of its own, where a process is not the point: ten times quicker."""

    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            patch.chdir(shell.folder)
            for name in [name for name in os.environ if name.startswith(("HOTLOOP_", "OPENAI_"))]:
                patch.delenv(name)
            for name, value in (shell.env | env).items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = invoke(args)
            said = capsys.readouterr()
        return subprocess.CompletedProcess(args, code, said.out, said.err)

    return run


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Check that a command ended with `code` and one line on standard error, and return the line."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("hotloop: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("hotloop: ").rstrip("\n")
