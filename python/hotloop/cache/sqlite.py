"""The disk tier: one SQLite file that several processes may share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import orjson

from ..errors import CacheError
from .base import Hit, Record, TierStats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

__all__ = ["ELSEWHERE", "SqliteCache"]

T = TypeVar("T")

_APPLICATION_ID = 0x484F544C  # "HOTL": tells our files from other people's
_VERSION = 1
_TOUCH_AFTER = 3600.0  # seconds; a hit refreshes the time of use at most this often, so that reads seldom write
_PATIENCE = 5  # seconds that opening and clearing wait for another process's lock
_REMEDY = "Delete it, with the files beside it that end in -wal and -shm: it holds nothing but stored answers."
_FOREIGN = (
    "is not a cache of hotloop's and is left untouched. Move it away, or name another file in response_cache.path."
)
ELSEWHERE = "Name another file in response_cache.path, or do without one: response_cache.disk = false."
_KEEP_SHARE = 0.9  # a full file is emptied to this share, so that not every write must evict

_INHERITED: list[sqlite3.Connection] = []  # from before a fork; SQLite allows neither their use nor their end

_SCHEMA = """
CREATE TABLE records (
    key BLOB NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    meta TEXT NOT NULL,
    namespace TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    used REAL NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX records_by_use ON records (used);
CREATE INDEX records_by_namespace ON records (namespace);
CREATE INDEX records_by_expiry ON records (expires) WHERE expires IS NOT NULL;
CREATE TABLE total (entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER added AFTER INSERT ON records BEGIN
    UPDATE total SET entries = entries + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER removed AFTER DELETE ON records BEGIN
    UPDATE total SET entries = entries - 1, bytes = bytes - old.size;
END;
"""


class SqliteCache:
    """Records in one SQLite file (WAL), shared by the processes of one machine and kept between runs.

    A write is atomic: a process that is killed in the middle leaves the file as it was. The least recently used
    records go first when the file is full.

    Args:
        path: the file; made, with its folder, when it is not there.
        ttl: seconds a record lives when its call does not say; None for ever.
        max_bytes: bytes of records at most.
        timeout: seconds to wait for another process's lock before the tier counts an error; writes are left out
            for `pause` seconds then, so that a file that stays locked holds nobody up for long.
        pause: see `timeout`.
        epoch: gives the time in seconds since the epoch; replaced in tests.

    Raises:
        CacheError: the file cannot be opened, is no cache of hotloop's, or is of a version that this one does not
            know; it is left untouched.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        ttl: float | None = None,
        max_bytes: int = 1 << 30,
        timeout: float = 0.5,
        pause: float = 1.0,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self.ttl = ttl
        self.max_bytes = max_bytes
        self._epoch = epoch
        self._timeout = timeout
        self._pause = pause
        self._locked_until = 0.0
        self._hits = self._misses = self._writes = self._errors = 0
        self._db = _open(self.path, timeout)
        self._thread = ThreadPoolExecutor(1, "hotloop-sqlite")
        self._pid, self._forking, self._closed = os.getpid(), Lock(), False

    async def get(self, key: bytes) -> Hit | None:
        """Return the live record under `key`, or None; a file that cannot be read counts an error and is a miss."""
        record = await self._try(lambda: self._select(key))
        if record is None:
            self._misses += 1
            return None
        self._hits += 1
        return Hit(record, "sqlite")

    async def put(self, key: bytes, record: Record, ttl: float | None = None) -> None:
        """Store `record` under `key` for `ttl` seconds, or for the tier's time to live when None."""
        ttl = self.ttl if ttl is None else ttl
        await self._write(lambda: self._insert(key, record, ttl))

    async def delete(self, key: bytes) -> None:
        """Forget `key`."""
        await self._write(lambda: self._execute("DELETE FROM records WHERE key = ?", (key,)))

    async def clear(self, namespace: str | None = None) -> None:
        """Forget the records of one namespace, or all when None, and give their disk space back.

        Raises:
            CacheError: the file cannot be written.
        """
        await self._run(lambda: self._clear(namespace))

    async def check(self) -> None:
        """Look at the whole file; takes as long as reading it.

        Raises:
            CacheError: it is damaged.
        """
        found = await self._run(lambda: self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise CacheError(f"{self.path} is damaged ({' '.join(found.split())}). {_REMEDY}")

    async def records(self) -> AsyncGenerator[tuple[bytes, Record]]:
        """Give the live records with their keys, in the order in which they were stored.

        Raises:
            CacheError: the file cannot be read.
        """
        last = 0
        while rows := await self._run(partial(self._batch, last)):
            for rowid, key, record in rows:
                last = rowid
                yield key, record

    def stats(self) -> tuple[TierStats, ...]:
        """Return the counters of this tier, and what the file holds for all its users."""
        try:
            entries, size = self._worker().submit(lambda: self._db.execute("SELECT * FROM total").fetchone()).result()
        except (CacheError, sqlite3.Error, RuntimeError):  # a locked file, or a closed tier
            entries = size = None
        return (TierStats("sqlite", self._hits, self._misses, self._writes, self._errors, entries, size),)

    async def aclose(self) -> None:
        """Finish what is being written and close the file."""
        self._closed = True
        if self._pid != os.getpid():
            return
        with contextlib.suppress(RuntimeError):  # closed before
            await asyncio.wrap_future(self._thread.submit(self._db.close))
        self._thread.shutdown(wait=False)

    # -- in the tier's thread ------------------------------------------------------------------------------------

    def _select(self, key: bytes) -> Record | None:
        row = self._db.execute(
            "SELECT payload, meta, namespace, created, expires, used FROM records WHERE key = ?", (key,)
        ).fetchone()
        now = self._epoch()
        if row is None or (row[4] is not None and row[4] <= now):
            return None
        if now - row[5] > _TOUCH_AFTER:
            with contextlib.suppress(sqlite3.OperationalError):  # a hit is a hit, also in a file that is locked
                self._execute("UPDATE records SET used = ? WHERE key = ?", (now, key))
        return Record(row[0], row[3], row[4], row[2], orjson.loads(row[1]))

    def _batch(self, after: int) -> list[tuple[int, bytes, Record]]:
        rows = self._db.execute(
            "SELECT rowid, key, payload, meta, namespace, created, expires FROM records "
            "WHERE rowid > ? AND (expires IS NULL OR expires > ?) ORDER BY rowid LIMIT 64",
            (after, self._epoch()),
        )
        return [
            (rowid, key, Record(payload, created, expires, namespace, orjson.loads(meta)))
            for rowid, key, payload, meta, namespace, created, expires in rows
        ]

    def _insert(self, key: bytes, record: Record, ttl: float | None) -> None:
        size = len(record.payload) + 200  # the row's other columns and its place in the indexes
        if size > self.max_bytes:
            return
        now = self._epoch()
        expires = None if ttl is None else now + ttl
        meta = orjson.dumps(dict(record.meta)).decode()
        row = (key, record.payload, meta, record.namespace, record.created, expires, now, size)
        with self._transaction():
            self._db.execute("DELETE FROM records WHERE key = ?", (key,))  # REPLACE would not fire the trigger
            self._db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            full = self._db.execute("SELECT bytes > ? FROM total", (self.max_bytes,)).fetchone()[0]
            if full:
                self._evict(now)
        self._writes += 1
        if full:
            self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def _evict(self, now: float) -> None:
        self._db.execute("DELETE FROM records WHERE expires <= ?", (now,))
        excess = self._db.execute("SELECT bytes FROM total").fetchone()[0] - int(self.max_bytes * _KEEP_SHARE)
        going = []
        for rowid, size in self._db.execute("SELECT rowid, size FROM records ORDER BY used, rowid"):
            if excess <= 0:
                break
            going.append((rowid,))
            excess -= size
        self._db.executemany("DELETE FROM records WHERE rowid = ?", going)

    def _clear(self, namespace: str | None) -> None:
        self._db.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")  # nobody's answer waits for this
        try:
            self._forget(namespace)
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")

    def _forget(self, namespace: str | None) -> None:
        with self._transaction():
            if namespace is None:
                self._db.execute("DELETE FROM records")
            else:
                self._db.execute("DELETE FROM records WHERE namespace = ?", (namespace,))
        self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def _execute(self, sql: str, values: tuple[object, ...]) -> None:
        with self._transaction():
            self._db.execute(sql, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- from the event loop -------------------------------------------------------------------------------------

    def _worker(self) -> ThreadPoolExecutor:
        """Return the tier's thread; in a forked process a new one, with a connection of its own."""
        if self._pid != os.getpid() and not self._closed:
            with self._forking:
                if self._pid != os.getpid():
                    _INHERITED.append(self._db)
                    self._db = _open(self.path, self._timeout)
                    self._thread = ThreadPoolExecutor(1, "hotloop-sqlite")
                    self._pid = os.getpid()
        return self._thread

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker(), work)
        except RuntimeError as error:
            raise CacheError(f"{self.path}: the tier is closed") from error
        except sqlite3.Error as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise CacheError(f"{self.path} is damaged ({error}). {_REMEDY}") from error
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                self._locked_until = time.monotonic() + self._pause
            raise CacheError(f"{self.path}: {error}") from error
        except (TypeError, ValueError) as error:  # another program wrote into the file
            raise CacheError(f"{self.path}: a damaged record: {error}") from error

    async def _write(self, work: Callable[[], None]) -> None:
        def unless_locked() -> None:
            if time.monotonic() < self._locked_until:
                raise CacheError(f"{self.path} was locked a moment ago")
            work()

        await self._try(unless_locked)

    async def _try(self, work: Callable[[], T]) -> T | None:
        try:
            return await self._run(work)
        except CacheError:
            self._errors += 1
            return None


def _open(path: Path, timeout: float) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # answers are their owner's alone
        db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise CacheError(f"the cache file {path} cannot be opened: {error}. {ELSEWHERE}") from error
    try:
        _prepare(db, path)
        db.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
    except sqlite3.Error as error:
        db.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_CORRUPT:
            raise CacheError(f"{path} is damaged ({error}). {_REMEDY}") from error
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise CacheError(f"{path} {_FOREIGN}") from error
        raise CacheError(f"{path} cannot be used as a cache: {error}. {ELSEWHERE}") from error
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the schema in a new file; refuse a file that is not ours before anything is written to it."""

    def identity() -> tuple[int, int]:
        return db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0]

    if identity() == (0, 0) and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect only before the first table
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        if identity() == (0, 0):  # no other process was quicker
            for statement in _statements(_SCHEMA):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    application, version = identity()
    if application != _APPLICATION_ID:
        raise CacheError(f"{path} {_FOREIGN}")
    if version != _VERSION:
        raise CacheError(
            f"{path} is a cache of version {version}, and this hotloop knows version {_VERSION}; it is left untouched. "
            "Move it away, name another file in response_cache.path, or use the hotloop that wrote it."
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine may lose the last writes, never the file
    db.execute("PRAGMA journal_size_limit = 16777216")


def _statements(script: str) -> list[str]:
    """Split a script into statements; executescript would commit the transaction that it runs in."""
    found, statement = [], ""
    for line in script.strip().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found
