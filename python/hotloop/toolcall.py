"""What a model asks for and a pipeline runs: a call of a tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

from typing_extensions import TypeVar

__all__ = ["ToolCall"]


A = TypeVar("A", bound=dict[str, Any] | str, default=dict[str, Any] | str, covariant=True)


@dataclass(frozen=True, slots=True, init=False)
class ToolCall(Generic[A]):
    """One call of a tool.

    Attributes:
        name: the tool's name, or one of its aliases.
        args: the arguments by name. A model's arguments arrive as JSON text; they may be handed on as that text, and
            are decoded and validated once, at the edge of the tool.
        id: the model's identifier of the call, which its result must carry; None where nobody needs one.
    """

    name: str
    args: A
    id: str | None = None

    def __init__(self: ToolCall, name: str, args: dict[str, Any] | str, id: str | None = None) -> None:  # noqa: A002 - its name
        _set_name(self, name)
        _set_args(self, args)
        _set_id(self, id)


# One is made for each call: the slots' own setters cost half of what a frozen dataclass does to set itself.
_set_name, _set_args, _set_id = (ToolCall.__dict__[name].__set__ for name in ("name", "args", "id"))
