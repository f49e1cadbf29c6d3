"""What the drop-in costs: CPU time of the client for a request of 1 KB, as a ratio to bare httpx2 in the same run.

Blocks of bare requests and of requests through hotloop take turns, and the median of their ratios is told, so that
what else the machine does falls out. Also: 64 identical requests at once, and what `import hotloop` takes.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count as numbers
from typing import Any

import httpx2

import hotloop

_ANSWER = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 800}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 250, "completion_tokens": 200, "total_tokens": 450},
    }
).encode()
_NUMBERS = numbers()
_LIMITS = b"x-ratelimit-limit-requests: 1000000\r\nx-ratelimit-remaining-requests: 999999\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n"

_IMPORT = """
import sys, time
start = time.perf_counter()
if sys.argv[1]: __import__(sys.argv[1])
took = time.perf_counter() - start
resident = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(1000 * took, int(resident.split()[1]) / 1024)
"""


class _Server(asyncio.Protocol):
    """Answers each request with the same bytes; `GET /count` tells how many there were."""

    requests = 0
    quotas = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, rest = self._got.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not end or len(rest) < int(length or 0):
            return
        self._got = b""
        body, extra = (b"%d" % _Server.requests, b"") if head.startswith(b"GET") else (_ANSWER, _Server.quotas)
        _Server.requests += head.startswith(b"POST")
        answer = _HEAD % (extra, len(body)) + body
        if b"x-late" in head.lower():
            asyncio.get_running_loop().call_later(0.2, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _serve(port: "multiprocessing.Queue[int]", quotas: bytes) -> None:
    _Server.quotas = quotas

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def _body(number: int, **fields: object) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": f"{number:06}" + "x" * 950}], **fields}
    ).encode()


def _cpu(block: Callable[[int], None], count: int) -> float:
    """Return the seconds of CPU time that a request takes, those of all threads."""
    start = time.process_time()
    block(count)
    return (time.process_time() - start) / count


_KINDS: dict[str, tuple[bool, dict[str, object]]] = {  # whether each request is a new one, and its fields
    "a request of chance": (True, {}),
    "a miss that is joined and stored": (True, {"temperature": 0}),
    "a hit from memory": (False, {"temperature": 0}),
}


def _requests(url: str, fresh: bool, fields: dict[str, object], count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        body = _body(next(_NUMBERS) if fresh else number, **fields)
        yield {"url": url, "content": body, "headers": {"authorization": "Bearer k"}}


def _look(response: httpx2.Response) -> None:
    assert len(response.json()["choices"]) == 1


@contextmanager
def _asynchronous(url: str) -> Iterator[Callable[[bool, bool, dict[str, object]], Callable[[int], None]]]:
    """Give what makes a block of requests: hot or bare, new ones or the same again, with fields."""
    with asyncio.Runner() as runner:
        clients = httpx2.AsyncClient(), hotloop.http_client()

        def block(hot: bool, fresh: bool, fields: dict[str, object]) -> Callable[[int], None]:
            async def send(count: int) -> None:
                for request in _requests(url, fresh, fields, count):
                    _look(await clients[hot].post(**request))

            return lambda count: runner.run(send(count))

        yield block
        for client in clients:
            runner.run(client.aclose())


@contextmanager
def _synchronous(url: str) -> Iterator[Callable[[bool, bool, dict[str, object]], Callable[[int], None]]]:
    """As `_asynchronous`."""
    with httpx2.Client() as bare, hotloop.http_client_sync() as hot_one:

        def block(hot: bool, fresh: bool, fields: dict[str, object]) -> Callable[[int], None]:
            def send(count: int) -> None:
                for request in _requests(url, fresh, fields, count):
                    _look((hot_one if hot else bare).post(**request))

            return send

        yield block


def _compare(url: str, rounds: int, count: int) -> None:
    """Print what each kind of request costs."""
    for way, blocks in {"asynchronous": _asynchronous, "synchronous": _synchronous}.items():
        with blocks(url) as block:
            cases = {name: block(True, fresh, fields) for name, (fresh, fields) in _KINDS.items()}
            floor = block(False, True, {})
            for one in (*cases.values(), floor):
                _cpu(one, count)
            ratios: dict[str, list[float]] = {name: [] for name in cases}
            floors = []
            for _ in range(rounds):
                for name, one in cases.items():
                    before = _cpu(floor, count)
                    took = _cpu(one, count)
                    floors.append(before)
                    ratios[name].append(2 * took / (before + _cpu(floor, count)))
        print(f"{way}: bare httpx2 takes {1e6 * statistics.median(floors):.0f} us of CPU time for a request of 1 KB")
        for name, found in ratios.items():
            print(f"  {name}: {statistics.median(found):.2f} of that (from {min(found):.2f} to {max(found):.2f})")


async def _identical(url: str) -> None:
    async with httpx2.AsyncClient() as bare, hotloop.http_client() as hot:
        before = int((await bare.get(url)).text)
        body = _body(0, temperature=0)
        await asyncio.gather(*(hot.post(url, content=body, headers={"x-late": "1"}) for _ in range(64)))
        print(f"64 identical requests at once: {int((await bare.get(url)).text) - before} at the origin")


def _imports(rounds: int) -> None:
    found: dict[str, list[list[float]]] = {"": [], "hotloop": []}
    for _ in range(rounds):
        for name, results in found.items():
            done = subprocess.run([sys.executable, "-c", _IMPORT, name], capture_output=True, text=True, check=True)
            results.append([float(one) for one in done.stdout.split()])
    (bare_ms, bare_mb), (ms, mb) = (
        [statistics.median(column) for column in zip(*results, strict=True)] for results in found.values()
    )
    print(f"import hotloop: {ms - bare_ms:.1f} ms and {mb - bare_mb:.1f} MB over bare Python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=150, help="requests in a block")
    parser.add_argument("--silent", action="store_true", help="a server that tells no quotas")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=_serve, args=(port, b"" if options.silent else _LIMITS), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get()}/v1/chat/completions"
    try:
        asyncio.run(_identical(url))
        _compare(url, options.rounds, options.count)
    finally:
        server.terminate()
    _imports(max(5, options.rounds))


if __name__ == "__main__":
    main()
