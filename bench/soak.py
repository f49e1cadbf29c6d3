"""Many requests through the transport, with cancels and faults: no answer may be lost or mixed up, memory stays flat.

    python bench/soak.py [--requests 100000] [--concurrency 64] [--seed 1]

A server in a process of its own echoes each request's text, or misbehaves as the request itself says, so that every
answer can be told right from wrong. Prints one line of figures; the exit code is 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2

import hotloop

FAULTS = ("429", "500", "reset", "reset in the body", "cut", "half a stream", "error under 200", "slow")
GROWTH_MIB = 24  # what a process may grow by between a quarter of the way and the end


# -- the server


def answer(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


def events(text: str) -> list[bytes]:
    def event(delta: dict[str, str], finish: str | None) -> bytes:
        chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    return [*(event({"content": word}, None) for word in text.split()), event({}, "stop"), b"data: [DONE]\n\n"]


def head(status: str, kind: str, length: int | None) -> bytes:
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{size}\r\nretry-after-ms: 1\r\n\r\n".encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(lines.split(b"content-length:")[1].split(b"\r\n")[0])
            if not await say(json.loads(await reader.readexactly(length)), writer):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def say(body: dict[str, object], writer: asyncio.StreamWriter) -> bool:
    text, fault = str(body["messages"][0]["content"]), body.get("fault")  # type: ignore[index]
    if fault == "slow":
        await asyncio.sleep(0.02)
    if fault == "reset":
        writer.transport.abort()
        return False
    if fault in ("429", "500"):
        writer.write(head(f"{fault} No", "application/json", 2) + b"{}")
    elif fault == "error under 200":
        writer.write(head("200 OK", "application/json", 12) + b'{"error": 1}')
    elif body.get("stream"):
        writer.write(head("200 OK", "text/event-stream", None))
        pieces = events(text)
        for piece in pieces[: len(pieces) // 2] if fault in ("half a stream", "cut", "reset in the body") else pieces:
            if writer.transport.is_closing():  # the client has gone
                return False
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        if fault in ("cut", "reset in the body"):
            writer.close() if fault == "cut" else writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
    else:
        whole = answer(text)
        writer.write(head("200 OK", "application/json", len(whole)))
        if fault in ("cut", "reset in the body", "half a stream"):
            writer.write(whole[:50])
            writer.close() if fault != "reset in the body" else writer.transport.abort()
            return False
        writer.write(whole)
    await writer.drain()
    return True


async def server() -> None:
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    async with listening:
        await listening.serve_forever()


# -- the client


class Soak:
    """Asks at random, and checks every answer."""

    def __init__(self, client: httpx2.AsyncClient, url: str, seed: int) -> None:
        self.client = client
        self.url = url
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def one(self) -> None:
        chance = self.chance
        number = int(chance.paretovariate(0.3)) % 5000  # few are asked often, many once
        fault = chance.choice(FAULTS) if chance.random() < 0.1 else None
        body: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": f"request {number} of them"}]}
        body |= {"temperature": 0 if chance.random() < 0.8 else 1, "fault": fault}
        if streamed := chance.random() < 0.4:
            body["stream"] = True
        leave = chance.randrange(3) if streamed and chance.random() < 0.2 else None
        work = asyncio.ensure_future(self.ask(body, leave))
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 0.004)
            work.cancel()
        try:
            outcome, text = await work
        except asyncio.CancelledError:
            self.seen["cancelled"] += 1
            return
        except httpx2.TransportError as error:
            self.seen["errors"] += 1
            if fault not in ("reset", "reset in the body", "cut", "half a stream"):
                self.wrong.append(f"{type(error).__name__} for {body}")
            return
        self.seen[outcome] += 1
        if text is not None and text != f"request {number} of them" and (fault is None or fault == "slow"):
            self.wrong.append(f"{text!r} for {body}")

    async def ask(self, body: dict[str, object], leave: int | None) -> tuple[str, str | None]:
        async with self.client.stream("POST", self.url, json=body) as response:
            outcome = str(response.extensions["hotloop"]["cache"])
            if leave is not None:
                async for _ in response.aiter_raw():
                    if not leave:
                        return "left early", None
                    leave -= 1
                return outcome, None
            raw = await response.aread()
        if response.status_code != 200:
            return f"status {response.status_code}", str(response.status_code)
        if not body.get("stream"):
            fields = json.loads(raw)
            return outcome, fields["choices"][0]["message"]["content"] if "choices" in fields else "error"
        data = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: {")]
        return outcome, " ".join(json.loads(one)["choices"][0]["delta"].get("content", "") for one in data).strip()


def resident() -> float:
    """MiB of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def soak(port: int, requests: int, concurrency: int, seed: int) -> int:
    cache = hotloop.MemoryCache(1000)
    client = hotloop.http_client(cache=cache, retry=hotloop.Retry(attempts=2, base=0.001), timeout=30)
    run = Soak(client, f"http://127.0.0.1:{port}/v1/chat/completions", seed)
    start, left, early = time.perf_counter(), iter(range(requests)), 0.0

    async def worker() -> None:
        nonlocal early
        for n in left:
            await run.one()
            if n == requests // 4:
                early = resident()

    async with client:
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        await asyncio.sleep(0.1)
        grown = resident() - early
        tasks = len(asyncio.all_tasks()) - 1
    figures = {"requests": requests, "seconds": round(time.perf_counter() - start, 1), "grown_mib": round(grown, 1)}
    figures |= {"wrong": len(run.wrong), "tasks_left": tasks, **dict(sorted(run.seen.items()))}
    print(json.dumps(figures))
    for what in run.wrong[:10]:
        print("wrong:", what)
    return int(bool(run.wrong or tasks or grown > GROWTH_MIB))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(server())
        return 0
    child = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(child.stdout.readline()) if child.stdout else 0
        return asyncio.run(soak(port, options.requests, options.concurrency, options.seed))
    finally:
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main())
