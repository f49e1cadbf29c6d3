"""Which requests are questions to a model, and which of their answers may be stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast, get_args

import orjson

from ..calls import Mode
from ..calls.acting import acts

__all__ = ["PREFIX", "Ask", "Endpoint", "Wish", "ask_of", "wish_of"]

PREFIX = b"x-hotloop-"  # of the headers that are for us, and never sent on

Endpoint = Literal["chat", "responses", "embeddings", "messages"]

# The end of the path, the endpoint, and the field that its requests cannot do without.
_ENDPOINTS: tuple[tuple[str, Endpoint, str], ...] = (
    ("/chat/completions", "chat", "messages"),
    ("/responses", "responses", "input"),
    ("/embeddings", "embeddings", "input"),
    ("/messages", "messages", "messages"),
)


class Ask(NamedTuple):
    """A question to a model: where it goes, and the fields of its body."""

    endpoint: Endpoint
    fields: Mapping[str, Any]

    @property
    def deterministic(self) -> bool:
        """Whether the request says itself that its answer is no matter of chance: temperature 0, or a seed."""
        if self.endpoint == "embeddings":
            return True
        temperature = self.fields.get("temperature")
        return (temperature == 0 and temperature is not False) or self.fields.get("seed") is not None

    @property
    def pure(self) -> bool:
        """Whether the provider only computes an answer from the request: it acts on nothing and looks nowhere."""
        return not acts(self.fields)


class Wish(NamedTuple):
    """What a caller asks of the cache for one request.

    Attributes:
        mode: how the tiers are used.
        ttl: seconds that the answer stays; None for the configuration's.
        namespace: the group of its record; None for the configuration's.
        stale: seconds beyond `ttl` in which it may be served while it is renewed; None for none.
        sampled: whether the answer is stored and shared although the request asks for chance; None for the
            configuration's.
    """

    mode: Mode = "use"
    ttl: float | None = None
    namespace: str | None = None
    stale: float | None = None
    sampled: bool | None = None


def ask_of(path: str, body: bytes) -> Ask | None:
    """Return the question that a POST request asks, at any base URL; None where it is none.

    Args:
        path: the path of its URL.
        body: its whole body.
    """
    path = path.rstrip("/")
    for end, endpoint, needed in _ENDPOINTS:
        if path.endswith(end):
            try:
                fields = orjson.loads(body)
            except orjson.JSONDecodeError:
                return None
            # other services use these paths too: a thread's messages, a survey's responses
            if not isinstance(fields, dict) or needed not in fields:
                return None
            return Ask(endpoint, fields)
    return None


def wish_of(extensions: Mapping[str, Any], headers: Mapping[str, str]) -> Wish:
    """Return what the caller asks for: by the extension ``hotloop``, else by headers ``x-hotloop-*``.

    Raises:
        ValueError: it asks for something that does not exist, or is out of range.
    """
    prefix = PREFIX.decode()
    asked: dict[str, Any] = {
        low.removeprefix(prefix): value for name, value in headers.items() if (low := name.lower()).startswith(prefix)
    }
    given = extensions.get("hotloop")
    if given is not None:
        if not isinstance(given, Mapping):
            raise ValueError(f'the extension "hotloop" is {given!r}; it must be a mapping')
        asked.update(given)
    if unknown := asked.keys() - Wish._fields:
        raise ValueError(
            f'"{min(unknown)}" is nothing that can be asked of hotloop; there are {", ".join(Wish._fields)}'
        )
    mode, namespace = asked.get("mode", "use"), asked.get("namespace")
    if mode not in get_args(Mode):
        raise ValueError(f"the mode {mode!r} does not exist; there are {', '.join(get_args(Mode))}")
    if not isinstance(namespace, str | None):
        raise ValueError(f"the namespace {namespace!r} is no string")  # noqa: TRY004 - one error for all bad wishes
    sampled = asked.get("sampled")
    if isinstance(sampled, str):
        sampled = {"true": True, "1": True, "false": False, "0": False}.get(sampled.lower(), sampled)
    if not isinstance(sampled, bool | None):
        raise ValueError(f"sampled is {sampled!r}; it must be true or false")  # noqa: TRY004 - as above
    return Wish(cast("Mode", mode), _seconds("ttl", asked), namespace, _seconds("stale", asked), sampled)


def _seconds(name: str, asked: Mapping[str, Any]) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"{name} is {value!r}; it must be a number of seconds above 0")
    return seconds
