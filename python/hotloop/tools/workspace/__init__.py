"""Tools for the files of one folder, which they never leave."""

from .tools import workspace_tools

__all__ = ["workspace_tools"]
