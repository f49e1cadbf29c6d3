"""A server of the Model Context Protocol, written with the SDK: `python served.py [--http PORT-FILE]`."""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import EmbeddedResource, ResourceLink, TextResourceContents, ToolAnnotations

server = MCPServer("served")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def look(path: str, depth: int = 1) -> str:
    """Look at a path.

    Args:
        path: Where.
    """
    return f"{path} to depth {depth}"


@server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False))
def erase(path: str) -> str:
    return f"erased {path}"


@server.tool()
def pid() -> str:
    return str(os.getpid())


@server.tool(annotations=ToolAnnotations(idempotent_hint=True, read_only_hint=False))
def die() -> str:
    os._exit(3)


@server.tool()
def secret() -> str:
    return os.environ.get("GIVEN", "none") + os.environ.get("NOT_GIVEN", "none")


@server.tool()
def fail() -> str:
    raise ToolError("it went wrong")


@server.tool()
async def sleep() -> str:
    await asyncio.sleep(3600)
    return "late"


@server.tool(structured_output=False)
def mixed() -> list:
    return [
        "words",
        Image(data=b"\x89PNG" * 3, format="png"),
        ResourceLink(type="resource_link", name="log", uri="file:///log"),
        EmbeddedResource(type="resource", resource=TextResourceContents(uri="note://1", text="noted")),
    ]


@server.tool()
async def grow(context: Context) -> str:
    server.add_tool(lambda: "new", name="grown", description="Appeared later.")
    await context.notify_tools_changed()
    return "grown"


if __name__ == "__main__":
    print("words on standard error", file=sys.stderr)
    if "--http" in sys.argv:
        server.run("streamable-http", port=int(sys.argv[-1]))
    else:
        server.run()
