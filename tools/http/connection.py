"""The wire: one pooled session, requests that pass the gate of their host, answers read within their limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from pydantic_core import from_json

from records.egress import public_resolver, refusal
from tools.http.address import Addresses
from tools.http.answer import Answer
from tools.http.auth import Grant
from tools.http.errors import ApiNotReached, TokenRefused
from tools.http.limits import CircuitBreaker, HttpLimits

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_BROKEN = frozenset({502, 503, 504})
_TOKEN_BYTES = 1 << 16
_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_token",
        "invalid_scope",
        "invalid_target",
        "access_denied",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """One attempt at a request.

    Attributes:
        sent: Whether any of it may have left this process.
    """

    method: str
    url: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    granted: Grant = field(default_factory=Grant, repr=False)
    sent: bool = False

    def with_grants(self, grants: Sequence[Grant]) -> Outgoing:
        """A new attempt, with these credentials."""
        merged = Grant(
            headers={name: value for grant in grants for name, value in grant.headers.items()},
            query={name: value for grant in grants for name, value in grant.query.items()},
            cookies={name: value for grant in grants for name, value in grant.cookies.items()},
            secrets=tuple(secret for grant in grants for secret in grant.secrets),
            for_subject=any(grant.for_subject for grant in grants),
        )
        return replace(self, granted=merged, sent=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt without an answer.

    Attributes:
        sent: Whether the request may have reached the back end.
        passing: Whether the next attempt may end better.
    """

    reason: str
    sent: bool
    passing: bool = True


class Connection:
    """Sends requests to one API. Connections are made when they are needed."""

    def __init__(self, addresses: Addresses, limits: HttpLimits) -> None:
        self._addresses = addresses
        self._limits = limits
        self._session: ClientSession | None = None
        self._gates: dict[str, _Gate] = {}

    async def send(self, outgoing: Outgoing) -> Answer | Lost:
        """The answer, or how it was lost.

        Raises:
            ApiNotReached: It may not be sent: the address is private, or the host is left alone for now.
        """
        return await self._send(outgoing, self._limits.response_bytes)

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """Post a form to a token endpoint, which is its own host, and give the JSON that came back.

        Raises:
            TokenRefused: It answered with an error.
            ApiNotReached: It gives none; the message does not say what it sent.
        """
        sent = {**headers, "Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        outgoing = Outgoing(method="POST", url=url, headers=sent, body=urlencode(form).encode())
        answer = await self._send(outgoing, _TOKEN_BYTES)
        if isinstance(answer, Lost):
            raise ApiNotReached(f"no token could be fetched: {answer.reason}")
        if answer.status != 200:
            code = _code(answer)
            said = f"{answer.status}{f' {code}' if code else ''}"
            raise TokenRefused(f"no token could be fetched: the token endpoint answered {said}", answer.status, code)
        try:
            return from_json(answer.body)
        except ValueError:
            pass
        raise ApiNotReached("no token could be fetched: the token endpoint answered something that is not JSON")

    def timed_out(self, outgoing: Outgoing) -> None:
        """Told that a request was given up because of its total time."""
        if outgoing.sent:
            self._gate(urlsplit(outgoing.url).hostname or "").breaker.failed()

    async def aclose(self) -> None:
        session, self._session = self._session, None
        self._gates.clear()
        if session is not None:
            await session.close()

    async def _send(self, outgoing: Outgoing, most: int) -> Answer | Lost:
        from aiohttp import ClientError

        self._addresses.check(outgoing.url)
        gate = self._gate(urlsplit(outgoing.url).hostname or "")
        if not gate.breaker.admits():
            raise ApiNotReached(f"the back end has failed several times in a row; try again in {self._limits.rest:g} s")
        async with gate.slots:
            last: Answer | Lost
            try:
                last = await self._follow(outgoing, most)
            except (ClientError, OSError, ValueError, _TooLarge) as error:
                # Not the error's own text: it may show the URL, and with it a key in the query.
                last = _lost(error, outgoing, most)
        gone_wrong = last.passing if isinstance(last, Lost) else last.status in _BROKEN
        if gone_wrong:
            gate.breaker.failed()
        else:
            gate.breaker.succeeded()
        return last

    async def _follow(self, outgoing: Outgoing, most: int) -> Answer:
        from yarl import URL

        url = outgoing.url
        query: Sequence[tuple[str, str]] = outgoing.query
        followed = 0
        while True:
            self._addresses.check(url)
            # Credentials are for the API (or the token endpoint they are sent to), never for where it leads.
            own = url == outgoing.url or self._addresses.is_own(url)
            granted = outgoing.granted if own else Grant()
            pairs = [*query, *granted.query.items()]
            target = f"{url}{'&' if '?' in url else '?'}{urlencode(pairs)}" if pairs else url
            async with self._opened().request(
                outgoing.method,
                URL(target, encoded=True),
                headers=_headers(outgoing, granted, own=own),
                data=outgoing.body,
                allow_redirects=False,
                trace_request_ctx=outgoing,
            ) as response:
                following = self._redirect(outgoing.method, url, response) if followed < _MAX_REDIRECTS else None
                if following is None:
                    return (await _read(response, most)).without(outgoing.granted.secrets)
                url, query, followed = following, (), followed + 1

    def _redirect(self, method: str, url: str, response: ClientResponse) -> str | None:
        if response.status not in _REDIRECTS or method not in {"GET", "HEAD"}:
            return None
        return self._addresses.redirect(url, response.headers.get("Location", ""))

    def _gate(self, host: str) -> _Gate:
        if host not in self._gates:
            limits = self._limits
            self._gates[host] = _Gate(
                slots=asyncio.Semaphore(limits.concurrency), breaker=CircuitBreaker(limits.failures, limits.rest)
            )
        return self._gates[host]

    def _opened(self) -> ClientSession:
        if self._session is None or self._session.closed:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(limit=0, resolver=public_resolver(self._addresses.is_exempt)),
                # One client serves all users: what one of them is given must not be sent for another.
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, sock_connect=self._limits.connect, sock_read=self._limits.read),
                trace_configs=[_watching_what_is_sent()],
                trust_env=False,
            )
        return self._session


@dataclass(frozen=True, slots=True)
class _Gate:
    """What all requests to one host go through."""

    slots: asyncio.Semaphore
    breaker: CircuitBreaker


class _TooLarge(Exception):
    """An answer has more bytes than it may."""


def _watching_what_is_sent() -> Any:
    """Marks an attempt as sent as soon as its first byte may have left: only before that is nothing sure to be done."""
    from aiohttp import TraceConfig

    async def mark(_session: Any, context: Any, _params: Any) -> None:
        context.trace_request_ctx.sent = True

    config = TraceConfig()
    config.on_request_headers_sent.append(mark)
    config.on_request_chunk_sent.append(mark)
    return config


def _headers(outgoing: Outgoing, granted: Grant, *, own: bool) -> dict[str, str]:
    headers = {**outgoing.headers, **granted.headers}
    if not own:
        headers = {name: value for name, value in headers.items() if name.lower() in {"accept", "accept-language"}}
    if granted.cookies:
        pairs = [*([headers["Cookie"]] if "Cookie" in headers else []), *map("=".join, granted.cookies.items())]
        headers["Cookie"] = "; ".join(pairs)
    return headers


def _code(answer: Answer) -> str:
    """Why a token endpoint refuses, where it says so in a word that is known: it may repeat what it was sent."""
    try:
        data = from_json(answer.body)
    except ValueError:
        return ""
    code = data.get("error") if isinstance(data, dict) else None
    return code if isinstance(code, str) and code in _CODES else ""


async def _read(response: ClientResponse, most: int) -> Answer:
    body = bytearray()
    # Uncompressed bytes are counted, whatever Content-Length says.
    async for some in response.content.iter_any():
        body += some
        if len(body) > most:
            raise _TooLarge
    said = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Answer(
        status=response.status,
        media_type=said,
        body=bytes(body),
        headers=response.headers,
        charset=response.charset or "utf-8",
    )


def _lost(error: Exception, outgoing: Outgoing, most: int) -> Lost:
    if isinstance(error, _TooLarge):
        return Lost(f"the answer has more than {most} bytes; ask for less at a time", sent=True, passing=False)
    private = refusal(error)
    if private is not None:
        return Lost(str(private), sent=outgoing.sent, passing=False)
    if isinstance(error, ValueError) and not outgoing.sent:
        return Lost("the request cannot be put together", sent=False, passing=False)
    if not outgoing.sent:
        return Lost(f"no connection could be made to {urlsplit(outgoing.url).hostname}", sent=False)
    if isinstance(error, TimeoutError):
        return Lost("the back end took too long to answer", sent=True)
    return Lost("the connection broke before the answer was complete", sent=True)
