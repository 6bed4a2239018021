"""Fetching documents from the web: with limits, and not from addresses that only this machine can reach."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from records.egress import is_private, public_resolver, refusal

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_READ = 1 << 16
_ALLOW = "; if you trust where the URL comes from, use --allow-private"


class FetchFailed(Exception):
    """A URL gave no document; the message says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a URL gave.

    Attributes:
        media_type: As the server says, without parameters.
    """

    name: str
    data: bytes
    media_type: str | None


class Fetcher:
    """Fetches over HTTP(S), following redirects.

    Every address that is connected to is checked, also behind a name and after a redirect, so that a document cannot
    be made to come from this machine or its network (server-side request forgery). No proxy is used for that reason.

    Args:
        allow_private: Connect to private, loopback and link-local addresses too.
        max_bytes: Larger documents are refused.
        seconds: For the whole of a document.
    """

    def __init__(self, *, allow_private: bool = False, max_bytes: int = 50 << 20, seconds: float = 30.0) -> None:
        self._allow_private = allow_private
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def fetch(self, url: str) -> Fetched:
        """The document at the URL.

        Raises:
            FetchFailed: It cannot be reached, may not be, answers with an error, or is too large or slow.
        """
        from aiohttp import ClientError, ClientSession, DummyCookieJar, TCPConnector

        resolver = None if self._allow_private else public_resolver()
        try:
            async with (
                asyncio.timeout(self._seconds),
                ClientSession(connector=TCPConnector(resolver=resolver), cookie_jar=DummyCookieJar()) as session,
            ):
                return await self._follow(session, url)
        except TimeoutError as error:
            raise FetchFailed("timeout", f"it took more than {self._seconds:g} seconds") from error
        except (ClientError, OSError, ValueError) as error:
            refused = _refusal(error)
            raise FetchFailed("refused" if refused else "unreachable", refused or str(error)) from error

    async def _follow(self, session: ClientSession, url: str) -> Fetched:
        for _ in range(_MAX_REDIRECTS + 1):
            self._check(url)
            async with session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                return await self._read(response, url)
        raise FetchFailed("unreachable", f"it redirects more than {_MAX_REDIRECTS} times")

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise FetchFailed("refused", f"{url} is not an http(s) URL")
        if not self._allow_private and is_private(parts.hostname):
            raise FetchFailed("refused", f"{parts.hostname} is a private address{_ALLOW}")

    async def _read(self, response: ClientResponse, url: str) -> Fetched:
        if response.status != 200:
            raise FetchFailed("http_error", f"the server answered {response.status} {response.reason or ''}".strip())
        data = bytearray()
        async for some in response.content.iter_chunked(_READ):
            data += some
            if len(data) > self._max_bytes:
                raise FetchFailed("too_large", f"it has more than {self._max_bytes} bytes")
        name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]) or urlsplit(url).hostname or url
        return Fetched(name=name, data=bytes(data), media_type=response.content_type)


def _refusal(error: BaseException) -> str | None:
    """What to say when an error is a refusal of this process."""
    found = refusal(error)
    return f"{found}{_ALLOW}" if found else None
