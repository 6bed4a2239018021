"""The connection to a server: one task makes it, lists the tools whenever they may have changed, and makes it anew."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import TransportStreams

_log = structlog.get_logger("cairn.mcp")

Listed = Sequence[Mapping[str, Any]]
Connect = Callable[[Callable[[], None]], AbstractAsyncContextManager["TransportStreams"]]
"""Makes a transport; calls what it is handed when the transport has ended."""

_BACKOFF = (0.5, 60.0)
_STEADY_SECONDS = 30.0
_RELIST_SECONDS = 1.0
_PAGES = 50
_MOST_TOOLS = 500
_MOST_BYTES = 8 << 20
_CLOSE_SECONDS = 8.0
_IDLE_SECONDS = 60.0


class Link:
    """Keeps a connection to one server.

    The SDK's connections belong to the task that opened them, so a task of the link's does all but the calls.

    Args:
        name: The server's, for the log.
        connect: Makes a transport.
        listed: Told what the server lists, each time it was asked.
        seconds: How long connecting and listing may take.
        hide: Takes credentials out of what is logged.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        listed: Callable[[Listed], Awaitable[None]],
        seconds: float,
        hide: Callable[[str], str],
    ) -> None:
        self._name = name
        self._connect = connect
        self._listed = listed
        self._seconds = seconds
        self._hide = hide
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._tried = asyncio.Event()
        self._ready = asyncio.Event()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._calls = 0
        self._lost = False

    async def open(self) -> None:
        """Begin to connect; returns when the tools were listed, or the first attempt has failed."""
        if self._task is None:
            self._task = asyncio.create_task(self._own(), name=f"mcp {self._name}")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._tried.wait()

    async def client(self, seconds: float) -> "Client | None":
        """The connection, waited for as long if there is none; None when there is none then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        return self._client

    def renew(self, client: "Client") -> None:
        """Give a connection up that is of no use any more, once the calls under way have come to their end."""
        if self._client is client:
            self._end()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A call is under way: a connection that is given up for another waits for it."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def aclose(self) -> None:
        """End the connection, and whatever keeps it. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=_CLOSE_SECONDS)

    def _end(self) -> None:
        self._client = None
        self._ready.clear()
        self._lost = True
        self._news.set()

    async def _own(self) -> None:
        delay = _BACKOFF[0]
        while True:
            began = time.monotonic()
            try:
                await self._live()
                _log.warning("the connection to a server was lost", server=self._name)
            except Exception as error:  # noqa: BLE001 - whatever a server does, the next attempt may succeed
                _log.warning("a server cannot be used", server=self._name, error=self._hide(_reason(error)))
            finally:
                self._end()
                self._tried.set()
            if time.monotonic() - began > _STEADY_SECONDS:
                delay = _BACKOFF[0]
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay = min(2 * delay, _BACKOFF[1])

    async def _live(self) -> None:
        """One connection, from its beginning to its end."""
        self._lost = False
        self._news.clear()
        async with AsyncExitStack() as held:
            async with asyncio.timeout(self._seconds):
                client = await held.enter_async_context(self._opened())
                await self._listed(await _tools(client))
            watching = asyncio.create_task(self._watch(client))
            held.push_async_callback(_stop, watching)
            if not self._lost:
                self._client = client
                self._ready.set()
                self._tried.set()
                _log.info("connected to a server", server=self._name, protocol=client.protocol_version)
            while await self._something_new():
                async with asyncio.timeout(self._seconds):
                    await self._listed(await _tools(client))
                # However often a server says that its tools have changed.
                await asyncio.sleep(_RELIST_SECONDS)
            await self._until_idle()

    async def _until_idle(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                while self._calls:
                    self._idle.clear()
                    await self._idle.wait()

    async def _something_new(self) -> bool:
        await self._news.wait()
        self._news.clear()
        return not self._lost

    def _opened(self) -> "Client":
        from mcp import Client
        from mcp.types import Implementation

        async def heard(message: Any) -> None:
            if getattr(message, "method", "") == "notifications/tools/list_changed":
                self._news.set()

        return Client(
            self._connect(self._end),
            client_info=Implementation(name="cairn", version="1"),
            message_handler=heard,
            cache=None,
        )

    async def _watch(self, client: "Client") -> None:
        """Hear of changes where a server tells them only to those who ask (from the revision 2026-07-28 on)."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._news.set()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost, TimeoutError) as error:
                _log.debug("changes are not heard", server=self._name, error=self._hide(_reason(error)))
            await asyncio.sleep(_BACKOFF[1])
            self._news.set()


async def _tools(client: "Client") -> Listed:
    """All that the server lists, as JSON data.

    Raises:
        ValueError: It lists more than anybody needs.
    """
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    size = 0
    for _ in range(_PAGES):
        page = await client.list_tools(cursor=cursor)
        size += len(page.model_dump_json())
        found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.next_cursor
        if len(found) > _MOST_TOOLS or size > _MOST_BYTES:
            raise ValueError(f"it lists more than {_MOST_TOOLS} tools, or than {_MOST_BYTES} bytes")
        if not cursor:
            return found
    raise ValueError(f"it lists its tools on more than {_PAGES} pages")


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _reason(error: BaseException) -> str:
    """The innermost of a group's errors, which tells most."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return "it took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"[:500]
