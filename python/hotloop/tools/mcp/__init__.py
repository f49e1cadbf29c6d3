"""Servers of the Model Context Protocol as a source of tools."""

from .server import MCPServer

__all__ = ["MCPServer"]
