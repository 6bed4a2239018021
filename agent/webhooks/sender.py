"""One delivery over the wire: signed, to nowhere but its URL, and without reading what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.webhooks.endpoints import Endpoint
from agent.webhooks.signing import signed_headers
from models.http_errors import retry_after
from records.egress import PrivateAddress, is_private, public_resolver, refusal

if TYPE_CHECKING:
    from aiohttp import ClientSession

_CONNECTIONS = 64
_GONE = 410
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Cairn-Webhooks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an attempt.

    Attributes:
        error: Why it was not taken; None when it was.
        gone: The endpoint wants nothing any more.
        retry_after: Seconds that the endpoint asks to wait.
    """

    error: str | None = None
    gone: bool = False
    retry_after: float | None = None


class Sender:
    """Sends to endpoints. Connections are made when they are needed."""

    def __init__(self) -> None:
        # Who may reach private addresses shares no connection and no resolver with who may not.
        self._sessions: dict[bool, ClientSession] = {}

    async def send(self, endpoint: Endpoint, url: str, message_id: str, timestamp: int, body: bytes) -> Answer:
        """Send once. It never raises for what the endpoint or the network does.

        Args:
            timestamp: The present time, in seconds since 1970.
        """
        from aiohttp import ClientError

        headers = {**_HEADERS, **signed_headers(endpoint.secrets, message_id, timestamp, body)}
        try:
            async with asyncio.timeout(endpoint.timeout):
                return await self._post(endpoint, url, headers, body)
        except TimeoutError:
            return Answer(error=f"no answer within {endpoint.timeout:g} s")
        except (ClientError, OSError, ValueError) as error:
            # Not the error's own text: it may show the URL, in which some services hide a secret.
            private = refusal(error)
            return Answer(error=f"refused: {private}" if private else f"no answer ({type(error).__name__})")

    async def aclose(self) -> None:
        """Close every connection."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def _post(self, endpoint: Endpoint, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        from yarl import URL

        target = URL(url)
        # An address that is written in the URL is never resolved, so the resolver does not see it.
        host = urlsplit(url).hostname or ""
        # IPv6 may be written in several ways, and is one address in all of them.
        if target.raw_host != host and ":" not in host:
            raise PrivateAddress("a URL that not everybody reads alike")
        if not endpoint.private and (target.scheme != "https" or is_private(target.raw_host or "")):
            raise PrivateAddress(f"{target.raw_host} is a private address, or spoken to without TLS")
        session = self._session(private=endpoint.private)
        async with session.post(target, data=body, headers=headers, allow_redirects=False) as response:
            status = response.status
            if 200 <= status < 300:
                return Answer()
            moved = ", and redirects are not followed" if 300 <= status < 400 else ""
            return Answer(
                error=f"HTTP {status}{moved}", gone=status == _GONE, retry_after=retry_after(response.headers)
            )

    def _session(self, *, private: bool) -> ClientSession:
        if private not in self._sessions:
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector

            resolver = None if private else public_resolver()
            self._sessions[private] = ClientSession(
                connector=TCPConnector(limit=_CONNECTIONS, resolver=resolver),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._sessions[private]
