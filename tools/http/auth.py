"""Credentials of an API. The connector holds them: no model, result, log or error sees them."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import quote_plus

from pydantic import SecretStr

from tools.http.errors import ApiNotReached

Place = Literal["header", "query", "cookie"]
PostForm = Callable[[str, Mapping[str, str], Mapping[str, str]], Awaitable[Any]]
"""Posts a form with headers to a URL and gives the JSON that came back."""

_MARGIN = 30.0
_LIFETIME = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What credentials add to a request.

    Attributes:
        secrets: Texts that must not come back in an answer.
        for_subject: Whether it stands for whoever asks, who alone can get another when it is refused.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    for_subject: bool = False


class Auth(Protocol):
    """Credentials of an API."""

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        """Whether they are of the kind that an OpenAPI security scheme asks for."""
        ...

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:
        """What to add to the next request; may fetch a token first.

        Args:
            subject: The token of whoever the request is for, if there is one.

        Raises:
            ApiNotReached: There is no token to be had.
            TokenNeeded: It takes one of whoever asks.
        """
        ...

    def refused(self, grant: Grant) -> bool:
        """Told that the back end answered 401 to a grant; whether another one may do better."""
        ...


class Bearer:
    """A token that does not change (RFC 6750)."""

    def __init__(self, token: str | SecretStr) -> None:
        self._token = secret(token)

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        return is_bearer(scheme)

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:  # noqa: ARG002 - the port's
        return bearer(self._token.get_secret_value())

    def refused(self, grant: Grant) -> bool:  # noqa: ARG002 - the port's
        return False


class Basic:
    """A user and a password (RFC 7617)."""

    def __init__(self, user: str, password: str | SecretStr) -> None:
        self._user = user
        self._password = secret(password)

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        return scheme.get("type") == "http" and str(scheme.get("scheme", "")).lower() == "basic"

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:  # noqa: ARG002 - the port's
        password = self._password.get_secret_value()
        encoded = base64.b64encode(f"{self._user}:{password}".encode()).decode()
        return Grant(headers={"Authorization": f"Basic {encoded}"}, secrets=(password, encoded))

    def refused(self, grant: Grant) -> bool:  # noqa: ARG002 - the port's
        return False


class ApiKey:
    """A key in a header, in the query or in a cookie, under the name that the API gives it."""

    def __init__(self, key: str | SecretStr, *, name: str = "X-API-Key", place: Place = "header") -> None:
        self.name = name
        self.place = place
        self._key = secret(key)

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        named = str(scheme.get("name", ""))
        same = named == self.name if self.place != "header" else named.lower() == self.name.lower()
        return scheme.get("type") == "apiKey" and scheme.get("in") == self.place and same

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:  # noqa: ARG002 - the port's
        key = self._key.get_secret_value()
        named = {self.name: key}
        match self.place:
            case "header":
                return Grant(headers=named, secrets=(key,))
            case "query":
                return Grant(query=named, secrets=(key,))
            case "cookie":
                return Grant(cookies=named, secrets=(key,))

    def refused(self, grant: Grant) -> bool:  # noqa: ARG002 - the port's
        return False


class OAuth2:
    """Client credentials (RFC 6749, 4.4): a token of limited life, fetched before it expires and once when refused."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | SecretStr,
        *,
        scopes: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token_url = token_url
        self._client_id = client_id
        self._client_secret = secret(client_secret)
        self._scopes = " ".join(scopes)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._grant: Grant | None = None
        self._until = 0.0

    def meets(self, scheme: Mapping[str, Any]) -> bool:
        return is_bearer(scheme)

    async def grant(self, post: PostForm, subject: SecretStr | None) -> Grant:  # noqa: ARG002 - the port's
        async with self._lock:  # those who come while a token is fetched wait for it
            if self._grant is None or self._clock() >= self._until:
                self._grant = await self._fetch(post)
            return self._grant

    def refused(self, grant: Grant) -> bool:
        if self._grant is grant:  # not when somebody else has fetched a newer one meanwhile
            self._grant = None
        return True

    async def _fetch(self, post: PostForm) -> Grant:
        headers, secrets = client_authentication(self._client_id, self._client_secret)
        form = {"grant_type": "client_credentials", **({"scope": self._scopes} if self._scopes else {})}
        began = self._clock()
        answer = await post(self.token_url, form, headers)
        token = access_token(answer)
        self._until = began + usable_seconds(answer)
        return Grant(headers=bearer(token).headers, secrets=(token, *secrets))


def secret(value: str | SecretStr) -> SecretStr:
    """The value, wrapped; an empty one, or one that no header carries, is a mistake.

    Raises:
        ValueError: It is empty or has control characters, such as the line's end of the file it was read from.
    """
    wrapped = value if isinstance(value, SecretStr) else SecretStr(value)
    plain = wrapped.get_secret_value()
    if not plain or not plain.isprintable():
        raise ValueError("a credential is empty, or has a line break or another control character")
    return wrapped


def is_bearer(scheme: Mapping[str, Any]) -> bool:
    """Whether an OpenAPI security scheme asks for a token in the header ``Authorization``."""
    if scheme.get("type") in {"oauth2", "openIdConnect"}:
        return True
    if scheme.get("type") == "http":
        return str(scheme.get("scheme", "")).lower() == "bearer"
    return (scheme.get("type"), scheme.get("in"), str(scheme.get("name")).lower()) == (
        "apiKey",
        "header",
        "authorization",
    )


def client_authentication(client_id: str, client_secret: SecretStr) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The header by which a client is known at a token endpoint (RFC 6749, 2.3.1), and what of it is secret."""
    plain = client_secret.get_secret_value()
    basic = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(plain)}".encode()).decode()
    return {"Authorization": f"Basic {basic}"}, (plain, basic)


def access_token(answer: Any) -> str:
    """The token in the answer of a token endpoint (RFC 6749, 5.1).

    Raises:
        ApiNotReached: There is none that a header could carry.
    """
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise ApiNotReached("the token endpoint gave no token")
    return token


def usable_seconds(answer: Mapping[str, Any]) -> float:
    """How long its token is used: most of a short life, and of a long one until shortly before its end."""
    lifetime = answer.get("expires_in")
    seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else _LIFETIME
    return max(seconds - _MARGIN, seconds * 0.8)


def bearer(token: str) -> Grant:
    """The token in the header ``Authorization`` (RFC 6750, 2.1)."""
    return Grant(headers={"Authorization": f"Bearer {token}"}, secrets=(token,))
