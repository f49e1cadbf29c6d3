"""Keys of requests: whole, from wire bytes, and as a conversation grows.

The bodies are made when asv imports this file. With a `setup`, asv would call it again before each single call and time
that one alone, cold: some microseconds with an error as large. `Growth` takes longer, and each time needs messages that
no conversation before had.
"""

from __future__ import annotations

import random
import time

import hotloop

from .workload import chat_body, head, turns, wire

BODIES = {size: chat_body(size) for size in (16 << 10, 32 << 10, 256 << 10)}
WIRES = {size: wire(body) for size, body in BODIES.items()}


class Keys:
    """One key of one body."""

    timer = time.process_time
    params = tuple(BODIES)
    param_names = ("bytes",)

    def time_cache_key(self, size: int) -> None:
        hotloop.cache_key(BODIES[size])

    def time_canonical_json(self, size: int) -> None:
        hotloop.canonical_json(BODIES[size])

    def time_canonicalize(self, size: int) -> None:
        hotloop.canonicalize(WIRES[size])

    def time_request_key(self, size: int) -> None:
        hotloop.request_key(BODIES[size])

    def time_request_key_of_known_bytes(self, size: int) -> None:
        hotloop.request_key(WIRES[size])


class Growth:
    """The keys of all turns of one conversation, 2 KB a turn."""

    timer = time.process_time
    params = (100, 1000)
    param_names = ("turns",)

    def setup(self, count: int) -> None:
        self.head = head(random.Random(0))
        self.turns = turns(count)

    def time_chain(self, _count: int) -> None:
        chain = hotloop.KeyChain(self.head)
        for messages in self.turns:
            for message in messages:
                chain.append(message)
            chain.digest()

    def time_whole(self, _count: int) -> None:
        body = {**self.head, "messages": list(self.head["messages"])}
        for messages in self.turns:
            body["messages"] += messages
            hotloop.request_key(body)
