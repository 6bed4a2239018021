"""Lanes: how many runs go on at once in this process, and whose turn comes next.

Interactive runs go before batch runs, but none waits for ever: a batch run that has waited long enough goes by its age.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Lane = Literal["interactive", "batch"]
LANES: tuple[Lane, ...] = ("interactive", "batch")


class LaneFull(Exception):
    """So many runs wait already that a further one would wait too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """How full lanes may be.

    Attributes:
        interactive: Interactive runs that go on at once.
        batch: Batch runs that go on at once.
        queue: Runs that may wait in each lane.
        promote_seconds: A batch run that has waited so long does not stand back any more.
        take: The lanes whose queued runs this process takes up, where several share the queue.
    """

    interactive: int = 1000
    batch: int = 4
    queue: int = 1000
    promote_seconds: float = 60.0
    take: tuple[Lane, ...] = LANES

    def at_once(self, lane: Lane) -> int:
        """How many runs of the lane go on at once."""
        return self.interactive if lane == "interactive" else self.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """How full a lane is: how many runs wait and go on, and for how many seconds the oldest has waited."""

    waiting: int = 0
    running: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that could go on, and since when it waits."""

    lane: Lane
    since: float


def next_of(waiting: Sequence[Waiting], running: Mapping[Lane, int], limits: LaneLimits, now: float) -> int | None:
    """Which of those waiting goes on now, if any may.

    In each lane the one that has waited longest. A batch run stands back while an interactive one waits, until it is
    old; then their ages decide.
    """
    oldest: dict[Lane, int] = {}
    for index, each in enumerate(waiting):
        if each.lane not in oldest or each.since < waiting[oldest[each.lane]].since:
            oldest[each.lane] = index
    batch = oldest.get("batch")
    if batch is not None and "interactive" in oldest and now - waiting[batch].since < limits.promote_seconds:
        del oldest["batch"]
    may = [index for lane, index in oldest.items() if running.get(lane, 0) < limits.at_once(lane)]
    return min(may, key=lambda index: waiting[index].since, default=None)


class Place:
    """A run's place in its lane, from its acceptance to its end."""

    def __init__(self, lanes: "Lanes", lane: Lane, since: float) -> None:
        self.waiting = Waiting(lane, since)
        self.admitted: asyncio.Future[None] | None = None
        self._lanes = lanes

    async def begin(self) -> None:
        """Wait until the run may go on."""
        self.admitted = asyncio.get_running_loop().create_future()
        self._lanes.advance()
        await self.admitted


class Lanes:
    """The lanes of this process."""

    def __init__(self, limits: LaneLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._waiting: dict[Place, None] = {}
        self._running: Counter[Lane] = Counter()
        self._promotion: asyncio.TimerHandle | None = None

    def check(self, lane: Lane) -> None:
        """Make sure that a further run may wait.

        Raises:
            LaneFull: It may not.
        """
        if self.depth(lane) >= self._limits.queue:
            raise LaneFull(f"{self._limits.queue} {lane} runs are waiting already; try again later (lanes.queue)")

    def depth(self, lane: Lane) -> int:
        """How many runs wait, for their session's turn or for the lane's."""
        return sum(place.waiting.lane == lane for place in self._waiting)

    def oldest(self, lane: Lane) -> float:
        """For how many seconds the run that has waited longest waits; 0 when none does."""
        since = [place.waiting.since for place in self._waiting if place.waiting.lane == lane]
        return self._clock() - min(since) if since else 0.0

    def states(self) -> Mapping[Lane, LaneState]:
        """How full each lane is."""
        return {
            lane: LaneState(waiting=self.depth(lane), running=self._running[lane], oldest_seconds=self.oldest(lane))
            for lane in LANES
        }

    @property
    def pressed(self) -> bool:
        """Whether interactive runs wait for the lane's turn."""
        return any(place.admitted is not None and place.waiting.lane == "interactive" for place in self._waiting)

    def running(self, lane: Lane) -> int:
        """How many runs go on."""
        return self._running[lane]

    @contextmanager
    def enter(self, lane: Lane, waited: float = 0.0) -> Iterator[Place]:
        """Take a place, and leave it with the end of the block.

        Args:
            waited: Seconds that the run has waited elsewhere.
        """
        place = Place(self, lane, self._clock() - waited)
        self._waiting[place] = None
        try:
            yield place
        finally:
            if place in self._waiting:
                del self._waiting[place]
            else:
                self._running[lane] -= 1
            self.advance()

    def advance(self) -> None:
        """Let those go on who may."""
        ready = [place for place in self._waiting if place.admitted is not None]
        now = self._clock()
        while (index := next_of([each.waiting for each in ready], self._running, self._limits, now)) is not None:
            place = ready.pop(index)
            del self._waiting[place]
            self._running[place.waiting.lane] += 1
            if place.admitted is not None and not place.admitted.done():
                place.admitted.set_result(None)
        self._await_promotion(ready, now)

    def _await_promotion(self, ready: Sequence[Place], now: float) -> None:
        """Look again once the oldest batch run no longer stands back."""
        if self._promotion is not None:
            self._promotion.cancel()
            self._promotion = None
        ages = [now - place.waiting.since for place in ready if place.waiting.lane == "batch"]
        left = self._limits.promote_seconds - max(ages, default=0.0)
        if ages and left > 0:
            self._promotion = asyncio.get_running_loop().call_later(left, self.advance)
