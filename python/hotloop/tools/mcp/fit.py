"""Whether arguments fit the schema of a server, in a time that the server cannot choose."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, ValidationError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Fit"]

_STEPS = 20_000
"""Rules that are applied to the arguments of one call, before the rest is left to the server; some tenths of a second.
Schemas in use take some tens; one whose definitions refer to each other twice takes 2 to the number of these."""

_LEFT_OUT = ("unevaluatedItems", "unevaluatedProperties")
"""Rules that are the server's to check: telling what the others have looked at has no bound."""


class Fit:
    """Checks arguments against a JSON schema that nobody vouches for.

    Regular expressions run in linear time; those that cannot (look-around, references back), references that lead out
    of the schema, and what takes too many steps are the server's to check.

    Args:
        schema: the schema.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._left = 0

    def problem(self, args: dict[str, Any]) -> str | None:
        """Return what is wrong with arguments, and where; None where nothing is, or it cannot be told."""
        validator = self._validator
        if validator is None:
            return None
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        self._left = _STEPS
        try:
            found = best_match(validator.iter_errors(args))
        except (Unresolvable, RecursionError, _TooLongError):
            return None
        if found is None:
            return None
        place = ".".join(map(str, found.absolute_path))
        text = found.message if len(found.message) <= 300 else f"{found.message[:300]}…"
        return f"{place}: {text}" if place else text

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import SchemaError
        from jsonschema.validators import Draft202012Validator, extend, validator_for
        from referencing import Registry

        kind = validator_for(self._schema, default=Draft202012Validator)
        try:
            kind.check_schema(self._schema)
        except (SchemaError, RecursionError):
            return None
        rules = dict(kind.VALIDATORS) | {"pattern": _pattern, "patternProperties": _pattern_properties}
        rules["additionalProperties"] = _additional(rules["additionalProperties"])
        bounded = {name: self._counted(name, rule) for name, rule in rules.items()}
        made = extend(kind, bounded | dict.fromkeys(_LEFT_OUT, _anything))
        return made(self._schema, registry=Registry())  # an empty registry: nothing is fetched

    def _counted(self, name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
        def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
            self._left -= 1 + (len(value) if isinstance(value, list | dict) else 0)
            if name == "uniqueItems" and isinstance(instance, list):
                self._left -= len(instance) ** 2
            if self._left < 0:
                raise _TooLongError
            return rule(validator, value, instance, schema)

        return check


class _TooLongError(Exception):
    """The steps are used up."""


def _anything(validator: Any, value: Any, instance: Any, schema: Any) -> None:
    """Find nothing wrong."""


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError as Problem

    if validator.is_type(instance, "string") and not _matches(pattern, instance, default=True):
        yield Problem(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, _: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, shape in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name, default=False):
                yield from validator.descend(value, shape, path=name, schema_path=pattern)


def _additional(rule: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: dict[str, Any]) -> Any:
        if not validator.is_type(instance, "object"):
            return None
        named = schema.get("patternProperties", {})
        kept = {
            name: inner
            for name, inner in instance.items()
            if not any(_matches(pattern, name, default=True) for pattern in named)
        }
        return rule(
            validator, value, kept, {name: rest for name, rest in schema.items() if name != "patternProperties"}
        )

    return check


def _matches(pattern: str, text: str, *, default: bool) -> bool:
    """Return whether a pattern is found in a text; `default` where it cannot be told in linear time."""
    compiled = _compiled(pattern)
    if compiled is None:
        return default
    try:
        compiled.validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except PatternError:
        return None
