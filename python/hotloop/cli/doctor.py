"""``hotloop doctor``: can the main job run here, and with what."""

import asyncio
import json
import os
import platform
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import typer

from .. import _core
from ..config import Config
from ..config.load import load, user_file
from ..errors import CacheError, HotloopError, MissingExtraError
from .errors import Code, code_of, exit_codes
from .extras import Extra, installed_extras
from .model import EMBEDDED, choose_model
from .options import ConfigFile, Json, Quiet, Verbose
from .text import one_line

__all__ = ["EXIT_CODES", "doctor"]

EXIT_CODES = exit_codes(Code.MODEL, Code.CACHE)

_VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL")


class Finding(NamedTuple):
    """One thing that was looked at; `code` is not 0 where the main job cannot run because of it."""

    name: str
    text: str
    code: Code = Code.OK


def doctor(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, config: ConfigFile = None) -> None:
    """Say whether a run would work here, and with what.

    Shows what is installed, which model would be asked and why, and where settings and answers live. Exits with the
    code of the first thing that keeps a run from working. With -q, only what is wrong; with -v, the environment
    variables too. Keys are never shown, and nothing is sent anywhere.
    """
    findings = list(_look(config))
    extras = [_with_weights(extra) if extra.name == "local" else extra for extra in installed_extras()]
    code = next((finding.code for finding in findings if finding.code), Code.OK)
    if as_json:
        print(json.dumps(_as_json(findings, extras, code)))
    else:
        for finding in findings:
            if finding.code or not quiet:
                print(f"{'✗' if finding.code else '✓'} {finding.name:<9} {finding.text}")
        for extra in extras if not quiet else ():
            print(f"{'✓' if extra.installed else '·'} {'extra':<9} {_extra_text(extra)}")
        if verbose:
            for variable in _VARIABLES:
                print(f"· {'variable':<9} {variable} is {'set' if os.environ.get(variable) else 'not set'}")
    raise typer.Exit(code)


def _look(path: Path | None) -> Iterator[Finding]:
    yield Finding("hotloop", f"{_core.__version__}, Python {platform.python_version()} on {platform.platform()}")
    slow = "" if _core.build_profile == "release" else ": slow; build it with maturin develop --release"
    yield Finding("native", f"{_core.build_profile} build{slow}")
    try:
        config, sources = load(path)
    except HotloopError as error:
        yield Finding("config", one_line(str(error)), code_of(error))
        config = Config()
    else:
        yield Finding("config", f"{_set_by(sources)}; the user's file is {user_file()}")
    yield _model(config)
    yield _cache(config)


def _set_by(sources: dict[str, str]) -> str:
    given = sorted(set(sources.values()) - {"default"})
    return f"set by {', '.join(given)}" if given else "nothing is set"


def _model(config: Config) -> Finding:
    from ..llm import LLMClient

    async def make() -> None:
        await LLMClient(model, config=config.replace(response_cache={"disk": False})).aclose()

    model, why = choose_model(None, config)
    try:
        asyncio.run(make())
    except HotloopError as error:
        return Finding("model", f"{model} ({why}): {one_line(str(error))}", code_of(error))
    return Finding("model", f"{model} ({why})")


def _cache(config: Config) -> Finding:
    settings = config.response_cache
    if not (settings.enabled and settings.disk):
        return Finding("cache", "turned off by the configuration; answers are not kept between runs")
    try:
        file = settings.location()
        state = _state(file)
    except HotloopError as error:
        return Finding("cache", one_line(str(error)), code_of(error))
    return Finding("cache", f"{file} ({state})")


def _state(file: Path) -> str:
    """Open a cache file that is there; of one that is not, say whether it could be made."""
    from ..cache.sqlite import ELSEWHERE, SqliteCache

    async def look() -> None:
        async with aclosing(SqliteCache(file)) as cache:
            await cache.check()

    if file.exists():
        asyncio.run(look())
        return "whole"
    folder = next(folder for folder in file.absolute().parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise CacheError(f"the cache file {file} cannot be made: {folder} cannot be written. {ELSEWHERE}")
    return "made by the first run"


def _with_weights(local: Extra) -> Extra:
    """Return the extra of the embedded model with its weights, which no extra can bring."""
    from ..llm.server import find_weights

    try:
        weights = find_weights(EMBEDDED.partition(":")[2])
    except MissingExtraError as error:
        return local._replace(installed=False, command=error.command)
    return local._replace(packages=[*local.packages, weights.file.name])


def _extra_text(extra: Extra) -> str:
    if extra.installed:
        return f"{extra.name}: {', '.join(extra.packages)}"
    return f"{extra.name}: not installed; {extra.command}"


def _as_json(findings: list[Finding], extras: list[Extra], code: Code) -> dict[str, object]:
    return {
        "ok": code is Code.OK,
        "build_profile": _core.build_profile,
        "findings": [{"name": one.name, "ok": not one.code, "text": one.text} for one in findings],
        "extras": {
            one.name: {"installed": one.installed, "packages": one.packages, "command": one.command} for one in extras
        },
        "variables": {variable: "set" if os.environ.get(variable) else "not set" for variable in _VARIABLES},
    }
