"""A queue between two stages that is full by weight, not by number."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """First in, first out; ``put`` waits while what is inside weighs ``limit`` or more.

    One thing may always be put into an empty backlog, however heavy, so that nothing waits for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._things: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, thing: T, weight: int = 1) -> None:
        """Add to the end once there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._weight < self._limit or not self._things)
            self._things.append((thing, weight))
            self._weight += weight
            self._changed.notify_all()

    async def close(self) -> None:
        """Say that nothing more will come."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self, weight: int = 1) -> list[T]:
        """What is there, up to ``weight`` (but one thing at least), once something is; empty at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._things or self._closed)
            taken: list[T] = []
            total = 0
            while self._things and (not taken or total + self._things[0][1] <= weight):
                thing, its_weight = self._things.popleft()
                taken.append(thing)
                total += its_weight
            self._weight -= total
            self._changed.notify_all()
            return taken
