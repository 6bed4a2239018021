"""Turns: the runs of a session go one after the other, in order of arrival."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from agent.claims import Claims
from agent.lanes import Lanes
from agent.observer import Observer
from agent.record import RunRecord
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


class Turns:
    """Who may go on in which session.

    Within the process asyncio's locks keep the order (they are fair); between processes the table of runs does.
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

    @asynccontextmanager
    async def take(self, record: RunRecord) -> AsyncIterator[None]:
        """Wait for the run's turn, in its session and in its lane, and hold it."""
        lock = self._locks.setdefault(record.session_id, asyncio.Lock())
        waited = (now() - record.created_at).total_seconds()
        # Who takes a run up first has it wait since its acceptance, in the queue too.
        waiting = self._clock() - (waited if record.fence == 1 else 0.0)
        with self._lanes.enter(record.lane, waited) as place:
            async with lock:
                pause = _LOOK_SECONDS
                # A run that began its session waits for nobody.
                shared = not self._claims.alone and record.request.get("session_id") is not None
                while shared and not await self._claims.is_next(record):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LOOK_AT_MOST)
                await place.begin()
                if record.stalled and self._claims.alone:
                    await self._claims.begin(record.claim)
                self._observer.stage("queue", self._clock() - waiting)
                yield
