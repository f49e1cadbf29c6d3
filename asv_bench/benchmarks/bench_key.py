"""Keys of requests: whole, from wire bytes, and as a conversation grows."""

from __future__ import annotations

import time

import hotloop

from .workload import chat_body, head, turns, wire


class Keys:
    """One key of one body."""

    timer = time.process_time
    params = (16 << 10, 32 << 10, 256 << 10)
    param_names = ("bytes",)

    def setup(self, size: int) -> None:
        self.body = chat_body(size)
        self.wire = wire(self.body)

    def time_cache_key(self, _size: int) -> None:
        hotloop.cache_key(self.body)

    def time_canonical_json(self, _size: int) -> None:
        hotloop.canonical_json(self.body)

    def time_canonicalize(self, _size: int) -> None:
        hotloop.canonicalize(self.wire)

    def time_request_key(self, _size: int) -> None:
        hotloop.request_key(self.body)

    def time_request_key_of_known_bytes(self, _size: int) -> None:
        hotloop.request_key(self.wire)


class Growth:
    """The keys of all turns of one conversation, 2 KB a turn."""

    timer = time.process_time
    params = (100, 1000)
    param_names = ("turns",)

    def setup(self, count: int) -> None:
        import random

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
