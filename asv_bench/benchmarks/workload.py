"""What the benchmarks work on: chat requests, digest keys, and rows of requests to a cache. All from fixed seeds."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import resource
from pathlib import Path
from typing import Any

WORDS = [
    "agent",
    "file",
    "read",
    "write",
    "test",
    "run",
    "error",
    "step",
    "parse",
    "config",
    "value",
    "total",
    "order",
    "list",
    "date",
    "report",
    "token",
    "cache",
    "request",
    "response",
    "header",
    "class",
    "method",
    "import",
    "async",
    "await",
    "return",
    "module",
    "index",
    "retry",
    "timeout",
    "network",
    "convert",
    "amount",
]
RARE = ["Grüße", "façade", "日本語", "Ελληνικά", "🚀", "“so”", "a\\b", "tab\there", 'he said "no"']


def prose(rng: random.Random, length: int) -> str:
    """About so many characters of words and lines; some need escapes, some are not ASCII."""
    parts: list[str] = []
    size = 0
    while size < length:
        word = rng.choice(RARE) if rng.random() < 0.02 else rng.choice(WORDS)
        word += "\n" if rng.random() < 0.03 else " "
        parts.append(word)
        size += len(word)
    return "".join(parts)


def turn(rng: random.Random, size: int = 2048) -> list[dict[str, Any]]:
    """What one turn of an agent adds: a tool call and a tool result of about `size` bytes."""
    call = f"call_{rng.getrandbits(96):024x}"
    arguments = json.dumps({"path": f"src/{rng.choice(WORDS)}.py", "limit": rng.randrange(100), "ratio": rng.random()})
    function = {"name": rng.choice(WORDS), "arguments": arguments}
    asked = {"id": call, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": prose(rng, 100), "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": call, "content": prose(rng, size)},
    ]


def head(rng: random.Random) -> dict[str, Any]:
    """A request with ten tools, a system prompt and a question."""
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"{rng.choice(WORDS)}_{n}",
                "description": prose(rng, 200),
                "parameters": {
                    "type": "object",
                    "properties": {
                        f"{word}_{i}": {"type": "string", "description": prose(rng, 60)}
                        for i, word in enumerate(rng.sample(WORDS, 4))
                    },
                    "additionalProperties": False,
                },
            },
        }
        for n in range(10)
    ]
    question = {"role": "user", "content": [{"type": "text", "text": prose(rng, 200)}]}
    return {
        "model": "gpt-4o-2024-08-06",
        "messages": [{"role": "system", "content": prose(rng, 2500)}, question],
        "tools": tools,
        "temperature": 0.2,
        "top_p": 0.95,
        "seed": 42,
        "max_completion_tokens": 4096,
        "stream": True,
    }


def chat_body(size: int, seed: int = 0) -> dict[str, Any]:
    """A request whose compact JSON has about `size` bytes."""
    rng = random.Random(seed)
    body = head(rng)
    while (left := size - len(wire(body))) > 500:
        body["messages"] += turn(rng, min(2048, left - 400))
    return body


def wire(body: dict[str, Any]) -> bytes:
    """A body as an SDK sends it."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def turns(count: int, seed: int = 1) -> list[list[dict[str, Any]]]:
    """What so many turns add, 2 KB each."""
    rng = random.Random(seed)
    return [turn(rng) for _ in range(count)]


def digest(n: int) -> bytes:
    """The n-th key, a new object each time."""
    return hashlib.sha256(n.to_bytes(8, "big")).digest()


def digests(count: int, first: int = 0) -> list[bytes]:
    """So many different keys."""
    return [digest(n) for n in range(first, first + count)]


def fresh(keys: list[bytes]) -> list[bytes]:
    """Equal keys in new objects, whose hashes Python has not computed yet: what was just hashed looks so."""
    return [bytes(bytearray(key)) for key in keys]


def resident() -> int:
    """Bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def zipf(count: int, universe: int, exponent: float, seed: int) -> list[int]:
    """Numbers below `universe`, the k-th most frequent with a weight of k^-exponent, in a shuffled order of ranks."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate((k + 1) ** -exponent for k in range(universe)))
    names = list(range(universe))
    rng.shuffle(names)
    return rng.choices(names, cum_weights=weights, k=count)


def agent_sessions(count: int, capacity: int) -> list[int]:
    """Sessions ask their growing prefix twice and end: what was hot is dead the next moment."""
    rng = random.Random(3)
    requests: list[int] = []
    live: list[int] = []
    started = 0
    while len(requests) < count:
        if len(live) < capacity // 4 or rng.random() < 0.05:
            started += 1
            live.append(started * 1000)
        at = rng.randrange(len(live))
        requests += (live[at], live[at] + 1)
        live[at] += 1
        if rng.random() < 0.05:
            live[at] = live[-1]
            live.pop()
    return requests


def loop(count: int, length: int) -> list[int]:
    """The same row again and again."""
    return [n % length for n in range(count)]


def shifting(count: int, capacity: int) -> list[int]:
    """A hot set that moves on by half a capacity, ten times."""
    step = count // 10
    return [n + part * capacity // 2 for part in range(10) for n in zipf(step, capacity * 2, 1.0, 20 + part)]
