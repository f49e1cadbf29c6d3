"""The bodies of a conversation that grows by one message a turn: how long all of them take together.

    python bench/conversation.py [--turns 1000] [--size 2048]

`kept` is `Conversation`, which keeps the bytes of each message. `serialised` is the ablation: the same bodies, with
every message written anew by orjson for each. The ratio of the two is what keeping them is worth.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import orjson

from hotloop import Conversation

if TYPE_CHECKING:
    from collections.abc import Callable


def kept(messages: list[dict[str, Any]]) -> None:
    """Ask for a body after each message of a conversation."""
    talk = Conversation()
    for message in messages:
        talk.append(message)
        talk.body(model="m", temperature=0)


def serialised(messages: list[dict[str, Any]]) -> None:
    """Write a body after each message of a list."""
    talk: list[dict[str, Any]] = []
    for message in messages:
        talk.append(message)
        orjson.dumps({"model": "m", "temperature": 0, "messages": talk})


def seconds(work: Callable[[list[dict[str, Any]]], None], messages: list[dict[str, Any]]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work(messages)
    return time.perf_counter() - start


def main() -> None:
    """Measure both in turns, and print medians."""
    options = argparse.ArgumentParser()
    options.add_argument("--turns", type=int, default=1000)
    options.add_argument("--size", type=int, default=2048, help="characters of a message")
    chosen = options.parse_args()
    line = "a line of a result\n"
    text = line * (chosen.size // len(line))
    messages = [{"role": "user", "content": f"{turn} {text}"} for turn in range(chosen.turns)]
    pairs = [(seconds(kept, messages), seconds(serialised, messages)) for _ in range(7)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"kept {ours * 1e3:.0f} ms, serialised {theirs * 1e3:.0f} ms, ratio {ours / theirs:.3f}")


if __name__ == "__main__":
    main()
