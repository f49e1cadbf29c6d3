"""One connection to an MCP server, kept by a task of its own."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from mcp.client import Client

__all__ = ["Connection", "Target"]

Target = str | tuple[str, ...]
"""A URL, or a command line."""

_LAST_WORDS = 2000
_TURNS = 10


class Connection:
    """A connection that is entered and left in one task, as the SDK demands, and used from any of the same loop.

    Args:
        target: what to connect to.
        env: further variables of a command's environment.
        cwd: where a command runs.
        headers: sent with each request to a URL.
        timeout: seconds that one request may take.
        changed: called when the server says that its tools changed.
    """

    def __init__(
        self,
        target: Target,
        *,
        env: Mapping[str, str] | None,
        cwd: str | None,
        headers: Mapping[str, str] | None,
        timeout: float,
        changed: Callable[[], None],
    ) -> None:
        self._target = target
        self._env = env
        self._cwd = cwd
        self._headers = headers
        self._timeout = timeout
        self._changed = changed
        self._ended = False
        self._stop = asyncio.Event()
        self._words = _LastWords()
        self.loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Client] = self.loop.create_future()
        self._task = self.loop.create_task(self._keep(), name="hotloop-mcp")

    async def client(self) -> Client:
        """Return the client once it is connected.

        Raises:
            Exception: whatever kept it from connecting.
        """
        return await asyncio.shield(self._ready)

    async def is_alive(self) -> bool:
        """Return whether the server is still there, as far as the event loop can know by now."""
        for _ in range(_TURNS):  # the end of a process takes some turns of the loop to be noticed
            if self._ended or self._task.done():
                return False
            await asyncio.sleep(0)
        return True

    @property
    def last_words(self) -> str:
        """The end of what a command wrote to standard error."""
        return self._words.text.decode(errors="replace").strip()

    async def aclose(self) -> None:
        """End the connection, and the command with all that it started."""
        self._stop.set()
        if self.loop is not asyncio.get_running_loop():
            return  # that loop has ended, and cancelled the task
        if not self._ready.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep(self) -> None:
        from mcp.client import Client
        from mcp_types import Implementation, ToolListChangedNotification

        async def heard(message: Any) -> None:
            if isinstance(message, ToolListChangedNotification):
                self._changed()
            await asyncio.sleep(0)

        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(
                    Client(
                        self._watched(await self._transport(stack)),
                        read_timeout_seconds=self._timeout,
                        message_handler=heard,
                        client_info=Implementation(name="hotloop", version="1"),
                    )
                )
                listening = self.loop.create_task(self._listen(client))
                self._ready.set_result(client)
                try:
                    await self._stop.wait()
                finally:
                    listening.cancel()
                    await asyncio.wait([listening])
        except Exception as error:  # noqa: BLE001 - handed on to who waits for the connection; later, it only ended
            if not self._ready.done():
                self._ready.set_exception(_plain(error))
        finally:
            self._ended = True
            self._ready.cancel()

    async def _transport(self, stack: AsyncExitStack) -> AbstractAsyncContextManager[Any]:
        if isinstance(self._target, str):
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

            http = create_mcp_http_client(headers=dict(self._headers or {}))
            return streamable_http_client(self._target, http_client=await stack.enter_async_context(http))
        from mcp.client.stdio import StdioServerParameters, stdio_client

        command, *args = self._target
        params = StdioServerParameters(
            command=command, args=args, env=None if self._env is None else dict(self._env), cwd=self._cwd
        )
        ours, theirs = os.pipe()
        errors = stack.enter_context(os.fdopen(theirs, "w"))
        reader, _ = await self.loop.connect_read_pipe(lambda: self._words, os.fdopen(ours, "rb", 0))
        stack.callback(reader.close)
        return stdio_client(params, errlog=errors)

    @asynccontextmanager
    async def _watched(self, transport: AbstractAsyncContextManager[Any]) -> AsyncGenerator[tuple[Any, Any]]:
        async with transport as (incoming, outgoing):
            yield _Watched(incoming, self._end), outgoing

    def _end(self) -> None:
        self._ended = True

    async def _listen(self, client: Client) -> None:
        """Hear of changes where the protocol has a stream for them; older servers send them anyway."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        with suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._changed()


class _Watched:
    """What a server says: without the schemas of its results, and with a word when it has ended, as the server has.

    The SDK checks results against those schemas on the event loop, where one regular expression of a hostile server
    would hold it for ever. Nothing here needs them: a model reads a result as it is.
    """

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            message = await self._stream.__anext__()
        except BaseException:
            self._ended()
            raise
        result = getattr(getattr(message, "message", None), "result", None)
        tools = result.get("tools") if isinstance(result, dict) else None
        for found in tools if isinstance(tools, list) else ():
            if isinstance(found, dict):
                found.pop("outputSchema", None)
        return message

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)


class _LastWords(asyncio.Protocol):
    """Keeps the end of what a server writes to standard error."""

    def __init__(self) -> None:
        self.text = b""

    def data_received(self, data: bytes) -> None:
        self.text = (self.text + data)[-_LAST_WORDS:]


def _plain(error: BaseException) -> BaseException:
    """Return the first of the errors that a task group made a group of."""
    while isinstance(error, BaseExceptionGroup):
        inner: Sequence[BaseException] = error.exceptions
        error = inner[0]
    return error
