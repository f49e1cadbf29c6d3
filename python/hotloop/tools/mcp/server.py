"""An MCP server, and the tools that it has."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from typing import TYPE_CHECKING, Any, Self

from ...errors import MissingExtraError, ToolDefinitionError, ToolError, ToolTimeoutError
from ..source import ToolSource
from .connection import Connection, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    import mcp_types
    from mcp.client import Client

    from ..approval import Approval
    from ..tool import Tool

__all__ = ["MCPServer"]

_MAX_PAGES = 100
_STEADY = 60.0
"""Seconds that a server must have served since its last restart to be restarted once more."""


class MCPServer(ToolSource):
    """A server of the Model Context Protocol, whose tools are an agent's: `Agent(tools=[MCPServer(...)])`.

    It is connected when its tools are first asked for, and ended with the agent, with `aclose`, or at the end of an
    `async with` block. A server that several agents share is entered by hand.

    A server that dies is started once more, and the call that found it dead is made; a call that it died of is made
    again only where the hints say that this does no harm. When it dies again, within a minute of work, its calls give
    errors that say so. A URL is connected to again with each call.

    Its hints (`readOnlyHint` and so on) become effects, which decide what may run at the same time. They decide nothing
    else: no result is cached for them, and no approval is waived. A call of a server without hints may write anything.

    Args:
        target: a URL (streamable HTTP), or a command line as a sequence (stdio).
        name: put before the name of a tool that another tool has already; the server's own name where None.
        env: further variables for the environment of a command, which else holds little more than PATH and HOME.
        cwd: where a command runs.
        headers: sent with each request to a URL, as for its credentials.
        timeout: seconds that one call may take.
        start_timeout: seconds that a connection may take.
        trust_hints: whether hints become effects; without, every tool may write anything.
        approval: as for `tool`, for all of its tools.
        clock: gives seconds; replaced in tests.

    Raises:
        ToolDefinitionError: `target` is neither a URL nor a command line.
        MissingExtraError: the extra "mcp" is not installed.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        start_timeout: float = 30.0,
        trust_hints: bool = True,
        approval: Approval = "never",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = _target(target)
        if importlib.util.find_spec("mcp") is None:
            raise MissingExtraError("an MCP server", "mcp")
        self.name = name or ""
        self._named = name is not None
        self._env = env
        self._cwd = None if cwd is None else str(cwd)
        self._headers = headers
        self._timeout = timeout
        self._start_timeout = start_timeout
        self._trust_hints = trust_hints
        self._approval = approval
        self._clock = clock
        self._connection: Connection | None = None
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._listed: tuple[Tool, ...] = ()
        self._stale = True
        self._restarted: float | None = None
        self._entered = 0

    def __repr__(self) -> str:
        target = self._target if isinstance(self._target, str) else self._target[0]
        return f"<MCPServer {self.name or target.partition('?')[0].rpartition('@')[2]}>"

    async def __aenter__(self) -> Self:
        await self.tools()
        self._entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered -= 1
        if not self._entered:
            await self.aclose()

    async def aclose(self) -> None:
        """End the connection, and the command with all that it started; the next use starts it anew."""
        connection, self._connection, self._restarted = self._connection, None, None
        self._listed, self._stale = (), True
        if connection is not None:
            await connection.aclose()

    async def release(self) -> None:
        """End the connection, unless it is held by an `async with` block."""
        if not self._entered:
            await self.aclose()

    async def tools(self) -> tuple[Tool, ...]:
        """Return the tools; asked for once, and again when the server says that they changed.

        Raises:
            ToolError: the server cannot be reached, or does not answer.
        """
        if self._listed and not self._stale:
            return self._listed  # whether the server still lives is the next call's to find out
        try:
            client = await self._client()
            async with self._turn():
                if self._stale:
                    self._listed = await self._list(client)
        except ToolError:
            if not self._listed:
                raise
            self._stale = False  # it died: its calls say so, and the run goes on with the other tools
        return self._listed

    def _tool(self, found: mcp_types.Tool) -> Tool:
        from .convert import effect_of, is_repeatable, tool_of

        hints = found.annotations if self._trust_hints else None

        async def call(args: dict[str, Any]) -> str:
            return await self._call(found.name, args, again=is_repeatable(hints))

        return tool_of(found, call, effect=effect_of(hints), approval=self._approval)

    async def _list(self, client: Client) -> tuple[Tool, ...]:
        self._stale = False  # a change that is told from now on makes it stale again
        found: list[mcp_types.Tool] = []
        cursor: str | None = None
        try:
            for _ in range(_MAX_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="refresh")
                found += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    return tuple(map(self._tool, found))
        except Exception as error:
            self._stale = True
            raise self._failure("does not tell its tools", error) from error
        self._stale = True
        raise ToolError(f"the MCP server {self!r} has more than {_MAX_PAGES} pages of tools")

    # -- a call --------------------------------------------------------------------------------------------------

    async def _call(self, name: str, args: dict[str, Any], *, again: bool) -> str:
        from mcp.shared.exceptions import MCPError
        from mcp_types import REQUEST_TIMEOUT

        from .convert import text_of

        client = await self._client()
        connection = self._connection
        try:
            try:
                result = await client.call_tool(name, args, read_timeout_seconds=self._timeout)
            except Exception:
                if connection is None or await connection.is_alive() or not again:
                    raise
                client = await self._client()
                connection = self._connection
                result = await client.call_tool(name, args, read_timeout_seconds=self._timeout)
        except ToolError:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) or (isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT):
                raise ToolTimeoutError(
                    f"{name} took longer than {self._timeout:g} s on {self!r} and was cancelled"
                ) from error
            if connection is None or await connection.is_alive():
                raise ToolError(f"{name} failed on {self!r}: {error}") from error
            raise self._failure(f"died during {name}, which may or may not have been done", error) from error
        text = text_of(result)
        if result.is_error:
            raise ToolError(text or f"{name} failed on {self!r} without saying why")
        return text

    async def _client(self) -> Client:
        """Return the client of a live connection: the present one, or a new one."""
        loop = asyncio.get_running_loop()
        async with self._turn():
            connection = self._connection
            if connection is not None and connection.loop is not loop:
                if not connection.loop.is_closed():
                    raise ToolError(f"{self!r} is in use on another event loop; make one for each")
                connection = self._connection = None  # its loop has ended, and it with it
            if connection is not None and not await connection.is_alive():
                now = self._clock()
                if isinstance(self._target, tuple):  # nobody starts a URL: each call sees whether it is back
                    if self._restarted is not None and now - self._restarted < _STEADY:
                        raise self._failure("died again after it was restarted; it is not restarted any more", None)
                    self._restarted = now
                await connection.aclose()
                connection = None
            if connection is None:
                connection = self._connection = await self._connect()
            return await connection.client()

    def _turn(self) -> asyncio.Lock:
        """The lock of the running loop: one task at a time connects or lists."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = (loop, asyncio.Lock())
        return self._lock[1]

    async def _connect(self) -> Connection:
        connection = Connection(
            self._target,
            env=self._env,
            cwd=self._cwd,
            headers=self._headers,
            timeout=self._timeout,
            changed=self._forget,
        )
        self._connection = connection
        self._forget()
        try:
            async with asyncio.timeout(self._start_timeout):
                client = await connection.client()
        except BaseException as error:
            await connection.aclose()
            if not isinstance(error, Exception):
                self._connection = None
                raise
            failure = self._failure(
                "could not be started" if isinstance(self._target, tuple) else "is not there", error
            )
            self._connection = None
            raise failure from error
        if not self._named and client.server_info is not None:
            self.name = client.server_info.name
        return connection

    def _forget(self) -> None:
        self._stale = True

    def _failure(self, what: str, error: BaseException | None) -> ToolError:
        text = f"the MCP server {self!r} {what}"
        if isinstance(error, TimeoutError):
            text += f": no answer within {self._start_timeout:g} s"
        elif error is not None:
            text += f": {type(error).__name__}: {error}" if str(error) else f": {type(error).__name__}"
        words = self._connection.last_words if self._connection is not None else ""
        return ToolError(f"{text}; it last said: {words[-300:]}" if words else text)


def _target(target: str | Sequence[str]) -> Target:
    if isinstance(target, str):
        if target.startswith(("http://", "https://")):
            return target
        raise ToolDefinitionError(
            "an MCP server is a URL or a command line in parts, as in MCPServer(['uvx', 'mcp-server-time']), not "
            f"{target!r}"
        )
    line = tuple(target)
    if not line or not all(isinstance(part, str) for part in line):
        raise ToolDefinitionError("the command line of an MCP server is a sequence of strings, of which one at least")
    return line
