"""``hotloop cache``: what is stored on disk and in Redis, taking it elsewhere, and forgetting it."""

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..config import Config
from ..errors import CacheError
from .errors import Code, exit_codes
from .options import ConfigFile, Json, Quiet, Verbose
from .text import bytes_text, plural

if TYPE_CHECKING:
    from ..cache import Record, RedisCache, SqliteCache
    from ..config.sections import ResponseCacheConfig

__all__ = ["app"]

app = typer.Typer(help="Look at stored answers, take them elsewhere, or forget them.", rich_markup_mode=None)

_EXIT_CODES = exit_codes(Code.CACHE)
_PATIENCE = 5.0  # seconds that a server may take: nobody's answer waits for it


class _Held(NamedTuple):
    entries: int = 0
    bytes: int = 0


@app.command(epilog=_EXIT_CODES)
def stats(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, config: ConfigFile = None) -> None:
    """Show how many answers the cache file and Redis hold, and check the file.

    With -q, only their number; with -v, the limits too.
    """
    settings = Config.load(config).response_cache
    path, file, redis = settings.location(), *asyncio.run(_stats(settings))
    if as_json:
        said: dict[str, Any] = {"path": str(path), **file._asdict(), "max_bytes": settings.disk_bytes}
        print(json.dumps(said if redis is None else {**said, "redis": redis._asdict()}))
    elif quiet:
        print(file.entries + (redis.entries if redis else 0))
    else:
        print(f"{path}: {plural(file.entries, 'answer')}, {bytes_text(file.bytes)}")
        if redis is not None:
            print(f"redis: {plural(redis.entries, 'answer')}, {bytes_text(redis.bytes)}")
        if verbose:
            lifetime = "for ever" if settings.ttl is None else f"for {settings.ttl} s"
            print(f"at most {bytes_text(settings.disk_bytes)}, each stays {lifetime}")


@app.command(epilog=_EXIT_CODES)
def clear(
    namespace: Annotated[
        str | None, typer.Option(help="Forget only the answers of this namespace.", show_default=False)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
) -> None:
    """Forget all answers in the cache file and in Redis, or those of one namespace. With -v, say what is left."""
    settings = Config.load(config).response_cache
    path, (before, after), redis = settings.location(), *asyncio.run(_clear(settings, namespace))
    if as_json:
        said: dict[str, Any] = {"path": str(path), "removed": before - after, "entries": after}
        print(json.dumps(said if redis is None else {**said, "redis": {"removed": redis}}))
    elif not quiet:
        print(f"{path}: {plural(before - after, 'answer')} forgotten" + (f", {after:,} left" if verbose else ""))
        if redis is not None:
            print(f"redis: {plural(redis, 'answer')} forgotten")


@app.command(epilog=_EXIT_CODES)
def export(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to this file.", show_default="standard output"),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Write only the answers of this namespace.", show_default=False)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
) -> None:
    """Write all answers in the cache file and in Redis as JSON, one in a line.

    Each has its tier, key (a hash: no question and no credential is stored), namespace, times in seconds since 1970,
    what was kept of its head, and its bytes as `text` or, where they are none, as `base64`. With -o, say how many there
    were, with --json in JSON; with -q, do not.
    """
    _ = verbose
    settings = Config.load(config).response_cache
    try:
        with contextlib.nullcontext(sys.stdout) if output is None else output.open("w", encoding="utf-8") as lines:
            count = asyncio.run(_export(settings, namespace, lines))
    except OSError as error:
        raise CacheError(f"{output or 'standard output'} cannot be written: {error}") from error
    if output is not None and as_json:
        print(json.dumps({"path": str(output), "entries": count}))
    elif output is not None and not quiet:
        print(f"{output}: {plural(count, 'answer')} written")


async def _stats(settings: "ResponseCacheConfig") -> tuple[_Held, _Held | None]:
    async with AsyncExitStack() as stack:
        file, redis = await _open(settings, stack)
        held = _Held()
        if file is not None:
            await file.check()
            held = _held(file)
        return held, None if redis is None else await _counted(redis, None)


async def _clear(settings: "ResponseCacheConfig", namespace: str | None) -> tuple[tuple[int, int], int | None]:
    """Return the entries of the file before and after, and those that Redis has forgotten."""
    async with AsyncExitStack() as stack:
        file, redis = await _open(settings, stack)
        before = after = 0
        gone = None
        if redis is not None:  # the farther first, so that nothing is filled again from below
            gone = (await _counted(redis, namespace)).entries
            await redis.clear(namespace)
        if file is not None:
            before = _held(file).entries
            await file.clear(namespace)
            after = _held(file).entries
        return (before, after), gone


async def _export(settings: "ResponseCacheConfig", namespace: str | None, lines: Any) -> int:
    count = 0
    async with AsyncExitStack() as stack:
        for name, tier in zip(("sqlite", "redis"), await _open(settings, stack), strict=True):
            if tier is None:
                continue
            async for key, record in _of(tier.records(), namespace):
                lines.write(json.dumps(_line(name, key, record), ensure_ascii=False) + "\n")
                count += 1
    return count


def _line(tier: str, key: bytes, record: "Record") -> dict[str, Any]:
    try:
        payload = {"text": record.payload.decode()}
    except UnicodeDecodeError:
        payload = {"base64": base64.b64encode(record.payload).decode()}
    return {
        "tier": tier,
        "key": key.hex(),
        "namespace": record.namespace,
        "created": record.created,
        "expires": record.expires,
        "meta": dict(record.meta),
        **payload,
    }


async def _open(
    settings: "ResponseCacheConfig", stack: AsyncExitStack
) -> tuple["SqliteCache | None", "RedisCache | None"]:
    """Open the file where it is there, and Redis where it is configured."""
    from ..cache import RedisCache, SqliteCache

    file = redis = None
    if (path := settings.location()).exists():
        file = await stack.enter_async_context(aclosing(SqliteCache(path)))
    if settings.redis_url is not None:
        redis = await stack.enter_async_context(aclosing(RedisCache(settings.redis_url, timeout=_PATIENCE)))
    return file, redis


def _held(file: "SqliteCache") -> _Held:
    (held,) = file.stats()
    return _Held(held.entries or 0, held.bytes or 0)


async def _counted(redis: "RedisCache", namespace: str | None) -> _Held:
    sizes = {key: len(record.payload) async for key, record in _of(redis.records(), namespace)}
    return _Held(len(sizes), sum(sizes.values()))


async def _of(
    records: AsyncIterator[tuple[bytes, "Record"]], namespace: str | None
) -> AsyncIterator[tuple[bytes, "Record"]]:
    async for key, record in records:
        if namespace is None or record.namespace == namespace:
            yield key, record
