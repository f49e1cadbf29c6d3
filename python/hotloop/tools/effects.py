"""What a call may do, and to what: the facts that scheduling and caching rest on.

The vocabulary is MCP's: a *pure* or *read* tool is `readOnlyHint`, a *write* or *external* one is not, and *external*
is `openWorldHint`. A tool that declares nothing is treated as one that may write anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, get_args

__all__ = [
    "ANYTHING",
    "EFFECTS",
    "NOTHING",
    "SHARED",
    "Access",
    "Effect",
    "Place",
    "Resource",
    "Resources",
    "Touches",
    "access",
    "fixed_access",
]

Effect = Literal["pure", "read", "write", "external"]
"""pure: depends on its arguments only; read: looks; write: changes what it names; external: acts on the outside."""

EFFECTS: tuple[str, ...] = get_args(Effect)

SHARED = ("pure", "read")
"""The effects whose calls may be joined and stored."""

Resource = str | PurePath
"""A path, which overlaps with what lies under it, or the name of something else, which equals only itself."""


class Touches(NamedTuple):
    """What one call reads and what it writes, for tools that do both."""

    reads: Iterable[Resource] = ()
    writes: Iterable[Resource] = ()


Resources = Callable[..., Touches | Iterable[Resource] | None] | Iterable[Resource]
"""The resources of a tool: fixed ones, or a function of those of its arguments that it names; None means any."""

Place = tuple[str, ...]
"""A resource as a way down a tree: two places overlap when one begins with the other, and () overlaps with all."""


class Access(NamedTuple):
    """The places that one call reads and writes, and the paths that it reads as they were given, links and all."""

    reads: tuple[Place, ...] = ()
    writes: tuple[Place, ...] = ()
    paths: tuple[str, ...] = ()


_LOOKS = 100
"""How often the way to a path is looked at while others change it."""

NOTHING = Access()
ANYTHING = Access(writes=((),))


def access(effect: Effect | None, touched: Touches | Iterable[Resource] | None) -> Access:
    """Return the places that a call touches.

    Args:
        effect: the declared effect; None for an undeclared tool.
        touched: the resources of the call; None where the tool does not tell, which means any.

    Raises:
        TypeError: a resource is neither a path nor a name.
    """
    if effect == "pure":
        return NOTHING
    if effect is None:
        return ANYTHING
    if touched is None:
        return Access(reads=((),)) if effect == "read" else ANYTHING
    if isinstance(touched, Touches):
        if effect == "read" and tuple(touched.writes):
            raise TypeError("it writes resources, but its effect is declared as read")
        reads = _listed(touched.reads)
        return Access(_places(reads), _places(_listed(touched.writes)), _paths(reads))
    resources = _listed(touched)
    if effect == "read":
        return Access(_places(resources), (), _paths(resources))
    return Access(writes=_places(resources))


def fixed_access(effect: Effect | None, touched: Touches | Iterable[Resource] | None) -> Access | None:
    """Return the places that every call touches; None where they are paths, which may lead elsewhere next time."""
    try:
        found = access(effect, touched)
    except TypeError:
        return None  # each call says so
    return None if any(place[:1] == ("path",) for place in (*found.reads, *found.writes)) else found


def _listed(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    return (resources,) if isinstance(resources, str | PurePath) else tuple(resources)


def _places(resources: tuple[Resource, ...]) -> tuple[Place, ...]:
    return tuple(_place(resource) for resource in resources)


def _paths(resources: tuple[Resource, ...]) -> tuple[str, ...]:
    return tuple(os.path.join(os.getcwd(), path) for path in resources if isinstance(path, PurePath))  # noqa: PTH109, PTH118


def _place(resource: Any) -> Place:
    if isinstance(resource, PurePath):
        return ("path", *PurePath(_real(resource)).parts)
    if isinstance(resource, str):
        return ("name", resource)
    raise TypeError(f"a resource is a path or a name, not {type(resource).__name__}")


def _real(path: PurePath) -> str:
    """Return the place that links and `..` lead to, which is the one that is really touched.

    Raises:
        OSError: a link on the way was exchanged each time that it was looked at.
    """
    for _ in range(_LOOKS):
        with suppress(OSError):  # a link that is exchanged between two looks at it
            return os.path.realpath(path)
    return os.path.realpath(path)
