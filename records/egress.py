"""Which addresses a request of this process may reach: those that the whole world can, unless one is meant.

Whoever can make a service send requests can make it talk to what only that service reaches: its own machine, the
network around it, the metadata server of its cloud (server-side request forgery, OWASP A10:2021). So every address that
is connected to is checked, also behind a name and after a redirect.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver


class PrivateAddress(OSError):
    """A name stands for an address that is not public."""


def is_private(host: str) -> bool:
    """Whether it is an address and not a public one; a name is neither."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return not mapped.is_global or mapped.is_multicast


def public_resolver(is_exempt: Callable[[str], bool] = lambda _: False) -> AbstractResolver:
    """Resolves names to public addresses only; what it checks is what is connected to.

    Args:
        is_exempt: Whether a host may have private addresses.
    """
    from aiohttp import ThreadedResolver
    from aiohttp.abc import ResolveResult

    class PublicResolver(ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            if not is_exempt(host) and any(is_private(each["host"]) for each in found):
                raise PrivateAddress(f"{host} is a private address")
            return found

    return PublicResolver()


def refusal(error: BaseException | None) -> PrivateAddress | None:
    """The refusal behind an error, if that is what it is."""
    while error is not None:
        if isinstance(error, PrivateAddress):
            return error
        error = error.__cause__ or error.__context__
    return None
