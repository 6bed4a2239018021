"""How a server is reached: as a program that is started, or at a URL; and what of that nobody may see."""

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.http.address import Addresses
from tools.mcp.link import Connect

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_MESSAGE_BYTES = 4 << 20
_CONNECT_SECONDS = 10.0
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|DSN|_URL|_URI", re.IGNORECASE)


def program(
    name: str,
    command: Sequence[str],
    variables: Mapping[str, str],
    folder: Path | None,
    memory_bytes: int,
    hide: Callable[[str], str],
) -> Connect:
    """Starts the program that is the server."""

    def connect(ended: Callable[[], None]) -> "AbstractAsyncContextManager[TransportStreams]":
        from tools.mcp.stdio import Launch, running

        launch = Launch(
            command=tuple(command),
            environment=variables,
            folder=folder,
            memory_bytes=memory_bytes,
            line_bytes=_MESSAGE_BYTES,
            hide=hide,
        )
        return running(name, launch, ended)

    return connect


def endpoint(url: str, headers: Mapping[str, str], *, private: bool) -> Connect:
    """Speaks to the server at the URL.

    Raises:
        ValueError: It cannot be used, or a header's value cannot.
    """
    if any(not value.isprintable() or not value.isascii() for value in headers.values()):
        raise ValueError("a header's value has characters that no header carries")
    addresses = Addresses(url, private=private)

    @asynccontextmanager
    async def connect(_ended: Callable[[], None]) -> "AsyncIterator[TransportStreams]":
        from mcp.client.streamable_http import streamable_http_client

        from tools.mcp.http import Place, http_client

        place = Place(addresses=addresses, headers=headers, connect=_CONNECT_SECONDS, answer_bytes=_MESSAGE_BYTES)
        async with (
            http_client(place) as client,
            streamable_http_client(url, http_client=client, max_sse_event_size=_MESSAGE_BYTES) as streams,
        ):
            yield streams

    return connect


def variables_of(env: Mapping[str, str], environment: Sequence[str]) -> dict[str, str]:
    """What a program sees: the variables that are named, from this process, and those that are given."""
    return {**{name: os.environ[name] for name in environment if name in os.environ}, **env}


def secrets_of(variables: Mapping[str, str], headers: Mapping[str, str]) -> list[str]:
    """The credentials among these: the values of headers, with and without their scheme, and of variables by name."""
    values = [part for value in headers.values() for part in (value, value.partition(" ")[2])]
    return [*values, *(value for name, value in variables.items() if _SECRET.search(name))]
