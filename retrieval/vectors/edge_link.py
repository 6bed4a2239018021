"""The service's end of the embedded store: the owner process, and many requests to it under way at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any, cast

from retrieval import errors
from retrieval.vectors.frames import Decoder, encode

_PACKAGES = Path(__file__).parents[2]
_START = """
import sys
sys.path.insert(0, {packages!r})
from retrieval.vectors.edge_owner import main
main{arguments!r}
"""
_START_LIMIT = 30.0
_STOP_LIMIT = 30.0


class OwnerLink(asyncio.Protocol):
    """One owner process and the socket to it. It is used until either dies, then replaced by another."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self._process: Process | None = None
        self._lost = False

    @classmethod
    async def start(cls, root: Path, lock_wait: float) -> tuple[OwnerLink, Any]:
        """Spawn an owner for the folder; answers the link and the owner's greeting.

        The owner runs this very package, whatever lies in the working directory.

        Raises:
            StoreLocked: Another process that is alive still holds the folder after ``lock_wait`` seconds.
            StoreUnavailable: The owner did not start.
        """
        link = cls()
        greeting = link._expect(0)
        try:
            async with asyncio.timeout(lock_wait + _START_LIMIT):
                await link._spawn((os.getpid(), str(root), lock_wait))
                return link, await greeting
        except BaseException as error:
            greeting.cancel()
            await link.kill()
            if isinstance(error, OSError):
                raise errors.StoreUnavailable(f"The process of the embedded store did not start: {error!r}") from error
            raise

    @property
    def lost(self) -> bool:
        """Whether the owner has gone, so that no call can be answered any more."""
        return self._lost

    @property
    def pid(self) -> int:
        """The owner's process id."""
        assert self._process is not None  # noqa: S101
        return self._process.pid

    def call(self, operation: str, *arguments: Any) -> asyncio.Future[Any]:
        """Send a request now; the future answers it.

        Raises (from the future):
            RetrievalError: What the owner reported.
            StoreUnavailable: The owner died first.
        """
        self._number += 1
        answer = self._expect(self._number)
        if self._lost or self._transport is None:
            self._pending.pop(self._number).set_exception(_gone())
        else:
            self._transport.write(encode((self._number, operation, arguments)))
        return answer

    async def stop(self) -> None:
        """Let the owner finish what it has, flush and end."""
        if self._transport:
            self._transport.close()
        try:
            async with asyncio.timeout(_STOP_LIMIT):
                await self._ended()
        except TimeoutError:
            await self.kill()
        except BaseException:
            await self.kill()
            raise

    async def kill(self) -> None:
        """End the owner at once. What it acknowledged is on disk."""
        if self._transport:
            self._transport.abort()
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        if self._process:
            await self._process.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A socket's transport, whichever loop made it: uvloop's are not asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for number, succeeded, value in self._decoder.feed(data):
            answer = self._pending.pop(number)
            if answer.done():
                continue
            if succeeded:
                answer.set_result(value)
            else:
                name, message = value
                answer.set_exception(getattr(errors, name, errors.RetrievalError)(message))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio names it
        self._lost = True
        pending, self._pending = self._pending, {}
        for answer in pending.values():
            if not answer.done():
                answer.set_exception(_gone())

    async def _spawn(self, arguments: tuple[Any, ...]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)  # noqa: FBT003
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
            code = _START.format(packages=str(_PACKAGES), arguments=arguments)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", code, stdin=theirs.fileno()
            )

    def _expect(self, number: int) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        return answer


def _gone() -> errors.StoreUnavailable:
    return errors.StoreUnavailable(
        "The process of the embedded store ended before it answered; what it acknowledged is kept. Try again."
    )
