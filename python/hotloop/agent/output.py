"""The type of an agent's answer: asked for in the request, checked when it comes."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

__all__ = ["Output"]

T = TypeVar("T")


class Output(Generic[T]):
    """How an answer of one type is asked for and read.

    Args:
        type_: `str` for the model's text as it is, or any type that pydantic can validate from JSON.
    """

    def __init__(self, type_: type[T]) -> None:
        self._adapter = None
        self.params: dict[str, Any] = {}
        if type_ is not str:
            from pydantic import TypeAdapter

            self._adapter = TypeAdapter(type_)
            schema = {"name": getattr(type_, "__name__", "answer"), "schema": self._adapter.json_schema()}
            self.params = {"response_format": {"type": "json_schema", "json_schema": schema}}

    def read(self, text: str) -> T:
        """Return the answer that `text` holds.

        Raises:
            ValueError: the text is not JSON of the type; its message is one that a model can act on.
        """
        if self._adapter is None:
            return cast("T", text)
        return self._adapter.validate_json(text)
