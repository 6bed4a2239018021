"""The outlet: events on their way from a running loop into the log, text coalesced on the way."""

import asyncio
from collections.abc import Sequence

from agent.events import TERMINAL, EventBody, TextDelta
from agent.log.log import EventLog

COALESCE_SECONDS = 0.02
"""Text waits at most this long for more text; the first piece, and every other event, does not wait at all."""


class Outlet:
    """Takes events at any speed and appends them to the log in batches.

    A model that streams faster than the log keeps up makes bigger batches, not a longer queue of small ones.
    """

    def __init__(self, log: EventLog, run_id: str) -> None:
        self._log = log
        self._run_id = run_id
        self._loop = asyncio.get_running_loop()
        self._buffer: list[EventBody] = []
        self._ready = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._next_write = 0.0
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    def put(self, body: EventBody) -> None:
        """Take an event; it is in the log once ``drain`` has written it. After ``drain`` has ended it goes nowhere."""
        if self._closed:
            return
        self._buffer.append(body)
        self._empty.clear()
        if self._timer is not None and isinstance(body, TextDelta):
            return
        delay = self._next_write - self._loop.time()
        if isinstance(body, TextDelta) and delay > 0:
            self._timer = self._loop.call_later(delay, self._ready.set)
        else:
            self._ready.set()

    async def flush(self) -> None:
        """Wait until all that was put is in the log, or ``drain`` has ended."""
        self._ready.set()
        await self._empty.wait()

    async def drain(self) -> None:
        """Write what comes until the terminal event is written.

        Raises:
            OSError: The log could not keep a batch. What was put and not written is gone.
        """
        try:
            while not await self._write():
                await self._ready.wait()
        finally:
            self._closed = True
            self._empty.set()

    async def _write(self) -> bool:
        """Write what is there; gives whether that was the end."""
        self._ready.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._buffer:
            return False
        bodies, self._buffer = self._buffer, []
        batch = merged(bodies)
        await self._log.append(self._run_id, batch)
        self._next_write = self._loop.time() + COALESCE_SECONDS
        if not self._buffer:
            self._empty.set()
        return batch[-1].type in TERMINAL


def merged(bodies: Sequence[EventBody]) -> list[EventBody]:
    """The same events with neighbouring text deltas joined into one."""
    result: list[EventBody] = []
    text: list[str] = []
    for body in bodies:
        if isinstance(body, TextDelta):
            text.append(body.delta)
            continue
        if text:
            result.append(TextDelta("".join(text)))
            text = []
        result.append(body)
    if text:
        result.append(TextDelta("".join(text)))
    return result
