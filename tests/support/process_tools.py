"""Tools that a process can import."""

import os
import signal
import time
from pathlib import Path

from pydantic import SecretStr

from hotloop.tools import tool


@tool(where="process", effect="pure")
def where_am_i(n: int) -> dict:
    print("counting", n)
    return {"pid": os.getpid(), "n": n}


@tool(where="process", effect="external", timeout=0.5)
def spin(mark: str) -> None:
    """Write a file every few milliseconds, for ever."""
    while True:
        Path(mark).write_text(str(time.time_ns()))
        time.sleep(0.005)


@tool(where="process", effect="pure")
def fail(how: str) -> None:
    if how == "raise":
        raise ValueError("boom")
    if how == "exit":
        raise SystemExit(3)
    os.kill(os.getpid(), signal.SIGKILL)


@tool(where="process", effect="pure")
def unfit() -> object:
    return object()


@tool(where="process", effect="pure")
def sized(secret: SecretStr) -> int:
    return len(secret.get_secret_value())


def plain(n: int) -> int:
    return n
