"""Which requests to a model do more than compute an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["acts"]

# Tools that the caller runs. All others run at the provider: their answers depend on the world, or change it.
_OWN_TOOLS = ("function", "custom", "bash_", "text_editor_", "computer_2", "memory_", "local_shell", "apply_patch")
# Fields that let the provider act or look around, or that make the answer depend on more than the request.
_ACTING = frozenset(
    {
        "background",
        "container",
        "conversation",
        "mcp_servers",
        "plugins",  # OpenRouter
        "previous_response_id",
        "prompt",
        "search_parameters",  # xAI
        "store",
        "web_search_options",
    }
)
# Parts of the names of models that search before they answer (OpenRouter, OpenAI, Perplexity).
_LOOKING = (":online", "-search-preview", "-search-api", "deep-research", "sonar")


def acts(fields: Mapping[str, Any]) -> bool:
    """Whether the provider does more for the request with these fields than compute an answer from it."""
    asked = _ACTING.intersection(fields)
    if asked and any(fields[name] not in (None, False, []) for name in asked):  # {} asks for the usual search
        return True
    model = fields.get("model")
    if isinstance(model, str) and any(part in model for part in _LOOKING):
        return True
    tools = fields.get("tools")
    if not isinstance(tools, list):
        return False
    return not all(map(_is_own, tools))


def _is_own(tool: Any) -> bool:
    if not isinstance(tool, dict):
        return False
    kind = tool.get("type")
    if kind is None:
        return "name" in tool or "function" in tool
    return isinstance(kind, str) and kind.startswith(_OWN_TOOLS)
