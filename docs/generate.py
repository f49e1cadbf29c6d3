"""Writes the generated parts of configuration.md and cli.md from the code: ``python docs/generate.py``."""

from collections.abc import Iterator
from pathlib import Path

import typer

from hotloop.cli.app import app
from hotloop.cli.errors import Code
from hotloop.config.root import PRESETS, SECTIONS
from hotloop.config.setting import settings_of

DOCS = Path(__file__).parent
COMMANDS = ["run", "config show", "config check", "cache stats", "cache clear", "doctor"]


def shown(value: object) -> str:
    """Return a value as TOML writes it."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def settings() -> str:
    """Return a table for each section."""
    parts = []
    for name, section in SECTIONS.items():
        parts += [f"### `{name}`", "", section.__doc__ or "", "", "| key | default | allowed | what it does |"]
        parts += ["|---|---|---|---|"]
        for key, one in settings_of(section).items():
            parts.append(f"| `{key}` | `{shown(one.default)}` | {one.allowed} | {one.doc} |")
        parts.append("")
    return "\n".join(parts)


def presets() -> str:
    """Return what each preset changes."""
    names = list(PRESETS)
    keys = sorted({(section, key) for preset in PRESETS.values() for section in preset for key in preset[section]})
    parts = [f"| key | default | {' | '.join(names)} |", "|---|" + "---|" * (len(names) + 1)]
    for section, key in keys:
        default = settings_of(SECTIONS[section])[key].default
        values = [PRESETS[name].get(section, {}).get(key, default) for name in names]
        parts.append(f"| `{section}.{key}` | {' | '.join(f'`{shown(value)}`' for value in (default, *values))} |")
    return "\n".join(parts) + "\n"


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [f"| {code:d} | {code.doc} |" for code in Code]
    return "\n".join(["| code | meaning |", "|---|---|", *rows]) + "\n"


def commands() -> str:
    """Return the help of each command, without the exit codes that the table has."""
    parts = []
    for name in COMMANDS:
        command = typer.main.get_command(app)
        context = command.make_context("hotloop", [*name.split(), "--help"], resilient_parsing=True, terminal_width=100)
        for word in name.split():
            command = command.get_command(context, word)  # type: ignore[attr-defined]
            context = type(context)(command, info_name=word, parent=context, terminal_width=100)
        text = command.get_help(context)
        parts += [f"### hotloop {name}", "", "```text", text.partition("\n\n  Exit codes:")[0].rstrip(), "```", ""]
    return "\n".join(parts)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page and what it should read."""
    for name, makers in (("configuration.md", (settings, presets)), ("cli.md", (exit_codes, commands))):
        text = (DOCS / name).read_text("utf-8")
        for maker in makers:
            begin, end = f"<!-- {maker.__name__}: made by generate.py -->\n", "<!-- end -->"
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n{maker()}\n{end}{rest.partition(end)[2]}"
        yield DOCS / name, text


if __name__ == "__main__":
    for page, text in pages():
        page.write_text(text, "utf-8")
