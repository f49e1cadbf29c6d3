"""``hotloop config``: the settings in effect, and whether a file is right."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config.load import load
from ..config.root import SECTIONS
from ..config.setting import settings_of
from ..errors import ConfigError
from .errors import exit_codes
from .options import ConfigFile, Json, Quiet, Verbose
from .text import one_line

__all__ = ["app"]

app = typer.Typer(help="Show or check the configuration.", rich_markup_mode=None)


@app.command(epilog=exit_codes())
def show(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, config: ConfigFile = None) -> None:
    """Show every setting in effect and where it came from.

    The output is a configuration file. With -q, only what differs from a default; with -v, what each setting does.
    """
    settings, sources = load(config)
    shown: dict[str, dict[str, object]] = {}
    for section in SECTIONS:
        lines = []
        for key, setting in settings_of(SECTIONS[section]).items():
            name = f"{section}.{key}"
            value = setting.masked(getattr(getattr(settings, section), key))
            shown[name] = {"value": value, "source": sources[name]}
            if quiet and sources[name] == "default":
                continue
            lines += [f"# {setting.doc} ({setting.allowed})"] if verbose else []
            lines.append(f"{key} = {_toml(value):<12} # {one_line(sources[name])}")
        if lines and not as_json:
            print(f"[{section}]", *lines, "", sep="\n")
    if as_json:
        changed = {name: one for name, one in shown.items() if not quiet or one["source"] != "default"}
        print(json.dumps(changed))


@app.command(epilog=exit_codes())
def check(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="The file to check; without it, what a run would read here.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigFile = None,
) -> None:
    """Check a configuration file, or all that a run would read here, and the HOTLOOP_ variables."""
    if path is not None and config is not None:
        raise typer.BadParameter("give the file once: as PATH, or with --config", param_hint="PATH")
    try:
        _, sources = load(path or config)
    except ConfigError as error:
        if as_json:
            print(json.dumps({"ok": False, "error": str(error)}))
        raise
    given = sorted({source for source in sources.values() if source != "default"})
    if as_json:
        print(json.dumps({"ok": True, "sources": given}))
    elif not quiet:
        print(f"ok: {', '.join(given) if given else 'nothing is set; all settings have their defaults'}")
        if verbose:
            print(*(f"{name}: {source}" for name, source in sources.items() if source != "default"), sep="\n")


def _toml(value: Any) -> str:
    # JSON's texts, numbers and truth values are TOML's too.
    return '"none"' if value is None else json.dumps(value, ensure_ascii=False)
