"""A server at a URL: requests go out as a back end's do, to public addresses only unless another one is meant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp import TraceConfig as Tracing
from yarl import URL

from records.egress import public_resolver, refusal
from tools.http.address import Addresses
from tools.http.errors import ApiNotReached

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_OURS = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent"})
_NO_ANSWER = 503
_FAREWELL_SECONDS = 2.0
_CONNECTIONS = 64


@dataclass(slots=True)
class Exchange:
    """What is known of the requests that one call has caused.

    Attributes:
        sent: Whether anything of them may have left this process.
        status: What the last POST was answered with.
        reason: Why there is no answer.
    """

    sent: bool = False
    status: int | None = None
    reason: str = ""


EXCHANGE: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""The exchange of the call that this task makes; the SDK's own tasks inherit it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server is, and what it is told with each request."""

    addresses: Addresses
    headers: Mapping[str, str] = field(repr=False)
    connect: float
    answer_bytes: int


@asynccontextmanager
async def http_client(place: Place) -> AsyncIterator[httpx2.AsyncClient]:
    """The client that the SDK sends with. It knows no proxies and no cookies, and follows nothing by itself."""
    tracing = Tracing()
    tracing.on_request_headers_sent.append(_mark_sent)
    session = ClientSession(
        connector=TCPConnector(limit=_CONNECTIONS, resolver=public_resolver(place.addresses.is_exempt)),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=place.connect),
        trace_configs=[tracing],
        trust_env=False,
        auto_decompress=False,
    )
    async with session, httpx2.AsyncClient(transport=_Transport(session, place), trust_env=False) as client:
        yield client


async def _mark_sent(_session: Any, context: Any, _params: Any) -> None:
    exchange = context.trace_request_ctx
    if exchange is not None:
        exchange.sent = True


class _Transport(httpx2.AsyncBaseTransport):
    """Sends requests through the one kind of connection that the egress rule holds for.

    A request that fails is answered with 503: the SDK would end the whole connection, with all calls under way, over an
    exception. What it was is in the call's exchange.
    """

    def __init__(self, session: ClientSession, place: Place) -> None:
        self._session = session
        self._place = place
        # Nobody waits long for a server to take note that its client leaves.
        self._farewell = ClientTimeout(total=_FAREWELL_SECONDS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = EXCHANGE.get() or Exchange()
        try:
            return await self._send(request, exchange)
        except ApiNotReached as error:
            exchange.reason = str(error)
        except ClientConnectorError as error:
            private = refusal(error)
            exchange.reason = str(private) if private else f"no connection could be made to {request.url.host}"
        except (ClientError, OSError, TimeoutError):
            exchange.reason = "the connection broke before there was an answer"
        return httpx2.Response(_NO_ANSWER, request=request)

    async def _send(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        url = str(request.url)
        self._place.addresses.check(url)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
        if self._place.addresses.is_own(url):
            headers |= self._place.headers
        # No compression: a small answer must not become a large one.
        response = await self._session.request(
            request.method,
            URL(url, encoded=True),
            headers={**headers, "Accept-Encoding": "identity"},
            data=await request.aread() or None,
            allow_redirects=False,
            timeout=self._farewell if request.method == "DELETE" else self._session.timeout,
            trace_request_ctx=exchange,
        )
        if request.method == "POST":  # what a request to resume a stream is answered with proves nothing of the call
            exchange.status = response.status
        return httpx2.Response(
            response.status,
            headers=[(name, value) for name, value in response.headers.items() if name.lower() != "set-cookie"],
            stream=_Body(response, self._place.answer_bytes, exchange),
            request=request,
        )


class _Body(httpx2.AsyncByteStream):
    """An answer, up to as many bytes as it may have; of a stream of events the SDK bounds each."""

    def __init__(self, response: ClientResponse, most: int, exchange: Exchange) -> None:
        self._response = response
        self._most = most
        self._exchange = exchange
        self._endless = response.content_type == "text/event-stream"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self._broken("the answer is compressed, which was not asked for")
        read = 0
        try:
            async for piece in self._response.content.iter_any():
                read += len(piece)
                if read > self._most and not self._endless:
                    raise self._broken(f"the answer has more than {self._most} bytes")
                yield piece
        except (ClientError, OSError, TimeoutError):
            raise self._broken("the connection broke before the answer was complete") from None

    async def aclose(self) -> None:
        self._response.close()

    def _broken(self, reason: str) -> httpx2.StreamError:
        # Of all errors the SDK expects this one while it reads an answer.
        self._exchange.reason = reason
        return httpx2.StreamError(reason)
