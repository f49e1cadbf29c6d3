"""From what an MCP server declares and returns to tools, effects and text."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic_core import PydanticCustomError

from ..content import content_of
from ..schema import Spec
from ..tool import Tool
from .fit import Fit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import mcp_types

    from ..approval import Approval
    from ..effects import Effect

__all__ = ["effect_of", "is_repeatable", "text_of", "tool_of"]

_ODD = re.compile(r"[^A-Za-z0-9_-]+")


class SchemaSpec(Spec):
    """The arguments of a tool whose JSON schema is all that is known of them."""

    def __init__(self, label: str, description: str, schema: dict[str, Any]) -> None:
        self.label = label
        self.is_model = False
        self.parameters = {}
        self.positional = ()
        self._description = description
        self._given = schema
        self._check = Fit(schema)

    @cached_property
    def docs(self) -> tuple[str, dict[str, str]]:
        """The description, which tells of the parameters as well."""
        return self._description, {}

    @cached_property
    def adapter(self) -> pydantic.TypeAdapter[Any]:
        """Validates the arguments against the schema, where it is one."""
        return pydantic.TypeAdapter(Annotated[dict[str, Any], pydantic.AfterValidator(self._fit)])

    @cached_property
    def _schema(self) -> dict[str, Any]:
        return {"type": "object", **self._given, "properties": self._given.get("properties") or {}}

    def _fit(self, args: dict[str, Any]) -> dict[str, Any]:
        problem = self._check.problem(args)
        if problem is None:
            return args
        raise PydanticCustomError("json_schema", "{text}", {"text": problem})


def effect_of(hints: mcp_types.ToolAnnotations | None) -> Effect | None:
    """Return the effect that hints tell; None without hints, which means: may write anything."""
    if hints is None:
        return None
    if hints.read_only_hint:
        return "read"
    if hints.read_only_hint is None and hints.destructive_hint is None and hints.open_world_hint is None:
        return None
    return "write" if hints.open_world_hint is False else "external"


def is_repeatable(hints: mcp_types.ToolAnnotations | None) -> bool:
    """Return whether a call that may have been made already can be made again."""
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


def tool_of(
    found: mcp_types.Tool,
    call: Callable[[dict[str, Any]], Awaitable[Any]],
    *,
    effect: Effect | None,
    approval: Approval,
) -> Tool:
    """Return a tool that makes a call of a server's tool."""

    async def remote(**args: Any) -> Any:
        return await call(args)

    description = found.description or found.title or ""
    name = _ODD.sub("_", found.name)[:64] or "tool"
    remote.__name__ = remote.__qualname__ = name
    remote.__doc__ = description
    spec = SchemaSpec(name, description, found.input_schema)
    return Tool(remote, name=name, effect=effect, approval=approval, spec=spec)


def text_of(result: mcp_types.CallToolResult) -> str:
    """Return what a model reads of a result: its text, and a mark for what is not text."""
    parts = [_block(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return content_of(result.structured_content)
    return "\n".join(parts)


def _block(block: mcp_types.ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type} {block.mime_type}, {_size(block.data)}, not shown]"
        case "resource_link":
            kind = f" ({block.mime_type})" if block.mime_type else ""
            return f"[resource {block.name}: {block.uri}{kind}]"
        case "resource":
            inner: Any = block.resource
            if hasattr(inner, "text"):
                return f"[resource {inner.uri}]\n{inner.text}"
            return f"[resource {inner.uri}: {inner.mime_type or 'binary'}, {_size(inner.blob)}, not shown]"
    return "[content of a kind that is not known here]"


def _size(base64: str) -> str:
    return f"{len(base64) * 3 // 4} bytes"
