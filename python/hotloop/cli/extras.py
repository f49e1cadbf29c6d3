"""Which extras of the installed package are there, read from its own metadata."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from typing import NamedTuple

__all__ = ["Extra", "installed_extras"]

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[(?P<extras>[^\]]*)\])?")
_OF_EXTRA = re.compile(r"extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")
_BUNDLES = ("all", "dev")  # made of other extras, and for work on hotloop itself


class Extra(NamedTuple):
    """An extra: its packages with their versions, whether all are there, and the command that installs them."""

    name: str
    installed: bool
    packages: list[str]
    command: str


def installed_extras() -> list[Extra]:
    """Return the extras of hotloop, the bundles left out; empty where hotloop runs without being installed."""
    try:
        names = distribution("hotloop").metadata.get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return []
    found = []
    for name in sorted(set(names) - set(_BUNDLES)):
        packages = _packages("hotloop", name)
        there = [f"{package} {version}" for package, version in packages if version is not None]
        command = f'pip install "hotloop[{name}]"'
        found.append(Extra(name, len(there) == len(packages), there, command))
    return found


def _packages(package: str, extra: str) -> list[tuple[str, str | None]]:
    """Return the packages that `package[extra]` adds, with their versions; None for one that is not installed."""
    found: list[tuple[str, str | None]] = []
    for line in distribution(package).requires or []:
        requirement, _, marker = line.partition(";")
        of = _OF_EXTRA.search(marker)
        match = _REQUIREMENT.match(requirement.strip())
        if match is None or of is None or of["extra"] != extra:
            continue
        try:
            found.append((match["name"], distribution(match["name"]).version))
        except PackageNotFoundError:
            found.append((match["name"], None))
            continue
        for inner in filter(None, map(str.strip, (match["extras"] or "").split(","))):
            found += _packages(match["name"], inner)
    return found
