"""The route ``/mcp``: streamable HTTP as the SDK speaks it, behind the guard that every route has."""

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from records.principal import Principal
from service.mcp.calls import Calls
from service.mcp.sessions import SessionLimit
from service.services import Services
from service.version import cairn_version

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_MOST_BYTES = 1 << 20
_IDLE_SECONDS = 1800.0
_INSTRUCTIONS = (
    "Calls that change something may wait for a person: the answer says so, and what became of them is told by "
    "get_call_result. A call that may be sent twice carries a key in _meta, under cairn/idempotency-key."
)


class McpEndpoint:
    """An ASGI application that answers MCP clients.

    Args:
        services: What the calls are made with.
        sessions: Whether it keeps the sessions of the older revisions of the protocol, in which a client can cancel a
            call. Where several services share the work none does, so that any of them may answer any request.
    """

    def __init__(self, services: Services, *, sessions: bool) -> None:
        self._calls = Calls(services)
        most = services.settings.mcp_sessions
        self._manager = _manager(self._calls, stateless=not sessions, most=most)
        self._handle: ASGIApp = self._manager.handle_request
        if sessions:
            self._handle = SessionLimit(self._handle, most)
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.route = Route("/mcp", endpoint=self, methods=None, include_in_schema=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The guard counts requests by their route, and has found out who asks.
        scope["route"] = self.route
        scope["user"] = _user(scope.get("state", {}).get("principal"))
        await self._begin()
        await self._handle(scope, receive, send)

    async def aclose(self) -> None:
        """End all sessions. Safe to call twice."""
        self._calls.closing = True
        self._over.set()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    async def _begin(self) -> None:
        # The SDK's sessions belong to one task, which must be none that a request has, nor log as if it were.
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="mcp sessions", context=Context())
        await self._ready.wait()

    async def _run(self) -> None:
        async with self._manager.run():
            self._ready.set()
            await self._over.wait()


def _manager(calls: Calls, *, stateless: bool, most: int) -> "StreamableHTTPSessionManager":
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    server = Server(
        "cairn",
        version=cairn_version(),
        instructions=_INSTRUCTIONS,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
        # No argument is repeated in a header, so there is nothing to compare.
        get_tool_input_schema=lambda _: None,
    )
    return StreamableHTTPSessionManager(
        server,
        stateless=stateless,
        session_idle_timeout=_IDLE_SECONDS,
        max_sessions=most,
        max_request_body_size=_MOST_BYTES,
    )


def _user(principal: Principal | None) -> object:
    """Who asks, as the SDK compares it: a session is its opener's alone."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    if principal is None:
        return None
    return AuthenticatedUser(
        AccessToken(token="", client_id=principal.id, subject=principal.id, scopes=[], claims={"iss": principal.tenant})
    )
