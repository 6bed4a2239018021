"""Where a request goes: the base URL and a path below it, and the hosts that may be spoken to."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from records.egress import is_private
from tools.http.errors import ApiNotReached

_FIELD = re.compile(r"\{([^{}]+)\}")
_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]


class Addresses:
    """The URLs of one API.

    Args:
        base_url: Every path is below it. A private address in it, or ``localhost``, is meant.
        allowed_hosts: Further hosts that redirects may lead to; they get no credentials.
        token_urls: Where credentials are exchanged for tokens.
        private: Whether the names in these URLs may stand for private addresses.

    Raises:
        ValueError: The base URL is not an http(s) URL, or has credentials, a query or a fragment.
    """

    def __init__(
        self, base_url: str, allowed_hosts: Iterable[str] = (), token_urls: Iterable[str] = (), *, private: bool = False
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("the base URL must begin with https:// or http:// and a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the base URL must have no user, no query and no fragment; hand credentials over as auth")
        self.base = base_url.rstrip("/")
        self.origin = _origin(base_url)
        self.host = parts.hostname.lower()
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        configured = {self.host, *((urlsplit(url).hostname or "").lower() for url in token_urls)}
        self._exempt = frozenset(host for host in configured if private or host == "localhost" or _is_address(host))

    def url(self, path: str, fields: Mapping[str, Any]) -> str:
        """The URL of a path below the base URL.

        Args:
            path: Its ``{fields}`` are filled in and quoted, so that no value can lead elsewhere.

        Raises:
            ApiNotReached: The path has a query, or leads above the base URL.
            KeyError: A field of the path was not given.
        """
        filled = _FIELD.sub(lambda found: quote(_plain(fields[found[1]]), safe=""), path)
        # Proxies and servers decode more often than one thinks: a quoted dot is a dot, a quoted slash a slash.
        decoded = unquote(unquote(filled)).replace("\\", "/")
        if not {".", ".."}.isdisjoint(decoded.split("/")):
            raise ApiNotReached("a path must not have the segments . and ..")
        if any(sign in filled for sign in "?#") or any(ord(sign) <= 32 or ord(sign) == 127 for sign in filled):
            raise ApiNotReached("a path must not have a query, a fragment or spaces; give values as fields of the path")
        if any(_FIELD.sub(lambda found: _plain(fields[found[1]]), part) == "" for part in path.split("/") if part):
            raise ApiNotReached("a value in the path is empty")
        return f"{self.base}/{quote(filled.lstrip('/'), safe='/%:@!$&()*+,;=~-._' + chr(39))}"

    def redirect(self, url: str, location: str) -> str | None:
        """Where a redirect leads; None when it may not be followed there."""
        target = urljoin(url, location)
        try:
            parts = urlsplit(target)
            origin = _origin(target)
        except ValueError:
            return None
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
            return None
        if origin == self.origin:
            return target
        downgraded = urlsplit(url).scheme == "https" and parts.scheme == "http"
        return target if parts.hostname.lower() in self._allowed and not downgraded else None

    def is_own(self, url: str) -> bool:
        """Whether the URL belongs to the API itself, which the credentials are for."""
        return _origin(url) == self.origin

    def is_exempt(self, host: str) -> bool:
        """Whether the host may have a private address."""
        return host.lower() in self._exempt

    def check(self, url: str) -> None:
        """Refuse an address that is written in the URL: those are never resolved.

        Raises:
            ApiNotReached: It is private, and was not configured.
        """
        host = urlsplit(url).hostname or ""
        if is_private(host) and not self.is_exempt(host):
            raise ApiNotReached(f"{host} is a private address")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
