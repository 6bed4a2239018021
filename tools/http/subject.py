"""Credentials of whoever asks: their token is sent on, or exchanged for one that is meant for the back end (RFC 8693).

The connector then has no rights of its own that a model could turn against others: without a token of whoever asks no
request is sent at all.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from tools.http.auth import (
    Grant,
    PostForm,
    access_token,
    bearer,
    client_authentication,
    is_bearer,
    secret,
    usable_seconds,
)
from tools.http.errors import ApiNotReached, TokenNeeded, TokenRefused

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693, 3)
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"

REMEMBERED = 1000
"""Tokens that one exchange keeps; the one that was not used for longest is let go of first."""

_LONGEST = 3600.0
_FETCH_SECONDS = 20.0
_REFUSED_SECONDS = 30.0
_OF_THE_SUBJECT = frozenset({"invalid_request", "invalid_grant", "invalid_token", "access_denied"})
"""Errors of a token endpoint that are about the subject's token (RFC 8693, 2.2.2, and what servers say instead)."""

_MISSING = (
    "sign in first, then ask again: this is done with a token of whoever asks (header Cairn-Subject-Token),"
    " and the request brought none"
)
_EXPIRED = (
    "the token of whoever asks is not accepted: it has expired, or may not do this; sign in again, then ask again"
)


class ForSubject:
    """Credentials that stand for whoever asks; a request must say which call it is for (``context=``)."""


class ForwardToken(ForSubject):
    """The token of whoever asks, as it came.

    Args:
        header: ``Authorization`` carries it as a bearer token (RFC 6750), any other header as it is.
    """

    def __init__(self, *, header: str = "Authorization") -> None:
        self._header = header

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        if self._is_authorization:
            return is_bearer(scheme)
        named = (scheme.get("type"), scheme.get("in"), str(scheme.get("name", "")).lower())
        return named == ("apiKey", "header", self._header.lower())

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:  # noqa: ARG002 - the port's
        token = _needed(subject)
        granted = bearer(token) if self._is_authorization else Grant(headers={self._header: token}, secrets=(token,))
        return replace(granted, for_subject=True)

    def refused(self, grant: Grant) -> bool:  # noqa: ARG002 - the port's
        return False

    @property
    def _is_authorization(self) -> bool:
        return self._header.lower() == "authorization"


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """What came of an exchange, until when it holds: a grant, or why there is none."""

    until: float
    grant: Grant | None = None
    reason: str = ""
    needed: bool = False


class TokenExchange(ForSubject):
    """The token of whoever asks, exchanged for one that the back end is meant to see (RFC 8693).

    A token is fetched once for all who wait for it, used until shortly before it expires, and fetched once more when
    the back end refuses it. A token of whoever asks that was refused is not sent there again for half a minute.

    Args:
        token_url: The token endpoint.
        client_id: As which the connector is known there, together with
        client_secret: its secret.
        audience: The back end, as the token endpoint knows it.
        scopes: What the token is for.
        subject_token_type: What the caller's token is.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | SecretStr,
        *,
        audience: str | None = None,
        scopes: Sequence[str] = (),
        subject_token_type: str = ACCESS_TOKEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token_url = token_url
        self._client_id = client_id
        self._client_secret = secret(client_secret)
        asked = {"audience": audience, "scope": " ".join(scopes), "subject_token_type": subject_token_type}
        self._form = {"grant_type": _GRANT_TYPE, **{name: value for name, value in asked.items() if value}}
        self._clock = clock
        self._known: OrderedDict[bytes, _Exchanged] = OrderedDict()
        self._fetching: dict[bytes, asyncio.Task[_Exchanged]] = {}

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        return is_bearer(scheme)

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:
        token = _needed(subject)
        key = hashlib.sha256(token.encode()).digest()
        exchanged = self._fresh(key) or await self._exchanged(key, token, post)
        if exchanged.grant is not None:
            return exchanged.grant
        raise TokenNeeded(exchanged.reason) if exchanged.needed else ApiNotReached(exchanged.reason)

    def refused(self, grant: Grant) -> bool:
        for key, known in self._known.items():
            if known.grant is grant:  # not one that somebody else has fetched meanwhile
                del self._known[key]
                break
        return True

    def _fresh(self, key: bytes) -> _Exchanged | None:
        known = self._known.get(key)
        if known is None or self._clock() >= known.until:
            return None
        self._known.move_to_end(key)
        return known

    async def _exchanged(self, key: bytes, token: str, post: PostForm) -> _Exchanged:
        fetching = self._fetching.get(key)
        if fetching is None:
            # A task of its own: whoever asked first may give up, and the others still wait for it.
            fetching = asyncio.create_task(self._fetch(token, post), name="token exchange")
            self._fetching[key] = fetching
            fetching.add_done_callback(lambda done: self._remember(key, done))
        return await asyncio.shield(fetching)

    def _remember(self, key: bytes, done: asyncio.Task[_Exchanged]) -> None:
        self._fetching.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        now = self._clock()
        self._known[key] = done.result()
        self._known.move_to_end(key)
        # What has expired is let go of, not only hidden: it was somebody's token.
        for other in [other for other, known in self._known.items() if known.until <= now]:
            del self._known[other]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _fetch(self, token: str, post: PostForm) -> _Exchanged:
        began = self._clock()
        headers, secrets = client_authentication(self._client_id, self._client_secret)
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                answer = await post(self.token_url, {**self._form, "subject_token": token}, headers)
            granted = access_token(answer)
            if str(answer.get("token_type", "bearer")).lower() != "bearer":
                raise ApiNotReached("the token endpoint gave a token that is no bearer token")
        except TimeoutError:
            return _Exchanged(began, reason="no token could be fetched: the token endpoint took too long")
        except TokenRefused as refusal:
            if refusal.status in {400, 401, 403} and refusal.code in _OF_THE_SUBJECT:
                return _Exchanged(self._clock() + _REFUSED_SECONDS, reason=_EXPIRED, needed=True)
            return _Exchanged(began, reason=str(refusal))
        except ApiNotReached as error:
            return _Exchanged(began, reason=str(error))
        found = replace(bearer(granted), secrets=(granted, token, *secrets), for_subject=True)
        return _Exchanged(began + min(usable_seconds(answer), _LONGEST), grant=found)


def _needed(subject: SecretStr | None) -> str:
    if subject is None:
        raise TokenNeeded(_MISSING)
    return subject.get_secret_value()
