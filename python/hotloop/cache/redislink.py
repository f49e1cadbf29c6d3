"""One Redis or Valkey server as seen from one process: bounded in time, quiet while it is away."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ..errors import CacheError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

__all__ = ["Away", "RedisLink"]

T = TypeVar("T")


class Away(Exception):  # noqa: N818 -- says what the server is; errors are what users see
    """The server did not answer, or answered with an error; the text holds no secret."""


class RedisLink:
    """Runs commands in a few threads, so that any event loop and any thread may ask.

    No command holds its caller longer than `timeout`. Once the server has failed, commands fail at once for `pause`
    seconds; then one command tries again while the others go on failing at once.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py reads it; its password is shown nowhere.
        timeout: seconds that a command may take, connecting included.
        pause: seconds to leave a server alone that has failed.
        threads: commands under way at once.
        monotonic: gives the time in seconds; replaced in tests.

    Raises:
        CacheError: the URL cannot be read.
        MissingExtraError: redis-py is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.25,
        pause: float = 1.0,
        threads: int = 4,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.where = _shown(url)
        self.timeout = timeout
        self.pause = pause
        self._threads = threads
        self._monotonic = monotonic
        self._away_until: float | None = None
        self._client, self._failures, self._errors, self._secrets = _client(url, self.where, timeout, threads)
        self._pid = os.getpid()
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(threads, "hotloop-redis")

    def __repr__(self) -> str:
        return f"RedisLink({self.where!r})"

    def script(self, source: str) -> Callable[..., Any]:
        """Return a Lua script as a function of `keys` and `args`, to be called inside a command."""
        return self._client.register_script(source)

    async def ask(self, command: Callable[[Redis], T], *, unheard: Callable[[T], object] | None = None) -> T:
        """Return what `command` gives for the client; it runs in another thread.

        Args:
            command: is called with the client.
            unheard: is called with the result, in that thread, where the caller was cancelled before it came.

        Raises:
            Away: the server did not answer in time, answered with an error, or has failed a moment ago.
        """
        future = self._submit(command)
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.done() and not future.cancelled():  # it was the event loop that was late
                return future.result()
            self._fail()
            raise Away(f"{self.where} did not answer within {self.timeout:g} s") from None
        except asyncio.CancelledError:
            if unheard is not None:
                future.add_done_callback(lambda done: _hand(done, unheard))
            raise

    def tell(self, command: Callable[[Redis], object]) -> None:
        """Run `command` behind the caller's back; nobody hears whether it went well."""
        try:
            self._submit(command)
        except Away:
            return

    async def aclose(self) -> None:
        """Finish what is under way, within the timeout, and close the connections."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        last = pool.submit(self._client.close)
        pool.shutdown(wait=False)
        await asyncio.wait([asyncio.wrap_future(last)], timeout=self.timeout)

    def _submit(self, command: Callable[[Redis], T]) -> Future[T]:
        if self._pool is None:
            raise Away(f"{self.where} is closed")
        if self._away_until is not None:
            now = self._monotonic()
            if now < self._away_until:
                raise Away(f"{self.where} failed a moment ago and is left alone for {self.pause:g} s")
            self._away_until = now + self.pause  # this command tries; the others wait for what it finds
        if self._pid != os.getpid():  # threads do not survive a fork
            self._pid, self._pool = os.getpid(), ThreadPoolExecutor(self._threads, "hotloop-redis")
        return self._pool.submit(self._run, command)

    def _run(self, command: Callable[[Redis], T]) -> T:
        try:
            value = command(self._client)
        except self._failures as error:
            self._fail()
            raise Away(f"{self.where}: {self._clean(error)}") from None
        except self._errors as error:  # the server is there, and refuses this command
            self._away_until = None
            raise Away(f"{self.where}: {self._clean(error)}") from None
        self._away_until = None
        return value

    def _fail(self) -> None:
        self._away_until = self._monotonic() + self.pause

    def _clean(self, error: Exception) -> str:
        text = f"{type(error).__name__}: {error}"
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _hand(done: Future[T], unheard: Callable[[T], object]) -> None:
    if not done.cancelled() and done.exception() is None:
        unheard(done.result())


_Errors = tuple[type[Exception], ...]


def _client(url: str, where: str, timeout: float, threads: int) -> tuple[Redis, _Errors, _Errors, list[str]]:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.connection import parse_url
        from redis.retry import Retry
    except ImportError:
        raise MissingExtraError("a Redis cache", "redis") from None
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        options |= {  # what our bounds and our bytes depend on is not the URL's to say
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "decode_responses": False,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
            "retry_on_error": [],
            "max_connections": threads + 1,
        }
        pool = redis.ConnectionPool(**options)
        pool.connection_class(**pool.connection_kwargs)  # refuses options that it does not know; connects to nothing
        client = redis.Redis.from_pool(pool)
    except (TypeError, ValueError):
        raise CacheError(
            f"the Redis URL {where} cannot be read; it looks like redis://user:password@host:6379/0, "
            "rediss:// for TLS, or unix:///path/to/socket"
        ) from None
    failures = (redis.ConnectionError, redis.TimeoutError, OSError)  # also refused passwords, and a server that loads
    secrets = [str(options[name]) for name in ("password", "username") if len(str(options.get(name) or "")) > 2]
    return client, failures, (redis.RedisError,), secrets


def _shown(url: str) -> str:
    """Return `url` without what may be secret: user, password and options."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{parts.path}"
