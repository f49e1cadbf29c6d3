"""The child process: llama.cpp's own HTTP server, for as long as its parent lives.

Run as a script, not as a module: it imports nothing of the package, so that an isolated interpreter without site
packages can run it, and nothing of the parent's environment is needed. Its standard input is both its settings (the
first line, JSON) and its lifeline: when the parent closes it, or dies in any way, it is closed and this process ends.
Its standard output says one line of JSON, the address, when the server answers.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any


def main() -> None:
    """Serve until standard input ends."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(0)  # the parent was gone before it had said anything
    settings = json.loads(line)
    _die_with_stdin()
    address, _server = _serve(settings)
    sys.stdout.write(json.dumps({"address": address}) + "\n")
    sys.stdout.flush()
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while os.getppid() == settings["parent"]:  # a fork of a dead parent may still hold the other end of the pipe
        if poll.poll(1000) and not os.read(0, 4096):
            break
    os._exit(0)  # the server's threads have nothing to save


def _die_with_stdin() -> None:
    """Have the kernel end this process when standard input ends, also while native code holds the interpreter."""
    try:
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    except (ImportError, AttributeError, OSError):
        return  # a system without it: the loop in `main` notices as soon as the model is loaded
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if poll.poll(0) and not os.read(0, 1):
        os._exit(0)  # it ended before the kernel was asked


def _serve(settings: dict[str, Any]) -> tuple[str, Any]:
    sys.path.append(settings["packages"])
    import xllamacpp  # type: ignore[import-untyped]  # it has no stubs

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.chat_template = settings["template"]
    params.n_ctx = settings["context"]
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_prompt = settings["cache_prompt"]
    params.cache_ram_mib = 64 if settings["cache_prompt"] else 0
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.n_threads_http = 4
    params.endpoint_metrics = True
    params.ui = False
    params.warmup = False
    params.verbosity = 1  # errors only; the parent shows their end when this process dies
    server = xllamacpp.Server(params)
    return server.listening_address, server


if __name__ == "__main__":
    main()
