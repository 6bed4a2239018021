"""Sessions of clients of the older revisions: how many there may be, and which one goes when there are too many."""

from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"mcp-session-id"


@dataclass(slots=True)
class _Session:
    owner: tuple[str, str] | None
    user: Any
    used: int
    requests: int = 0


class SessionLimit:
    """Bounds the sessions of an application that keeps them: a further one takes the place of one that is idle.

    Of whoever has the most sessions the one goes that was not used for longest; its client is told that it has ended
    (404), and opens another (Streamable HTTP, "Session Management"). One with a request under way, an open stream too,
    is never ended; where there are only such, the application itself refuses.

    Args:
        app: Answers the requests; ends a session when it is asked to by ``DELETE``.
        most: How many sessions there may be.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._sessions: dict[str, _Session] = {}
        self._opening = 0
        self._requests = 0

    def __len__(self) -> int:
        return len(self._sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session_id = _header(scope)
        if session_id is None:
            await self._opened(scope, receive, send)
            return
        with self._in_use(session_id):
            status = await self._answered(scope, receive, send)
        if status == 404 or (scope["method"] == "DELETE" and status < 400):
            self._sessions.pop(session_id, None)

    async def _opened(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._opening += 1
        try:
            while len(self._sessions) + self._opening > self._most and (idle := self._idle()) is not None:
                await self._end(idle)
            await self._answered(scope, receive, send)
        finally:
            self._opening -= 1

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Let the application answer; gives the status."""
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._note(scope, message)
            await send(message)

        await self._app(scope, receive, sent)
        return status

    def _note(self, scope: Scope, message: Message) -> None:
        """Remember the session that an answer opens."""
        session_id = _header(message)
        if session_id is not None and _header(scope) is None and message["status"] < 400:
            principal = scope.get("state", {}).get("principal")
            owner = None if principal is None else (principal.tenant, principal.id)
            self._requests += 1
            self._sessions[session_id] = _Session(owner, scope.get("user"), self._requests)

    @contextmanager
    def _in_use(self, session_id: str) -> Iterator[None]:
        session = self._sessions.get(session_id)
        if session is None:
            yield
            return
        session.requests += 1
        try:
            yield
        finally:
            session.requests -= 1
            self._requests += 1
            session.used = self._requests

    def _idle(self) -> str | None:
        """The session that is the first to go."""
        many = Counter(session.owner for session in self._sessions.values())
        idle = [(-many[each.owner], each.used, key) for key, each in self._sessions.items() if not each.requests]
        return min(idle)[2] if idle else None

    async def _end(self, session_id: str) -> None:
        session = self._sessions.pop(session_id)
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "DELETE",
            "scheme": "http",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "root_path": "",
            "headers": [(HEADER, session_id.encode())],
            "user": session.user,
        }
        await self._app(scope, _nothing, _unheard)


def _header(carrier: MutableMapping[str, Any]) -> str | None:
    found = next((value for name, value in carrier.get("headers", ()) if name.lower() == HEADER), None)
    return found.decode("latin-1") if found is not None else None


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _unheard(_: Message) -> None:
    """The application's answer to this module's own request."""
