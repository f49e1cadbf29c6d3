"""Answers of a type: the JSON schema that asks for one, and its value."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import ModelResponseError

if TYPE_CHECKING:
    from .messages import Reply

__all__ = ["Structure", "structure_of"]

_WRAP = "value"


class Structure:
    """A type as a model is asked for it.

    Schemas are made strict (each object closed and all its properties required, as OpenAI and Anthropic want it)
    wherever the type allows that; a mapping with free keys does not. What is no object is wrapped into one.

    Args:
        type_: any type that pydantic can validate from JSON.
    """

    def __init__(self, type_: Any) -> None:
        from pydantic import TypeAdapter

        self._adapter: TypeAdapter[Any] = TypeAdapter(type_)
        self.name = getattr(type_, "__name__", "answer")
        schema = self._adapter.json_schema()
        self._wrapped = schema.get("type") != "object"
        if self._wrapped:
            shared = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            schema = {"type": "object", "properties": {_WRAP: schema}, "required": [_WRAP], **shared}
        strict = _strict(schema)
        name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in self.name)[:64]
        form = {"name": name, "schema": schema if strict is None else strict, "strict": strict is not None}
        self.response_format = {"type": "json_schema", "json_schema": form}

    def read(self, reply: Reply) -> Any:
        """Return the value that an answer holds.

        Raises:
            ModelResponseError: it holds none.
        """
        from pydantic import ValidationError

        refusal = reply.message.get("refusal")
        if refusal:
            raise ModelResponseError(f"the model refused to answer: {str(refusal)[:200]}")
        try:
            if not self._wrapped:
                return self._adapter.validate_json(reply.text)
            import orjson

            return self._adapter.validate_json(orjson.dumps(orjson.loads(reply.text)[_WRAP]))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            why = f"{where}: {first['msg']}" if where else first["msg"]
        except (ValueError, KeyError, TypeError):
            why = "it is not JSON of that form"
        cut = "; it was cut off, raise max_tokens" if reply.finish_reason == "length" else ""
        raise ModelResponseError(f"the answer is no {self.name}: {why}{cut}")


def structure_of(type_: Any) -> Structure:
    """Return the structure of a type; it is made once for each type."""
    try:
        return _known(type_)
    except TypeError:  # a type that cannot be hashed, such as Annotated with a list
        return Structure(type_)


@lru_cache(maxsize=256)
def _known(type_: Any) -> Structure:
    return Structure(type_)


class _LooseError(Exception):
    """A schema that cannot be strict."""


def _strict(schema: dict[str, Any]) -> dict[str, Any] | None:
    try:
        made: dict[str, Any] = _closed(schema)
    except _LooseError:
        return None
    return made


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}  # nothing may stand beside it
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            made[name] = {key: _closed(part) for key, part in value.items()}
        elif name == "oneOf":
            made["anyOf"] = _closed(value)
        elif name not in ("default", "discriminator"):
            made[name] = value if name in ("const", "enum", "examples") else _closed(value)
    if made.get("type") == "object":
        if "properties" not in made or made.get("additionalProperties"):
            raise _LooseError
        made["additionalProperties"] = False
        made["required"] = list(made["properties"])
    return made
