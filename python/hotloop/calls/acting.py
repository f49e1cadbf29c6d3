"""Which requests to a model do more than compute an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["acts"]

# Tools that the caller runs. All others run at the provider: their answers depend on the world, or change it.
_OWN_TOOLS = ("function", "custom", "bash_", "text_editor_", "computer_2", "memory_", "local_shell", "apply_patch")
# Fields that let the provider act or look around, or that make the answer depend on more than the request.
_ACTING = ("background", "conversation", "container", "mcp_servers", "web_search_options", "prompt")


def acts(fields: Mapping[str, Any]) -> bool:
    """Whether the provider does more for the request with these fields than compute an answer from it."""
    if any(fields.get(name, False) not in (None, False, []) for name in _ACTING):  # {} asks for the usual search
        return True
    tools = fields.get("tools")
    if not isinstance(tools, list):
        return False
    kinds = (tool.get("type") if isinstance(tool, dict) else None for tool in tools)
    return any(isinstance(kind, str) and not kind.startswith(_OWN_TOOLS) for kind in kinds)
