"""Takes up what waits in the queue that processes share, woken as soon as there is something."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import structlog

from agent.journal.record import RunRecord
from agent.queue.claims import Claims
from agent.queue.lanes import LANES, Lane, LaneFull, LaneLimits, Lanes, LaneState
from agent.queue.queue import Depth, Queue, Room
from agent.queue.turns import Signals
from agent.run import ActiveRun
from records.ids import now

QUEUED = "cairn:queued"
"""The channel on which processes tell each other that a run waits for any of them."""

_log = structlog.get_logger("cairn.runs")


class Dispatch:
    """Takes up runs from the queue, no more than there is room for: the rest is left to other processes.

    Args:
        lanes: The lanes of this process.
        in_hand: The runs that this process has, as they come and go.
        taking: Held while a run is taken up, so that nobody takes one up twice.
        go_on: Carries on with a run that was just taken up.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        claims: Claims,
        signals: Signals,
        lanes: Lanes,
        limits: LaneLimits,
        in_hand: Mapping[str, ActiveRun],
        taking: asyncio.Lock,
        go_on: Callable[[RunRecord], Awaitable[None]],
    ) -> None:
        self._waiting: Mapping[Lane, Depth] = {}
        self._queue = queue
        self._claims = claims
        self._signals = signals
        self._lanes = lanes
        self._limits = limits
        self._in_hand = in_hand
        self._taking = taking
        self._go_on = go_on
        # Runs in hand that came from the queue.
        self._taken: set[str] = set()
        self._called = asyncio.Event()
        # Whether a run that ends here may leave room for one that waits. Most do not, and cost no look.
        self._left = False
        self._closed = False

    async def check(self, lane: Lane) -> None:
        """Make sure that a further run may wait.

        Raises:
            LaneFull: It may not.
        """
        depths = await self._queue.depths()
        if depths[lane].runs >= self._limits.queue:
            raise LaneFull(f"{self._limits.queue} {lane} runs are waiting already; try again later (lanes.queue)")

    def depth(self, lane: Lane) -> int:
        """How many runs waited in the queue when last looked, some seconds ago at most."""
        return self._waiting.get(lane, Depth()).runs

    def oldest(self, lane: Lane) -> float:
        """For how many seconds the run that has waited longest waits; 0 when none does."""
        return self._waiting.get(lane, Depth()).oldest(now())

    async def states(self) -> Mapping[Lane, LaneState]:
        """How full the lanes of all processes are together, now."""
        return await self._queue.states()

    async def announce(self) -> None:
        """Tell every process, this one too, that a run waits."""
        await self._signals.signal(QUEUED)

    async def listen(self) -> None:
        """Take up runs whenever some wait and there is room; never returns."""
        async with self._signals.listen(QUEUED) as self._called:
            self._called.set()
            while True:
                await self._called.wait()
                self._called.clear()
                await self.fill()

    async def tend(self) -> None:
        """What has to be done now and then: put back what dead workers left, and look for what nobody told of."""
        await self._queue.restore()
        self._waiting = await self._queue.depths()
        self._left = any(depth.runs for depth in self._waiting.values())
        if self._left:
            await self.fill()

    async def wake(self, run_id: str) -> None:
        """Let any process go on with a run that rests, once nothing of it is left to decide."""
        put_back = await self._queue.put_back(run_id)
        self._called.set()
        if put_back:
            await self.announce()

    def ended(self, run_id: str) -> None:
        """A run is not in this process's hands any more: there may be room for another."""
        if self._left or run_id in self._taken:
            self._called.set()
        self._taken.discard(run_id)

    async def fill(self) -> None:
        """Take up what waits, as far as there is room. What cannot be taken up now is tried again later."""
        try:
            while await self._take():
                pass
        except Exception as error:  # noqa: BLE001 - the next look may find things mended
            _log.error("no run could be taken up", exc_info=error)

    def close(self) -> None:
        """Take up nothing any more."""
        self._closed = True

    async def _take(self) -> bool:
        async with self._taking:
            if self._closed:
                return False
            room = self._room()
            self._left = self._left or not room.takes <= room.lanes
            record = await self._queue.take(room)
            if record is None:
                return False
            held = self._in_hand.get(record.id)
            if held is not None:
                # Its lease ran out unnoticed, or it was decided before it had come to rest: first it is let go of here.
                held.interrupt()
                await self._claims.give_up(record.claim)
                self._left = True
                return False
            await self._go_on(record)
            if record.id in self._in_hand:
                self._taken.add(record.id)
            return True

    def _room(self) -> Room:
        in_hand = Counter(run.record.lane for run in self._in_hand.values())
        free = {lane for lane in LANES if in_hand[lane] < self._limits.at_once(lane)}
        # A lane that is not taken has room only for runs that were begun: see ``Room``.
        lanes = free & {*self._limits.take, "interactive"}
        return Room(lanes=frozenset(lanes), takes=frozenset(self._limits.take), pressed=self._lanes.pressed)
