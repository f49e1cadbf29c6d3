"""The races: our candidate first, the peer that it is measured against second, others for information."""

from __future__ import annotations

import hashlib
import random
from itertools import cycle
from typing import TYPE_CHECKING, Any

import cachebox
import orjson

import hotloop
from benchmarks.workload import chat_body, digest, digests, head, turns, wire
from measure import Candidate, repeated

if TYPE_CHECKING:
    from collections.abc import Callable

SORTED = orjson.OPT_SORT_KEYS
BATCH = 20_000
VALUE = b"a record" * 16


def orjson_key(body: Any) -> bytes:
    """What most people do well: sorted JSON and SHA-256."""
    return hashlib.sha256(orjson.dumps(body, None, SORTED)).digest()


def cache_key(bodies: int = 1, size: int = 32 << 10) -> list[Candidate]:
    """The keys of so many chat bodies, in turn: of one, the processor learns the branches."""
    body = cycle([chat_body(size, seed) for seed in range(bodies)]).__next__
    return [
        repeated("hotloop.cache_key", lambda: hotloop.cache_key(body()), 200),
        repeated("orjson sorted + SHA-256", lambda: orjson_key(body()), 200),
        repeated("hotloop.request_key", lambda: hotloop.request_key(body()), 200),
    ]


def wire_key(size: int = 32 << 10) -> list[Candidate]:
    """The key of bytes seen before."""
    data = wire(chat_body(size))
    return [
        repeated("hotloop.request_key(bytes)", lambda: hotloop.request_key(data), 1000),
        repeated("orjson parse + sort + SHA-256", lambda: orjson_key(orjson.loads(data)), 100),
    ]


def growing(ours: Callable[..., None], name: str, count: int = 1000) -> list[Candidate]:
    """The keys of all turns of a conversation that grows by 2 KB a turn."""
    start, added = head(random.Random(0)), turns(count)

    def whole() -> None:
        body = {**start, "messages": list(start["messages"])}
        for messages in added:
            body["messages"] += messages
            orjson_key(body)

    return [
        Candidate(name, lambda: ours(start, added)),
        Candidate("orjson sorted + SHA-256 of the whole body each turn", whole),
    ]


def chain(start: dict[str, Any], added: list[list[dict[str, Any]]]) -> None:
    """Message by message."""
    keys = hotloop.KeyChain(start)
    for messages in added:
        for message in messages:
            keys.append(message)
        keys.digest()


def mapping(start: dict[str, Any], added: list[list[dict[str, Any]]]) -> None:
    """The mapping itself, each turn."""
    body = {**start, "messages": list(start["messages"])}
    for messages in added:
        body["messages"] += messages
        hotloop.request_key(body)


def get_all(get: Callable[[bytes], Any], keys: list[bytes]) -> None:
    """A batch of look-ups."""
    for key in keys:
        get(key)


def put_all(put: Callable[[bytes, Any], Any], keys: list[bytes]) -> None:
    """A batch of stores."""
    for key in keys:
        put(key, VALUE)


def hit(entries: int) -> list[Candidate]:
    """A hit in a cache that is full, with a key that is equal but new and that nothing has touched for long."""
    keys = digests(entries)
    cache: Any = hotloop.HotCache(entries, ttl=3600.0)
    plain = dict.fromkeys(keys, VALUE)
    boxed: Any = cachebox.LRUCache(entries)
    put_all(cache.put, keys)
    put_all(boxed.insert, keys)
    rng = random.Random(5)
    gets = {"hotloop.HotCache.get, TTL on": cache.get, "dict.get": plain.get, "cachebox LRU get": boxed.get}

    def prepare(name: str) -> tuple[Any, ...]:
        return gets[name], [digest(n) for n in rng.choices(range(entries), k=BATCH)]

    return [Candidate(name, get_all, BATCH, lambda name=name: prepare(name)) for name in gets]


def evict(entries: int = 10_000) -> list[Candidate]:
    """A store that evicts."""
    cache, boxed = hotloop.HotCache(entries, ttl=3600.0), cachebox.LRUCache(entries)
    full = digests(entries)
    put_all(cache.put, full)
    put_all(boxed.insert, full)
    puts = {"hotloop.HotCache.put": cache.put, "cachebox LRU insert": boxed.insert}
    first = dict.fromkeys(puts, entries)

    def prepare(name: str) -> tuple[Any, ...]:
        new = digests(BATCH, first[name])
        first[name] += BATCH
        return puts[name], new

    return [Candidate(name, put_all, BATCH, lambda name=name: prepare(name)) for name in puts]


def pooled(size: int = 1 << 20) -> list[Candidate]:
    """Take, fill and give back a buffer."""
    pool, data = hotloop.BufferPool(), bytes(size)
    kept = memoryview(bytearray(size))

    def ours() -> None:
        with pool.take(size) as buffer:
            buffer.write(data)

    def keep() -> None:
        kept[:] = data

    def new() -> None:
        fresh_one = bytearray(size)
        fresh_one[:] = data

    return [
        repeated("hotloop.BufferPool", ours, 50),
        repeated("a kept buffer", keep, 50),
        repeated("a new bytearray each time", new, 50),
    ]


RACES: dict[str, Callable[[], list[Candidate]]] = {
    "`cache_key`, 32 KB chat body, against orjson sorted + SHA-256": cache_key,
    "`cache_key`, 40 such bodies in turn, same peer": lambda: cache_key(40),
    "`request_key`, wire bytes seen before, 32 KB, against parse + sort + SHA-256": wire_key,
    "`KeyChain`, 1000 turns of 2 KB, against orjson + SHA-256 of the whole each turn": lambda: growing(
        chain, "KeyChain"
    ),
    "`request_key` of the growing mapping, same work": lambda: growing(mapping, "hotloop.request_key"),
    "`HotCache.get` hit, digest key equal but new, 10,000 entries, TTL on, against dict": lambda: hit(10_000),
    "the same, 1,000,000 entries": lambda: hit(1_000_000),
    "`put` with eviction, against cachebox LRU": evict,
    "pooled buffer take, fill, give at 1 MB, against a kept buffer": pooled,
}
