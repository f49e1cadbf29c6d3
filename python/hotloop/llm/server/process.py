"""The embedded model's server, from its start to its certain end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import select
import subprocess  # the child is this interpreter with a script of ours
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ...errors import ModelConnectionError, ModelError, ModelTimeoutError
from ..text import brief

if TYPE_CHECKING:
    from .weights import Weights

__all__ = ["LocalServer"]

_CHILD = Path(__file__).with_name("child.py")
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")  # all that the child needs of the environment
_START_SECONDS = 120.0


class LocalServer:
    """llama.cpp's HTTP server in a child process, started when it is first needed.

    It listens on a free port of the loopback interface and answers only to a key made for this start. It ends with
    `close`, when this object is collected, when the interpreter exits, and when this process dies in whatever way. It
    has its own session, so a Ctrl-C at the terminal does not reach it.

    Args:
        weights: the model.
        context: tokens of context.
        threads: processor threads.
        cache_prompt: whether the evaluated prefix of a prompt is reused.
    """

    def __init__(self, weights: Weights, *, context: int, threads: int, cache_prompt: bool) -> None:
        self.key = ""
        self._weights = weights
        self._settings = {"context": context, "threads": threads, "cache_prompt": cache_prompt}
        self._address = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def address(self) -> str:
        """Return the server's base URL, after starting it where it does not run.

        Raises:
            ModelConnectionError: it died while it started; the message holds the end of what it said.
            ModelTimeoutError: it did not start in time.
        """
        if self._address and self.pid is not None:
            return self._address
        return await asyncio.to_thread(self._start)

    def _start(self) -> str:
        with self._lock:
            if self._address and self.pid is not None:
                return self._address
            if self._closed:
                raise ModelError("the client of the embedded model is closed; make a new one")
            self._address = ""
            with tempfile.TemporaryFile() as log:
                self._address = self._launch(log)
            return self._address

    def _launch(self, log: IO[bytes]) -> str:
        process = subprocess.Popen(  # noqa: S603  (no shell, nothing of the caller's in the arguments)
            [sys.executable, "-I", "-S", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd="/",
            start_new_session=True,
        )
        self._process = process
        self._end = weakref.finalize(self, _stop, process, os.getpid())
        self.key = secrets.token_urlsafe(24)
        settings = {
            **self._settings,
            "model": str(self._weights.file),
            "packages": str(self._weights.packages),
            "template": "chatml",
            "key": self.key,
            "parent": os.getpid(),
        }
        try:
            said = b"" if self._closed else _exchange(process, json.dumps(settings).encode() + b"\n")
        except BaseException:
            self._end()
            raise
        if not said.endswith(b"\n"):
            self._end()
            log.seek(max(0, log.tell() - 2000))
            last = brief(log.read()[-400:]) or f"exit code {process.returncode}, nothing said"
            raise ModelConnectionError(f"the embedded model's server died while it started: {last}")
        address: str = json.loads(said)["address"]
        return address

    def close(self) -> None:
        """End the server, also one that is just starting; returns when it is gone."""
        self._closed = True
        if self._end is not None:
            self._end()


def _exchange(process: subprocess.Popen[bytes], settings: bytes) -> bytes:
    """Tell the child its settings and return its first line, which lacks its end when the child died."""
    assert process.stdin is not None  # noqa: S101  (both are pipes)
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(settings)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    if not poll.poll(_START_SECONDS * 1000):
        raise ModelTimeoutError(f"the embedded model's server had not started after {_START_SECONDS:g} s")
    return process.stdout.readline()


def _stop(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a server; a fork of the process that started it leaves it alone."""
    if os.getpid() != owner:
        return
    process.kill()  # it has nothing to save
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
