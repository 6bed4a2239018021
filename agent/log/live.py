"""A run that is being written in this process: its events in memory, and those who follow it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from agent.events import TERMINAL
from agent.log.encoding import RunEvent


class LiveRun:
    """Readers of a live run share one list of events: a slow reader costs no memory."""

    def __init__(self, events: list[RunEvent]) -> None:
        self.events = events
        self.followers = 0
        self._grown = asyncio.Event()
        self._left = False

    @property
    def ended(self) -> bool:
        """Whether the last event is there."""
        return bool(self.events) and self.events[-1].type in TERMINAL

    def show(self, events: Sequence[RunEvent]) -> None:
        """Add events for everybody to see."""
        self.events.extend(events)
        self._wake()

    def leave(self) -> None:
        """Let go of the followers: the run is not written here any more."""
        self._left = True
        self._wake()

    async def follow(self, after: int) -> AsyncIterator[RunEvent]:
        """The events with ``seq > after`` as they come, to the terminal one, or until the run is not written here."""
        position = after
        self.followers += 1
        try:
            while True:
                grown = self._grown
                while position < len(self.events):
                    event = self.events[position]
                    position += 1
                    yield event
                if self.ended or self._left:
                    return
                await grown.wait()
        finally:
            self.followers -= 1

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
