"""The shared tier: a Redis or Valkey server that several machines may use."""

from __future__ import annotations

import os
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from ..errors import CacheError
from .base import Hit, Lease, Record, TierStats
from .redislink import Away, RedisLink

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from redis import Redis

__all__ = ["RedisCache"]

T = TypeVar("T")

_WEEK = 7 * 86_400.0
_VOID_SECONDS = 1.0  # how long it is known that the work of a key gave nothing to store

# A value is: the mark of all records, the mark of its namespace (8 bytes each), then `_HEAD`, namespace, meta, payload.
# Marks are random and made when they are first needed. A record lives while both of its marks are the present ones, so
# that clearing is forgetting a mark, and a mark that the server lost can never bring an old record back.
_HEAD = struct.Struct("<BdHI")  # version, created, length of the namespace, length of the meta
_VERSION = 1
_MARKS = 16
_LONGEST_NAME = 0xFFFF

_GET = """
local value = redis.call('GET', KEYS[1])
if not value then return false end
local length = string.byte(value, 26) + 256 * string.byte(value, 27)
local marks = redis.call('MGET', KEYS[2] .. 'all', KEYS[2] .. 'of:' .. string.sub(value, 32, 31 + length))
if marks[1] ~= string.sub(value, 1, 8) or marks[2] ~= string.sub(value, 9, 16) then
    redis.call('DEL', KEYS[1])
    return false
end
return {value, redis.call('PTTL', KEYS[1])}
"""

_PUT = """
local marks = {}
for index, name in ipairs({'all', 'of:' .. ARGV[4]}) do
    local key = KEYS[2] .. name
    redis.call('SET', key, ARGV[1], 'NX')
    redis.call('PEXPIRE', key, ARGV[2])
    marks[index] = redis.call('GET', key)
end
redis.call('SET', KEYS[1], marks[1] .. marks[2] .. ARGV[5], 'PX', ARGV[3])
"""

_LEASE = """
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[2]) == 1 then return 3 end
local owner = redis.call('GET', KEYS[1])
if owner == '-' then return 2 end
if owner then return 1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
"""

_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
return 1
"""


class RedisCache:
    """Records in Redis or Valkey: one server, or a primary with replicas; not a cluster.

    A server that is slow or away costs a call `timeout` seconds once in `pause` seconds, and is a miss. Every record
    has an end, so that the server forgets what nobody asks for. Usable from several event loops and threads.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py reads it; its password is shown nowhere.
        ttl: seconds a record lives when its call does not say; None for `max_ttl`.
        max_ttl: seconds a record lives at most.
        max_record: bytes of a record at most; larger ones are not stored.
        prefix: begins every key on the server.
        timeout: seconds that the server may take to answer, connecting included.
        pause: seconds to leave a server alone that has failed.
        epoch: gives the time in seconds since the epoch; replaced in tests.

    Raises:
        CacheError: the URL cannot be read. A server that cannot be reached is no error: it may come.
        MissingExtraError: the extra ``redis`` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        ttl: float | None = None,
        max_ttl: float = _WEEK,
        max_record: int = 8 << 20,
        prefix: str = "hotloop:",
        timeout: float = 0.25,
        pause: float = 1.0,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.ttl = ttl
        self.max_ttl = max_ttl
        self.max_record = max_record
        self._epoch = epoch
        self._records, self._marks, self._leases = f"{prefix}r:", f"{prefix}m:", f"{prefix}l:"
        self._hits = self._misses = self._writes = self._errors = 0
        self._link = RedisLink(url, timeout=timeout, pause=pause)
        self._get, self._put, self._lease, self._renew, self._release = map(
            self._link.script, (_GET, _PUT, _LEASE, _RENEW, _RELEASE)
        )

    def __repr__(self) -> str:
        return f"RedisCache({self._link.where!r})"

    async def get(self, key: bytes) -> Hit | None:
        """Return the live record under `key`, or None; a server that does not answer counts an error and is a miss."""
        found = await self._try(lambda _: self._get([self._record(key), self._marks]))
        record = None
        if found is not None:
            try:
                record = _unpack(found[0], self._epoch() + found[1] / 1000)
            except ValueError:  # written by another version, or by somebody else
                self._errors += 1
        if record is None:
            self._misses += 1
            return None
        self._hits += 1
        return Hit(record, "redis")

    async def put(self, key: bytes, record: Record, ttl: float | None = None) -> None:
        """Store `record` under `key` for `ttl` seconds, or for the tier's time to live when None."""
        if ttl is None:
            ttl = self.max_ttl if self.ttl is None else self.ttl
        namespace, packed = _pack(record)
        if ttl <= 0 or len(packed) > self.max_record or len(namespace) > _LONGEST_NAME:
            return
        longest, life = _milliseconds(self.max_ttl), _milliseconds(min(ttl, self.max_ttl))
        arguments = [os.urandom(8), longest, life, namespace, packed]

        def write(_: Redis) -> bool:
            self._put([self._record(key), self._marks], arguments)
            return True

        if await self._try(write):
            self._writes += 1

    async def delete(self, key: bytes) -> None:
        """Forget `key`."""
        await self._try(lambda client: client.delete(self._record(key)))

    async def clear(self, namespace: str | None = None) -> None:
        """Forget the records of one namespace, or all when None, at once; their memory comes back as they expire.

        Raises:
            CacheError: the server does not answer.
        """
        mark = self._marks.encode() + (b"all" if namespace is None else b"of:" + _name(namespace))
        try:
            await self._link.ask(lambda client: client.delete(mark))
        except Away as error:
            raise CacheError(f"the cache was not cleared: {error}") from None

    async def records(self) -> AsyncGenerator[tuple[bytes, Record]]:
        """Give the live records with their keys, in no order; some may be given twice, as the server scans.

        Raises:
            CacheError: the server does not answer.
        """
        cursor, first = 0, True
        while cursor or first:
            first = False
            try:
                cursor, keys = await self._link.ask(partial(_scan, cursor=cursor, pattern=_escaped(self._records)))
            except Away as error:
                raise CacheError(f"the cache could not be read: {error}") from None
            for name in keys:
                key = name[len(self._records.encode()) :]
                if (hit := await self.get(key)) is not None:
                    yield key, hit.record

    def stats(self) -> tuple[TierStats, ...]:
        """Return the counters of this tier; what the server holds is not counted."""
        return (TierStats("redis", self._hits, self._misses, self._writes, self._errors, None, None),)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()

    # -- who does the work, among processes ----------------------------------------------------------------------

    async def lease(self, key: bytes, owner: bytes, seconds: float, *, unless_stored: bool = True) -> Lease:
        """Say who does the work of `key`: `owner`, from now on and for `seconds`, unless somebody does it already."""
        arguments = [owner, _milliseconds(seconds), int(unless_stored)]
        state = await self._try(lambda _: self._lease([self._lock(key), self._record(key)], arguments))
        return Lease.NONE if state is None else _LEASES[state]

    async def renew(self, key: bytes, owner: bytes, seconds: float) -> bool:
        """Keep the lease for another `seconds`; False when `owner` has lost it or the server does not answer."""
        return bool(await self._try(lambda _: self._renew([self._lock(key)], [owner, _milliseconds(seconds)])))

    async def release(self, key: bytes, owner: bytes, *, void: bool = False) -> None:
        """Give the lease back; `void` says that the work was done and left no record, so that nobody waits for one."""
        rest = _milliseconds(_VOID_SECONDS) if void else 0
        await self._try(lambda _: self._release([self._lock(key)], [owner, rest]))

    # ------------------------------------------------------------------------------------------------------------

    def _record(self, key: bytes) -> bytes:
        return self._records.encode() + key

    def _lock(self, key: bytes) -> bytes:
        return self._leases.encode() + key

    async def _try(self, command: Callable[[Redis], T]) -> T | None:
        try:
            return await self._link.ask(command)
        except Away:
            self._errors += 1
            return None


_LEASES = (Lease.MINE, Lease.TAKEN, Lease.NONE, Lease.STORED)


def _scan(client: Redis, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
    found: Any = client.scan(cursor, match=pattern, count=256)
    return int(found[0]), list(found[1])


def _escaped(prefix: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in prefix) + "*"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _name(namespace: str) -> bytes:
    return namespace.encode(errors="surrogatepass")


def _pack(record: Record) -> tuple[bytes, bytes]:
    namespace = _name(record.namespace)
    meta = orjson.dumps(dict(record.meta)) if record.meta else b""
    head = _HEAD.pack(_VERSION, record.created, min(len(namespace), _LONGEST_NAME), len(meta))
    return namespace, b"".join((head, namespace, meta, record.payload))


def _unpack(value: bytes, expires: float) -> Record:
    try:
        version, created, name, meta = _HEAD.unpack_from(value, _MARKS)
    except struct.error as error:
        raise ValueError(str(error)) from None
    if version != _VERSION:
        raise ValueError(f"version {version}")
    start = _MARKS + _HEAD.size
    namespace = value[start : start + name].decode(errors="surrogatepass")
    start += name
    facts = orjson.loads(value[start : start + meta]) if meta else {}
    return Record(value[start + meta :], created, expires, namespace, facts)
