"""Turns: the runs of a session go one after the other, in order of arrival."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol
from weakref import WeakValueDictionary

from agent.journal.record import RunRecord
from agent.observer import Observer
from agent.queue.claims import Claims
from agent.queue.lanes import Lanes
from records.ids import now

_LOOK_SECONDS = 0.05
_LOOK_AT_MOST = 1.0


class Signals(Protocol):
    """Wake-up calls between processes; they may be lost."""

    def listen(self, channel: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set whenever somebody signals on the channel."""
        ...

    async def signal(self, channel: str) -> None:
        """Wake everybody who listens on the channel, in whatever process."""
        ...


class NoSignals:
    """Nobody else is there."""

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[asyncio.Event]:  # noqa: ARG002 - nothing ever comes
        """An event that is never set."""
        yield asyncio.Event()

    async def signal(self, channel: str) -> None:
        """Nobody hears it."""


class _Line:
    """The runs of one session that are in this process: those that wait for their turn, and whether one has it."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.going_on = 0
        self._moved = asyncio.Event()

    def move(self) -> None:
        """Let those that wait look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def until_moved(self, seconds: float | None) -> bool:
        """Wait until something has changed here, or for so long; gives whether something has."""
        moved = self._moved
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await moved.wait()
        return moved.is_set()


class Turns:
    """Who may go on in which session.

    A process that is alone keeps the order by asyncio's locks, which are fair. Where there are several, the database
    says whose turn it is (``Claims.take_turn``), and nobody holds what another one may need before it can go on.
    """

    def __init__(
        self, claims: Claims, lanes: Lanes, observer: Observer, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._claims = claims
        self._lanes = lanes
        self._observer = observer
        self._clock = clock
        # A lock lives as long as a run holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, record: RunRecord) -> AsyncIterator[None]:
        """Wait for the run's turn, in its session and in its lane, and hold it."""
        waited = (now() - record.created_at).total_seconds()
        # Who takes a run up first has it wait since its acceptance, in the queue too.
        waiting = self._clock() - (waited if record.fence == 1 else 0.0)
        with self._lanes.enter(record.lane, waited) as place:
            async with self._own(record) if self._claims.alone else self._shared(record):
                await place.begin()
                if record.stalled and self._claims.alone:
                    await self._claims.begin(record.claim)
                self._observer.stage("queue", self._clock() - waiting)
                yield

    def _own(self, record: RunRecord) -> AbstractAsyncContextManager[Any]:
        return self._locks.setdefault(record.session_id, asyncio.Lock())

    @asynccontextmanager
    async def _shared(self, record: RunRecord) -> AsyncIterator[None]:
        line = self._lines.setdefault(record.session_id, _Line())
        # A run that began its session has the turn from its acceptance.
        if record.fence > 1 or record.request.get("session_id") is not None:
            await self._wait(line, record)
        line.going_on += 1
        try:
            yield
        finally:
            line.going_on -= 1
            line.move()

    async def _wait(self, line: _Line, record: RunRecord) -> None:
        line.waiting.add(record.id)
        try:
            pause = _LOOK_SECONDS
            # Whoever comes looks once: a run that was taken up again may have its turn already.
            taken = await self._claims.take_turn(record)
            while not taken:
                first = min(line.waiting) == record.id
                moved = await line.until_moved(pause if first and not line.going_on else None)
                pause = _LOOK_SECONDS if moved else min(2 * pause, _LOOK_AT_MOST)
                if min(line.waiting) == record.id:
                    taken = await self._claims.take_turn(record)
        finally:
            line.waiting.discard(record.id)
            line.move()
