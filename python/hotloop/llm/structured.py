"""Answers of a type: the JSON schema that asks for one, and its value."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import ModelResponseError
from .schema import closed
from .text import brief

if TYPE_CHECKING:
    from .messages import Reply

_FENCED = re.compile(r"\s*```(?:json|JSON)?\s*\n(.*)\n\s*```\s*", re.DOTALL)

__all__ = ["Structure", "structure_of"]


class Structure:
    """A type as a model is asked for it.

    Schemas are made strict (each object closed and all its properties required, as OpenAI and Anthropic want it)
    wherever the type allows that; a mapping with free keys does not. What is no object is wrapped into one.

    Args:
        type_: any type that pydantic can validate from JSON.

    Raises:
        TypeError: it is none.
    """

    def __init__(self, type_: Any) -> None:
        from pydantic import PydanticUserError, TypeAdapter, create_model

        self.name = getattr(type_, "__name__", "answer")
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(type_)
            schema = self._adapter.json_schema()
            self._wrapper: TypeAdapter[Any] | None = None
            if schema.get("type") != "object":
                self._wrapper = TypeAdapter(create_model("answer", value=(type_, ...)))
                schema = self._wrapper.json_schema()
        except PydanticUserError as error:
            why = str(error).partition("\n")[0]
            raise TypeError(f"output_type {type_!r} is nothing that an answer in JSON can be: {why}") from error
        strict = closed(schema)
        name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in self.name)[:64]
        form = {"name": name, "schema": schema if strict is None else strict, "strict": strict is not None}
        self.response_format = {"type": "json_schema", "json_schema": form}

    def value(self, text: str) -> Any:
        """Return the value that a text holds.

        Servers that hold no answer to its schema may leave the wrapping out, and put a fence of Markdown around it.

        Raises:
            ValueError: it holds none; the message is one that a model can act on.
        """
        from pydantic import ValidationError

        if fenced := _FENCED.fullmatch(text):
            text = fenced[1]
        if self._wrapper is None:
            return self._adapter.validate_json(text)
        try:
            return self._wrapper.validate_json(text).value
        except ValidationError as wrong:
            try:
                return self._adapter.validate_json(text)
            except ValidationError:
                raise wrong from None

    def read(self, reply: Reply) -> Any:
        """Return the value that an answer holds.

        Raises:
            ModelResponseError: it holds none.
        """
        from pydantic import ValidationError

        refusal = reply.message.get("refusal")
        if refusal:
            raise ModelResponseError(f"the model refused to answer: {brief(str(refusal))}")
        try:
            return self.value(reply.text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            why = f"{where}: {first['msg']}" if where else first["msg"]
        cut = "; it was cut off, raise max_tokens" if reply.finish_reason == "length" else ""
        raise ModelResponseError(f"the answer is no {self.name}: {brief(why)}{cut}")


def structure_of(type_: Any) -> Structure:
    """Return the structure of a type; it is made once for each type."""
    try:
        return _known(type_)
    except TypeError:  # a type that cannot be hashed, such as Annotated with a list
        return Structure(type_)


@lru_cache(maxsize=256)
def _known(type_: Any) -> Structure:
    return Structure(type_)
