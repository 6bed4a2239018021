"""A back end's HTTP API as tools use it: one client that knows where, who it is, and what an answer proves."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urlencode

from pydantic import SecretStr

from tools.deadline import seconds_left
from tools.http.address import Addresses
from tools.http.answer import Answer
from tools.http.auth import Auth, Grant, OAuth2
from tools.http.connection import Connection, Lost, Outgoing
from tools.http.errors import ApiNotReached, ApiRateLimited, TokenNeeded
from tools.http.exchange import Exchange
from tools.http.limits import HttpLimits
from tools.http.retries import delay_before, is_passing, retry_after
from tools.http.subject import ForSubject, TokenExchange
from tools.http.throttle import Throttle
from tools.limits.port import RateLimiter
from tools.limits.rates import Rates, rate_limit
from tools.results import ToolContext
from tools.serialise import to_json

T = TypeVar("T")

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

IDEMPOTENT = SAFE | {"PUT", "DELETE"}
"""Methods of which several requests do what one does (RFC 9110, 9.2.2)."""

_DEFAULT = HttpLimits()


class Options(TypedDict, total=False):
    """What a request may have besides its method and path.

    Attributes:
        fields: Values of the path's ``{fields}``; they are quoted.
        query: Parameters; one that is None is left out, a list is repeated.
        headers: Further headers.
        json: The body, as JSON; pydantic models and dataclasses too.
        form: The body, as a form.
        text: The body, as plain text.
        context: The call that the request is for; a request that changes something carries its idempotency key.
    """

    fields: Mapping[str, Any]
    query: Mapping[str, Any] | Sequence[tuple[str, Any]]
    headers: Mapping[str, str]
    json: Any
    form: Mapping[str, Any] | Sequence[tuple[str, Any]]
    text: str
    context: ToolContext | None


class HttpApi:
    """A back end's HTTP API.

    Safe to make when a module is imported: connections are opened with the first request, and shared by all. It belongs
    to one event loop, and ``aclose`` ends it with the service.

    Only the base URL's host is spoken to. GET and HEAD follow redirects, others never do.

    Args:
        base_url: Every path is below it. ``localhost`` and an address in it are meant; a name must be public, unless
            ``private`` says otherwise.
        auth: Credentials, or several that are all sent.
        headers: Sent with each request.
        limits: What it may cost.
        rate: How many requests may be sent: ``"10/second"``, several such rates, or a ``RateLimit``. All processes of a
            deployment share it.
        honours_idempotency_key: Whether the back end acts once for all POST and PATCH requests under one
            ``Idempotency-Key``; then they are repeated as PUT and DELETE are.
        allowed_hosts: Further hosts that redirects may lead to. They get no credentials, and must be public.
        private: Whether the base URL's name may stand for a private address.

    Raises:
        ValueError: The base URL, or the rate, cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth | Sequence[Auth] = (),
        headers: Mapping[str, str] | None = None,
        limits: HttpLimits = _DEFAULT,
        rate: Rates | None = None,
        honours_idempotency_key: bool = False,
        allowed_hosts: Sequence[str] = (),
        private: bool = False,
    ) -> None:
        self.limits = limits
        self.auth: tuple[Auth, ...] = tuple(auth) if isinstance(auth, Sequence) else (auth,)
        self.honours_idempotency_key = honours_idempotency_key
        token_urls = [auth.token_url for auth in self.auth if isinstance(auth, OAuth2 | TokenExchange)]
        self._addresses = Addresses(base_url, allowed_hosts, token_urls, private=private)
        self._headers = {"Accept": "application/json, text/plain;q=0.5, */*;q=0.1", **(headers or {})}
        self._connection = Connection(self._addresses, limits)
        self._throttle = Throttle(self._addresses.base, None if rate is None else rate_limit(rate))

    def __repr__(self) -> str:
        return f"HttpApi({self._addresses.base!r})"

    @property
    def host(self) -> str:
        """The host that is spoken to."""
        return self._addresses.host

    async def get(self, path: str, into: type[T], **options: Unpack[Options]) -> T:
        """``request`` with GET."""
        return await self.request("GET", path, into, **options)

    async def post(self, path: str, into: type[T], **options: Unpack[Options]) -> T:
        """``request`` with POST."""
        return await self.request("POST", path, into, **options)

    async def put(self, path: str, into: type[T], **options: Unpack[Options]) -> T:
        """``request`` with PUT."""
        return await self.request("PUT", path, into, **options)

    async def patch(self, path: str, into: type[T], **options: Unpack[Options]) -> T:
        """``request`` with PATCH."""
        return await self.request("PATCH", path, into, **options)

    async def delete(self, path: str, into: type[T], **options: Unpack[Options]) -> T:
        """``request`` with DELETE."""
        return await self.request("DELETE", path, into, **options)

    @overload
    async def request(self, method: str, path: str, into: type[T], **options: Unpack[Options]) -> T: ...
    @overload
    async def request(self, method: str, path: str, into: None = None, **options: Unpack[Options]) -> Any: ...
    async def request(self, method: str, path: str, into: Any = None, **options: Unpack[Options]) -> Any:
        """Send a request and read its answer.

        Args:
            method: An HTTP method.
            path: A path below the base URL, with ``{fields}``.
            into: What the answer is, as a type that pydantic knows; without one it is JSON data or text as it came.

        Raises:
            ApiRefused: The back end said no; the message is its own.
            ApiNotReached: Nothing was sent.
            TokenNeeded: Nothing was done: it goes out for whoever asks, whose token is missing or refused.
            ApiRateLimited: Nothing was done: there is no room for it soon enough.
            ApiFailed: A request that only reads went wrong.
            ApiUnclear: A request that changes something was sent, and what was done is not known.
        """
        outgoing = self._outgoing(method.upper(), path, options)
        name = f"{outgoing.method} {path}"
        context = options.get("context")
        exchange = Exchange(
            name,
            self._repeatable(outgoing),
            safe=outgoing.method in SAFE,
            perhaps_done=context is not None and context.perhaps_done,
        )
        try:
            async with asyncio.timeout(self.limits.total):
                last = await self._send(outgoing, exchange, context)
        except TimeoutError:
            last = Lost(f"there was no answer within {self.limits.total:g} s", sent=exchange.in_flight.sent)
            self._connection.timed_out(exchange.in_flight)
        except (TokenNeeded, ApiRateLimited) as error:
            raise exchange.withheld(error) from None
        except ApiNotReached as error:
            last = Lost(str(error), sent=False)
        return exchange.conclude(last, into)

    def share_limits(self, limiter: RateLimiter) -> None:
        """Keep its rate together with all who use this limiter."""
        self._throttle.share(limiter)

    async def aclose(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._connection.aclose()

    async def _send(self, outgoing: Outgoing, exchange: Exchange, context: ToolContext | None) -> Answer | Lost:
        """The last answer, after as many attempts as are safe and of use."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(self.limits.total, seconds_left())
        subject, tenant = self._asker(context)
        renewed = False
        attempt = 1
        while True:
            grants = [await auth.grant(self._connection.post_form, subject) for auth in self.auth]
            exchange.in_flight = outgoing.with_grants(grants)
            await self._throttle.admit(tenant, until - loop.time())
            last = await self._connection.send(exchange.in_flight)
            if isinstance(last, Answer) and last.status == 429 and (pause := retry_after(last)) is not None:
                await self._throttle.hold(tenant, pause)
            if isinstance(last, Answer) and last.status == 401 and not renewed and self._renew(grants):
                renewed = True
                continue
            if attempt >= self.limits.attempts or not exchange.repeatable or not is_passing(last):
                return last
            delay = delay_before(attempt, last, self.limits.backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            if loop.time() + delay >= until:
                return last
            exchange.repeat_after(last)
            await asyncio.sleep(delay)
            attempt += 1

    def _asker(self, context: ToolContext | None) -> tuple[SecretStr | None, str]:
        """The token and the tenant of whoever a request is for."""
        if context is not None:
            return context.subject_token, context.principal.tenant
        if self._throttle.per_tenant or any(isinstance(auth, ForSubject) for auth in self.auth):
            raise ApiNotReached("it goes out for whoever asks: hand `context=` over with the request")
        return None, ""

    def _renew(self, grants: Sequence[Grant]) -> bool:
        renewable = [auth.refused(grant) for auth, grant in zip(self.auth, grants, strict=True)]
        return any(renewable)

    def _repeatable(self, outgoing: Outgoing) -> bool:
        keyed = self.honours_idempotency_key and "Idempotency-Key" in outgoing.headers
        return outgoing.method in IDEMPOTENT or keyed

    def _outgoing(self, method: str, path: str, options: Options) -> Outgoing:
        headers = {**self._headers, **options.get("headers", {})}
        context = options.get("context")
        if context is not None and method not in SAFE:
            headers.setdefault("Idempotency-Key", context.idempotency_key)
        if any(not value.isprintable() or not value.isascii() for value in headers.values()):
            raise ApiNotReached("a header's value has characters that no header carries")
        body, media_type = _body(options)
        if media_type:
            headers.setdefault("Content-Type", media_type)
        return Outgoing(
            method=method,
            url=self._addresses.url(path, options.get("fields", {})),
            query=tuple(_pairs(options.get("query", ()))),
            headers=headers,
            body=body,
        )


def _body(options: Options) -> tuple[bytes | None, str]:
    if "json" in options:
        return to_json(options["json"]), "application/json"
    if "form" in options:
        return urlencode(list(_pairs(options["form"]))).encode(), "application/x-www-form-urlencoded"
    if "text" in options:
        return options["text"].encode(), "text/plain; charset=utf-8"
    return None, ""


def _pairs(given: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Parameters as text, in order: None is left out, a list is repeated."""
    listed = given.items() if isinstance(given, Mapping) else given
    pairs: list[tuple[str, str]] = []
    for name, value in listed:
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        pairs.extend((name, _text(each)) for each in values if each is not None)
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
