"""``hotloop cache``: what is stored on disk, and forgetting it."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Config
from .errors import Code, exit_codes
from .options import ConfigFile, Json, Quiet, Verbose
from .text import bytes_text, plural

if TYPE_CHECKING:
    from ..cache import SqliteCache

__all__ = ["app"]

app = typer.Typer(help="Look at stored answers, or forget them.", rich_markup_mode=None)

_EXIT_CODES = exit_codes(Code.CACHE)


@app.command(epilog=_EXIT_CODES)
def stats(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, config: ConfigFile = None) -> None:
    """Show how many answers the cache file holds. With -q, only their number; with -v, the limits too."""
    settings = Config.load(config).response_cache
    path = settings.location()
    entries, size = asyncio.run(_held(path)) if path.exists() else (0, 0)
    if as_json:
        print(json.dumps({"path": str(path), "entries": entries, "bytes": size, "max_bytes": settings.disk_bytes}))
    elif quiet:
        print(entries)
    else:
        print(f"{path}: {plural(entries, 'answer')}, {bytes_text(size)}")
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
    """Forget all stored answers, or those of one namespace. With -v, say what is left."""
    path = Config.load(config).response_cache.location()
    before, after = asyncio.run(_clear(path, namespace)) if path.exists() else (0, 0)
    if as_json:
        print(json.dumps({"path": str(path), "removed": before - after, "entries": after}))
    elif not quiet:
        print(f"{path}: {plural(before - after, 'answer')} forgotten" + (f", {after:,} left" if verbose else ""))


async def _held(path: Path) -> tuple[int, int]:
    """Return the entries and bytes of a cache file."""
    async with aclosing(_open(path)) as cache:
        (held,) = cache.stats()
        return held.entries or 0, held.bytes or 0


async def _clear(path: Path, namespace: str | None) -> tuple[int, int]:
    """Return the entries of a cache file before and after it was cleared."""
    async with aclosing(_open(path)) as cache:
        before = cache.stats()[0].entries or 0
        await cache.clear(namespace)
        return before, cache.stats()[0].entries or 0


def _open(path: Path) -> "SqliteCache":
    from ..cache import SqliteCache

    return SqliteCache(path)
