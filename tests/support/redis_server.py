"""A real redis-server for tests: on a Unix socket in a folder of its own, without anything on disk."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

MISSING = "redis-server is not installed: run tests/support/install-services.sh, or `make test`, which does"


class RedisServer:
    """A server that can be paused, resumed and killed.

    Args:
        folder: where its socket and log lie.
        password: what it asks for; None for nothing.
    """

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.folder = folder
        self.password = password
        self.socket = folder / "redis.sock"
        self.url = f"unix://{f':{password}@' if password else ''}{self.socket}"
        self.start()

    def start(self) -> None:
        """Start it, and return when it answers."""
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        assert binary is not None, MISSING
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
        } | ({"requirepass": self.password} if self.password else {})
        self.process = subprocess.Popen(
            [binary, *(word for key, value in settings.items() for word in (f"--{key}", value))]
        )
        self.client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
            except redis.ConnectionError:
                assert self.process.poll() is None, (self.folder / "redis.log").read_text()
                assert time.monotonic() < deadline, "redis-server does not answer"
            else:
                return

    def pause(self) -> None:
        """Stop it in its tracks: connections are taken, nothing is answered."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, and return when it answers."""
        os.kill(self.process.pid, signal.SIGCONT)
        self.client.ping()

    def kill(self) -> None:
        """End it at once."""
        self.client.close()
        self.process.kill()
        self.process.wait()
