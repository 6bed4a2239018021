"""What can go wrong between a service and its back end, drawn from a seed: wrong answers, lost ones, none."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("500 before acting", "500 after acting", "hang before acting", "hang after acting", "cut after acting")
REFUSED = "connection refused"


class Faults:
    """An application that misbehaves towards a share of its requests; its own ``/truth`` is always told.

    Args:
        rate: The share of requests that meet a fault.
        hang: Seconds that a hanging request is held before its connection is cut.
    """

    def __init__(self, app: ASGIApp, *, rate: float, hang: float, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._app = app
        self._rate = rate
        self._hang = hang
        self._random = random.Random(seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/truth"):
            await self._app(scope, receive, send)
            return
        fault = self._random.choice(KINDS) if self._random.random() < self._rate else None
        # Between what was asked and what is done lies some time, in which the asker may die.
        await asyncio.sleep(self._random.random() * 0.02 if self._rate else 0)
        if fault is None:
            await self._app(scope, receive, _closing(send))
            return
        self.counts[fault] += 1
        if fault.endswith("after acting"):
            await self._app(scope, receive, _unheard)
        if fault.startswith("500"):
            await _closing(send)({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"out of order"})
            return
        if fault.startswith("hang"):
            await asyncio.sleep(self._hang)
        # ASGI has no word for it: the server's own object behind ``receive`` has the connection.
        cycle: Any = receive
        cycle.__self__.transport.abort()


def _closing(send: Send) -> Send:
    """Answer one request a connection, so that each has to be let in anew."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return sent


async def _unheard(_message: Message) -> None:
    """Tell nobody."""


class Door:
    """The port at which a back end is reached: passes bytes on, and is shut now and then, so that nobody gets in."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.shut = 0
        self._target = target
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Let connections in, always at the same port."""
        while self._server is None:
            try:
                self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.01)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuse connections; those that are in stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.shut += 1

    async def swing(self, seed: int, *, opened: float, closed: float) -> None:
        """Open and shut for random times, of these seconds in the mean; never returns."""
        source = random.Random(seed)
        while True:
            await asyncio.sleep(source.expovariate(1 / opened))
            self.close()
            await asyncio.sleep(source.expovariate(1 / closed))
            await self.open()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()
