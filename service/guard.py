"""What every request must pass first: it is somebody's, comes from where it may, and is no larger than it may be.

While no key exists only this machine may ask, so a page from elsewhere that the user's browser shows must not be able
to: its requests name its own origin, or (DNS rebinding) a host name that is not this machine's. A key needs no such
guard, since a browser sends it for nobody but the page that holds it.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from records.ids import new_id
from service.identity import Identity
from service.metrics import Metrics
from service.problems import ProblemError, problem

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})

_FOR_EVERYBODY = frozenset({"/livez", "/readyz", "/"})
_PAGE = "/page/"


class Guard:
    """ASGI middleware: principal, host, origin and size of a request, and the count of its answer."""

    def __init__(self, app: ASGIApp, *, identity: Identity, metrics: Metrics, max_body_bytes: int) -> None:
        self._app = app
        self._identity = identity
        self._metrics = metrics
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=new_id())
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status != 101:
                status = 403
            await send(message)

        try:
            try:
                await self._admit(scope)
            except ProblemError as refusal:
                self._metrics.problem(refusal.code)
                await problem(refusal.status, refusal.code, refusal.detail)(scope, receive, counted)
            else:
                await self._app(scope, self._bounded(receive), counted)
        finally:
            route = scope.get("route")
            self._metrics.request(getattr(route, "path", "other"), status)

    async def _admit(self, scope: Scope) -> None:
        """Leave in the scope who asks, where that matters; raise the problem of a request that must not go on."""
        headers = dict(scope["headers"])
        path: str = scope["path"]
        if path not in _FOR_EVERYBODY and not path.startswith(_PAGE):
            await self._authenticate(scope, headers.get(b"authorization"))
        if self._identity.open and not _from_here(headers):
            raise ProblemError(
                403, "forbidden_origin", "without keys only pages and programs of this machine may use the service"
            )
        if int(headers.get(b"content-length") or 0) > self._max:
            raise self._too_large()

    async def _authenticate(self, scope: Scope, authorization: bytes | None) -> None:
        try:
            principal = await self._identity.authenticate(authorization)
        except ProblemError as refusal:
            # Browsers cannot send the header with a WebSocket: such a one says who it is in its first message.
            if scope["type"] == "websocket" and authorization is None and refusal.code == "unauthenticated":
                return
            raise
        scope.setdefault("state", {})["principal"] = principal

    def _too_large(self) -> ProblemError:
        return ProblemError(413, "too_large", f"the request has more than {self._max} bytes (http.max_body_bytes)")

    def _bounded(self, receive: Receive) -> Receive:
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max:
                # Of all exceptions FastAPI lets only this one through while it reads a body.
                too_large = self._too_large()
                raise HTTPException(too_large.status, too_large.detail)
            return message

        return bounded


def _from_here(headers: Mapping[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    origin = headers.get(b"origin")
    return _hostname(host) in LOOPBACK and (origin is None or urlsplit(origin.decode("latin-1").lower()).netloc == host)


def _hostname(netloc: str) -> str:
    host, _, port = netloc.rpartition(":")
    return host if port.isdigit() else netloc
