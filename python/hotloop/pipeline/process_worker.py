"""What runs in a process for tools: calls come in as JSON, results go out as JSON."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stdout
from importlib import import_module
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import HotloopError
from ..tools import Tool, tool
from ..tools.content import content_of, words_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["serve"]


def serve(pipe: Connection) -> None:
    """Answer calls until the other side goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends this one
    tools: dict[tuple[str, str], Tool] = {}
    while True:
        try:
            request = orjson.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        pipe.send_bytes(_answer(request, tools))


def _answer(request: dict[str, Any], tools: dict[tuple[str, str], Tool]) -> bytes:
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            place = request["module"], request["name"]
            if place not in tools:
                sys.path[:] = request["path"]
                tools[place] = tool(getattr(import_module(place[0]), place[1]))
            found = tools[place]
            value = found.invoke(found.validate(request["args"]))
            text = value if isinstance(value, str) else orjson.Fragment(content_of(value))
            return orjson.dumps({"value": text, "printed": printed.getvalue()})
    except HotloopError as error:
        return orjson.dumps({"error": str(error)})
    except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its caller's to hear
        return orjson.dumps({"error": f"{request['name']} failed: {words_of(error)}"})
