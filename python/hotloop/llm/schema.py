"""JSON schemas in the subsets that providers hold an answer to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["closed", "noted_for_anthropic"]

_PARTS = ("items", "anyOf")  # schemas in a schema, beside those that have names
_NAMED = ("properties", "$defs")
_KEPT = frozenset({"type", "title", "description", "enum", "const", "required", "additionalProperties"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_LENGTHS = frozenset({"minItems", "maxItems"})
_FORMLESS = ("prefixItems", "patternProperties", "allOf", "not", "if", "dependentSchemas")
_LOOKING = re.compile(r"\(\?<?[=!]")


class _LooseError(Exception):
    """A schema that no strict one says the same as."""


def closed(schema: dict[str, Any]) -> dict[str, Any] | None:
    """Return a schema as OpenAI's strict mode takes it; None where it has no form there.

    Each object is closed and all of its properties are required. What the mode does not know, such as the length of a
    text, is told in descriptions.
    """
    try:
        return _closed(schema)
    except _LooseError:
        return None


def noted_for_anthropic(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema as Anthropic takes it, which knows fewer constraints: the others are told in descriptions."""
    return _noted(
        schema,
        lambda name, value: (
            (name == "format" and value in _FORMATS | {"uri"}) or (name == "minItems" and value in (0, 1))
        ),
        noted_for_anthropic,
    )


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    if "oneOf" in schema:
        schema = {("anyOf" if name == "oneOf" else name): value for name, value in schema.items()}
    schema = {name: value for name, value in schema.items() if name not in ("default", "discriminator", "examples")}
    if any(name in schema for name in _FORMLESS) or not {"$ref", "type", "anyOf", "enum", "const"} & schema.keys():
        raise _LooseError
    kind = schema.get("type")
    if kind == "array" and not schema.get("items"):
        raise _LooseError
    if kind == "object":
        if "properties" not in schema or schema.get("additionalProperties"):
            raise _LooseError
        schema |= {"additionalProperties": False, "required": list(schema["properties"])}
    return _noted(schema, _strict, _closed)


def _strict(name: str, value: Any) -> bool:
    if name == "format":
        return value in _FORMATS
    if name == "pattern":
        return not _LOOKING.search(value)
    return name in _NUMBERS or name in _LENGTHS


def _noted(
    schema: dict[str, Any], known: Callable[[str, Any], bool], inner: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return a schema with what is `known`, with the rest in its description, and with `inner` of what is in it."""
    made: dict[str, Any] = {name: _each(schema[name], inner) for name in _NAMED if name in schema}
    if "$ref" in schema:
        return {"$ref": schema["$ref"], **({"$defs": made["$defs"]} if "$defs" in made else {})}  # it stands alone
    notes = []
    for name, value in schema.items():
        if name in _PARTS:
            made[name] = [inner(part) for part in value] if isinstance(value, list) else inner(value)
        elif name in _KEPT or known(name, value):
            made[name] = value
        elif name not in _NAMED:
            notes.append(f"{name}: {orjson.dumps(value).decode()}")
    if notes:
        said = made.get("description")
        made["description"] = (f"{said} " if said else "") + f"({', '.join(notes)})"
    return made


def _each(parts: Mapping[str, Any], inner: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    return {name: inner(part) for name, part in parts.items()}
