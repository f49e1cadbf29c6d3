"""Where settings come from: variables, files, presets, defaults; and which of them gave each value."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .root import PRESETS, SECTIONS, Config, find
from .setting import nearest, settings_of, shown

__all__ = ["Sources", "from_environment", "load", "project_file", "user_file"]

Sources = dict[str, str]
"""Where each value came from, by ``section.key``: "default", 'preset "production"', a file or a variable."""

_PREFIX = "HOTLOOP_"
_Layer = dict[str, tuple[Any, str]]  # section.key → value and source; "preset" → its name and source


def load(path: str | os.PathLike[str] | None = None) -> tuple[Config, Sources]:
    """Return what `Config.load` does, and where each value came from."""
    if path is not None:
        layers = [_file(Path(path), required=True)]
    else:
        layers = [_file(file) for file in (user_file(), project_file()) if file is not None and _is_file(file)]
    return _merge([*layers, _environment()])


def from_environment() -> tuple[Config, Sources]:
    """Return what `Config.from_env` does, and where each value came from."""
    return _merge([_environment()])


def project_file() -> Path | None:
    """Return ``hotloop.toml`` in the current folder, else its ``pyproject.toml``, else None."""
    return next((file for file in (Path("hotloop.toml"), Path("pyproject.toml")) if _is_file(file)), None)


def user_file() -> Path:
    """Return where the user's configuration would lie; ``XDG_CONFIG_HOME`` is honoured."""
    from platformdirs import user_config_path

    return user_config_path("hotloop", appauthor=False) / "hotloop.toml"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be entered, as where HOME is another user's
        return False


def _merge(layers: list[_Layer]) -> tuple[Config, Sources]:
    """Lay `layers` over the defaults and the preset that the last of them names."""
    merged: _Layer = {}
    for layer in layers:
        merged |= layer
    chosen, origin = merged.pop("preset", (None, ""))
    values: dict[str, dict[str, object]] = {}
    sources = {f"{section}.{key}": "default" for section, kind in SECTIONS.items() for key in settings_of(kind)}
    if chosen is not None:
        if not isinstance(chosen, str) or chosen not in PRESETS:
            raise ConfigError(f"{origin}: preset must be {' or '.join(PRESETS)}, not {shown(chosen)}")
        for section, changes in PRESETS[chosen].items():
            values[section] = dict(changes)
            sources |= {f"{section}.{key}": f'preset "{chosen}"' for key in changes}
    for name, (value, source) in merged.items():
        section, _, key = name.partition(".")
        values.setdefault(section, {})[key] = value
        sources[name] = source
    return Config().replace(**values), sources


def _environment() -> _Layer:
    layer: _Layer = {}
    for variable, text in os.environ.items():
        if not variable.startswith(_PREFIX):
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name == "preset":
            if text:
                layer["preset"] = text, variable
            continue
        section, separator, key = name.partition("__")
        if not separator:
            _refuse_single_underscore(variable, name)
            continue  # some other program's variable: settings have two underscores
        setting = find(variable, section, key)
        value = setting.parse(text)
        setting.check(value, variable, f"{section}.{key}")
        layer[f"{section}.{key}"] = value, variable
    return layer


def _refuse_single_underscore(variable: str, name: str) -> None:
    for section in SECTIONS:
        if name.startswith(f"{section}_"):
            meant = f"{_PREFIX}{section}__{name.removeprefix(f'{section}_')}".upper()
            raise ConfigError(f"{variable}: two underscores stand between a section and its key; did you mean {meant}?")


def _file(path: Path, *, required: bool = False) -> _Layer:
    """Return the settings of a TOML file; a pyproject.toml holds them under ``[tool.hotloop]``."""
    source = str(path)
    table = _toml(path)
    if path.name == "pyproject.toml":
        table = _table(table.get("tool", {}), source, "tool")
        if required and "hotloop" not in table:
            raise ConfigError(f"{source}: there is no table [tool.hotloop]")
        table = _table(table.get("hotloop", {}), source, "tool.hotloop")
    layer: _Layer = {}
    for section, keys in table.items():
        if section == "preset":
            layer["preset"] = keys, source
            continue
        if section not in SECTIONS:
            raise ConfigError(f'{source}: there is no section "{section}"; {nearest(section, [*SECTIONS, "preset"])}')
        for key, given in _table(keys, source, section).items():
            setting = find(source, section, key)
            # TOML has no null.
            value = None if setting.optional and given in ("", "none") else given
            setting.check(value, source, f"{section}.{key}")
            layer[f"{section}.{key}"] = value, source
    return layer


def _table(value: object, source: str, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: {name} must be a table of settings, not {type(value).__name__}")
    return value


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    text = ""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply") from error
    except ValueError as error:  # also integers of more digits than Python reads
        reason, _, place = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else max(1, len(text.splitlines()))
        raise ConfigError(f"{path}: line {line}: not TOML: {reason}") from error
