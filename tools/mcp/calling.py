"""One call of a server's tool, and what its end proves: an answer, that nothing was done, or nothing at all."""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog

from tools.mcp.described import readable
from tools.mcp.link import Link
from tools.mcp.results import result_of, text_of
from tools.outcome import ToolError, refuses
from tools.results import Effect, ToolContext, ToolResult

if TYPE_CHECKING:
    from mcp import Client
    from mcp.shared.exceptions import MCPError
    from mcp.types import CallToolResult, InputRequiredResult
    from pydantic import TypeAdapter

    from tools.mcp.http import Exchange

_log = structlog.get_logger("cairn.mcp")

KEY = "cairn/idempotency-key"
"""Where a call's ``_meta`` has the key under which it acts once."""

_MESSAGE = 500
_WAIT_SECONDS = 5.0
_PATIENCE = 3
"""Calls in a row that are given up before the connection is, too: a program that hangs is started anew."""

_NOT_UNDERSTOOD = frozenset({-32601, -32602})
"""No such method, invalid parameters (JSON-RPC 2.0, 5.1): said before anything is done."""


class McpNotReached(ToolError):
    """Nothing was sent, or the server refused the request."""


class McpSessionEnded(McpNotReached):
    """The server does not know the session any more."""


class McpFailed(ToolError):
    """The server says that the tool has failed, and that means that nothing was done."""


class McpUnclear(Exception):
    """A request was sent, and what came back does not say what was done."""


class Caller:
    """Makes the calls to one server.

    Args:
        server: Its name.
        link: The connection to it.
        hide: Takes credentials out of what it says.
        trust_errors: Whether an error that it answers means that nothing was done.
    """

    def __init__(self, server: str, link: Link, hide: Callable[[str], str], *, trust_errors: bool) -> None:
        self._server = server
        self._link = link
        self._hide = hide
        self._trust_errors = trust_errors
        self._leaving: set[asyncio.Task[Any]] = set()
        self._unanswered = 0

    async def call(
        self, tool: str, arguments: Mapping[str, Any], context: ToolContext, effect: Effect, seconds: float
    ) -> ToolResult:
        """Call a tool.

        Raises:
            McpNotReached: There is no connection, or the server refused the request.
            McpFailed: The server answered an error, which means that nothing was done.
            McpUnclear: Nobody knows what was done.
        """
        try:
            answer = await self._answer(tool, arguments, context, seconds)
        except McpSessionEnded:  # nothing was done; another session is soon to be had
            answer = await self._answer(tool, arguments, context, seconds)
        if not answer.is_error:
            return result_of(answer, self._hide)
        said = readable(self._hide(text_of(answer)), _MESSAGE)
        if effect == "read" or self._trust_errors:
            raise McpFailed(f"the server says: {said}")
        _log.warning("a tool with an effect answered an error", server=self._server, tool=tool, error=said)
        raise McpUnclear(f"the server answered an error: {said}")

    async def _answer(
        self, tool: str, arguments: Mapping[str, Any], context: ToolContext, seconds: float
    ) -> "CallToolResult":
        client = await self._link.client(min(_WAIT_SECONDS, seconds / 2))
        if client is None:
            raise McpNotReached(f"the server {self._server} cannot be reached now")
        # The SDK tells a server that a call is given up, which may take its time: nobody waits for that.
        with self._link.calling():
            asking = asyncio.create_task(self._ask(client, tool, arguments, context))
            self._leaving.add(asking)
            asking.add_done_callback(self._left)
            try:
                await asyncio.wait([asking])
            except asyncio.CancelledError:
                asking.cancel()
                self._unanswered += 1
                if self._unanswered >= _PATIENCE:
                    self._unanswered = 0
                    _log.warning("a server does not answer any more", server=self._server)
                    self._link.renew(client)
                raise
            self._unanswered = 0
            return asking.result()

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()

    async def _ask(
        self, client: "Client", tool: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> "CallToolResult":
        from mcp.shared.exceptions import MCPError
        from mcp.types import INVALID_REQUEST, CallToolRequest, CallToolRequestParams, CallToolResult

        from tools.mcp.http import EXCHANGE, Exchange

        exchange = Exchange()
        EXCHANGE.set(exchange)
        meta: Any = {KEY: context.idempotency_key}
        params = CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=meta)
        try:
            # Not call_tool: what does not fit a schema of the server's own was done all the same.
            answer = await client.session.send_request(CallToolRequest(params=params), _answers())
        except MCPError as error:
            # A session that the server does not know any more is told so (Streamable HTTP, "Session Management").
            if exchange.status == 404 and error.code == INVALID_REQUEST:
                self._link.renew(client)
                raise McpSessionEnded("the server has ended the session") from None
            raise self._translated(error, exchange) from None
        except (ValueError, RuntimeError) as error:
            raise McpUnclear(f"the server answered what is no result ({type(error).__name__})") from None
        if not isinstance(answer, CallToolResult):
            raise McpUnclear("the server asks for more input, which it cannot get here")
        return answer

    def _translated(self, error: "MCPError", exchange: "Exchange") -> Exception:
        status = exchange.status
        said = readable(self._hide(error.message), _MESSAGE)
        if exchange.reason:
            return (McpUnclear if exchange.sent else McpNotReached)(exchange.reason)
        if status is not None and refuses(status):
            return McpNotReached(f"the server answered {status}: {said}")
        if error.code in _NOT_UNDERSTOOD and status != 202:
            return McpNotReached(f"the server refused the request: {said}")
        return McpUnclear(said)


@cache
def _answers() -> "TypeAdapter[CallToolResult | InputRequiredResult]":
    from mcp.types import CallToolResult, InputRequiredResult
    from pydantic import TypeAdapter

    return TypeAdapter(CallToolResult | InputRequiredResult)
