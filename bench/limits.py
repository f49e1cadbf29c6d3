"""50 clients in 4 processes against a server with quotas: how much of them is used, and how often it says 429.

    python bench/limits.py [--seconds 20] [--redis redis://...] [--silent] [--apart]

The server is a process of its own on the loopback. It keeps a token bucket for requests and one for tokens, counts
each request when it comes, and answers 429 with Retry-After when a bucket is empty. The optimum is what it could have
granted from the first request on: full buckets, and what flowed in afterwards, of whichever quota ran out first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from hotloop.calls import Call, CallPath, Demand, Limits, Policy, Retry
from hotloop.errors import ModelStatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS, PROCESSES = 50, 4


# -- the server


async def serve(requests: float, tokens: float, silent: bool) -> None:
    """Grant what the quotas (a minute) allow; a GET gives the counters."""
    tops, levels = (requests, tokens), [requests, tokens]
    stamp = first = None
    served = refused = used = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal stamp, first, served, refused, used, levels
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
                body = await reader.readexactly(length)
                now = time.monotonic()
                if head.startswith(b"get"):
                    passed = 0.0 if first is None else now - first
                    facts = {"served": served, "refused": refused, "tokens": used, "seconds": passed}
                    status, headers, payload = b"200 OK", b"", json.dumps(facts).encode()
                else:
                    asked = json.loads(body)
                    first = now if first is None else first
                    passed, stamp = now - (now if stamp is None else stamp), now
                    levels = [min(top, level + passed * top / 60) for top, level in zip(tops, levels, strict=True)]
                    cost = asked["prompt"] + asked["answer"]
                    headers = b""
                    if levels[0] >= 1 and levels[1] >= cost:
                        levels = [levels[0] - 1, levels[1] - cost]
                        served, used = served + 1, used + cost
                        usage = {"prompt_tokens": asked["prompt"], "completion_tokens": asked["answer"]}
                        status, payload = b"200 OK", json.dumps({"usage": usage}).encode()
                    else:
                        refused += 1
                        wait = max((1 - levels[0]) * 60 / tops[0], (cost - levels[1]) * 60 / tops[1])
                        headers = b"retry-after: %.3f\r\n" % max(0.0, wait)
                        status, payload = b"429 Too Many Requests", b"{}"
                    if not silent:
                        for kind, top, level in zip((b"requests", b"tokens"), tops, levels, strict=True):
                            headers += b"x-ratelimit-limit-%s: %d\r\nx-ratelimit-remaining-%s: %d\r\n" % (
                                kind, top, kind, level,
                            )  # fmt: skip
                    await asyncio.sleep(asked["seconds"])
                writer.write(b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n" % (status, headers, len(payload)) + payload)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# -- a process of clients


async def ask(url: str, limits: Limits, clients: int, end: float, seed: int) -> None:
    chance = random.Random(seed)
    path = CallPath(limits=limits, retry=Retry(attempts=4, budget=None, base=0.05))
    pool = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(limits=pool, timeout=60) as http:

        async def call() -> None:
            prompt, answer = chance.randint(200, 1500), chance.randint(20, 300)
            demand = Demand(url, input_tokens=int(prompt * chance.uniform(0.8, 1.3)), output_tokens=400)
            question = {"prompt": prompt, "answer": answer, "seconds": chance.uniform(0.02, 0.3)}

            async def work() -> bytes:
                response = await http.post(url, json=question)
                demand.observe(response.headers, response.status_code)
                if response.status_code != 200:
                    wait = float(response.headers["retry-after"])
                    raise ModelStatusError("too many requests", response.status_code, wait)
                usage = response.json()["usage"]
                demand.settle(usage["prompt_tokens"], usage["completion_tokens"])
                return response.content

            with contextlib.suppress(ModelStatusError):
                await path.run(Call("llm", "m", None, work, bytes, bytes, Policy(cache=False), demand=demand))

        async def client() -> None:
            while time.time() < end:
                await call()

        tasks = [asyncio.create_task(client()) for _ in range(clients)]
        await asyncio.wait(tasks, timeout=max(0.0, end - time.time()))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


# -- the whole


def python(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE)


@contextlib.contextmanager
def redis(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise SystemExit("redis-server is missing; tests/support/install-services.sh installs it, or give --redis URL")
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen([binary, *words], stdout=subprocess.DEVNULL)
        while not socket.exists():
            time.sleep(0.01)
        try:
            yield f"unix://{socket}"
        finally:
            server.kill()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the clients ask")
    parser.add_argument("--requests", type=float, default=3000.0, help="requests a minute that the server grants")
    parser.add_argument("--tokens", type=float, default=1_500_000.0, help="tokens a minute that the server grants")
    parser.add_argument("--redis", help="a server to share quotas through; one is started where none is given")
    parser.add_argument("--silent", action="store_true", help="the server says nothing of its quotas but 429")
    parser.add_argument("--learn", action="store_true", help="the clients are told nothing of the quotas")
    parser.add_argument("--apart", action="store_true", help="the processes share nothing, for comparison")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ask", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.requests, options.tokens, options.silent))
        return
    told = {} if options.learn else {"requests_per_minute": options.requests, "tokens_per_minute": options.tokens}
    if options.ask:
        url, shared, clients, end, seed = options.ask
        asyncio.run(ask(url, Limits(**told, redis_url=shared or None), int(clients), float(end), int(seed)))
        return
    settings = ["--requests", options.requests, "--tokens", options.tokens]
    server = python("--serve", *settings, *(["--silent"] if options.silent else []))
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
        with redis(options.redis) as shared:
            end = time.time() + options.seconds + 1.0
            parts = [CLIENTS // PROCESSES + (n < CLIENTS % PROCESSES) for n in range(PROCESSES)]
            more = [*settings, *(["--learn"] if options.learn else [])]
            asking = [
                python(*more, "--ask", url, "" if options.apart else shared, clients, end, seed)
                for seed, clients in enumerate(parts)
            ]
            time.sleep(max(0.0, end - time.time()))
            facts = httpx2.get(url).json()
            for process in asking:
                process.wait()
    finally:
        server.kill()
        server.wait()
    grown = 1 + facts["seconds"] / 60
    shares = (facts["served"] / (options.requests * grown), facts["tokens"] / (options.tokens * grown))
    print(
        json.dumps(
            {**facts, "share": round(max(shares), 4), "429": round(facts["refused"] / max(1, facts["served"]), 5)}
        )
    )


if __name__ == "__main__":
    main()
