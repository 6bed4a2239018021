"""Services under fire: tasks are told to them while they are killed, again and again, at moments drawn from a seed."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from evals.retail.processes import Service
from evals.retail.replay import Stage, Telling, Verdict, stage, telling
from evals.retail.shop import Data
from evals.retail.tasks import Task

AT_ONCE = 4
"""Tasks that are told at one time, so that a kill meets several."""

COPIES = 2
"""How often each request is sent, at once."""

SECONDS = 0.5
"""What a call of a tool may take."""

FAULTS = 0.3
"""The share of requests to the back end that meet a fault."""

STUCK_SECONDS = 300
"""A task that takes so long is lost."""

WHILE_STARTING = 0.1
"""The share of kills that meet a service which is not ready yet."""


PATIENCE_SECONDS = 3
"""How long a kill waits for its victim."""

MAX_STALLS = 2
"""Kills in a row that may find a task where the last one did."""

TOLD_OF = 20
"""After so many tasks a line says how far things are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What one lane is to do.

    Attributes:
        data: The folder of the data, or ``-`` for a shop that is made up.
        kills: At least so many.
        members: Services that stand for one another,
        settings: and what lets them share their stores.
    """

    mode: str
    data: str
    kills: int
    seed: int
    members: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Toll:
    """What a lane has seen."""

    mode: str
    kills: int = 0
    kills_while_starting: int = 0
    seconds: float = 0.0
    start_seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    told: list[tuple[Telling, Verdict]] = field(default_factory=list)


class Lane:
    """Tells tasks and kills, until there were enough kills and every task was told."""

    def __init__(self, orders: Orders, opened: Stage, data: Data, tasks: Sequence[Task]) -> None:
        self.toll = Toll(orders.mode)
        self._orders = orders
        self._stage = opened
        self._random = random.Random(f"{orders.seed} {orders.mode}")
        self._going: list[Telling] = []
        self._supply = self._tellings(data, tasks)

    async def run(self) -> Toll:
        """Do it; gives what was seen."""
        started = time.perf_counter()
        members = self._stage.fleet.members
        for member in members[1:]:
            await member.start()
        for member in members[1:]:
            await member.ready()
        async with asyncio.TaskGroup() as group:
            tellers = [group.create_task(self._tell()) for _ in range(AT_ONCE)]
            killer = group.create_task(self._fire())
            await asyncio.gather(*tellers)
            killer.cancel()
        self.toll.seconds = time.perf_counter() - started
        starts = [seconds for member in members for seconds in member.starts]
        self.toll.start_seconds = sum(starts) / len(starts)
        self.toll.faults = await self._stage.faults()
        return self.toll

    def _tellings(self, data: Data, tasks: Sequence[Task]) -> Iterator[Telling]:
        """Every task once, and all of them anew while there were not enough kills."""
        turn = 0
        while turn == 0 or self.toll.kills < self._orders.kills:
            turn += 1
            for task in tasks:
                if turn == 1 or self.toll.kills < self._orders.kills:
                    yield telling(data, task, f"{self._orders.mode}/{task.id}/{turn}")

    async def _tell(self) -> None:
        for each in self._supply:
            self._going.append(each)
            with suppress(TimeoutError):
                async with asyncio.timeout(STUCK_SECONDS):
                    await self._stage.tell(each, copies=COPIES)
            self._going.remove(each)
            self.toll.told.append((each, await self._stage.verdict(each)))
            if len(self.toll.told) % TOLD_OF == 0:
                print(f"{self.toll.mode}: {len(self.toll.told)} told, {self.toll.kills} kills", file=sys.stderr)

    async def _fire(self) -> None:
        """Start a service and kill one, for ever; they are let be while nothing is left to be killed for."""
        service = self._stage.fleet.members[0]
        while True:
            await service.start()
            if not (service.starts and self._random.random() < WHILE_STARTING and await self._killed_early(service)):
                await service.ready()
                await self._moment()
                service = self._random.choice(self._stage.fleet.members)
                await service.kill()
            self.toll.kills += 1
            for each in self._going:
                each.survived()

    async def _killed_early(self, service: Service) -> bool:
        """Kill it while it starts, unless there were enough kills."""
        if self.toll.kills >= self._orders.kills:
            return False
        await asyncio.sleep(self._random.random() * service.starts[-1])
        await service.kill()
        self.toll.kills_while_starting += 1
        return True

    def _unscathed(self) -> list[Telling]:
        return [each for each in self._going if not each.done and each.kills == 0]

    async def _moment(self) -> None:
        """Wait for a random moment in the life of a task that no kill has met yet."""
        while not self._unscathed():
            if self.toll.kills < self._orders.kills and self._going:
                break
            await asyncio.sleep(0.01)
        # Whoever dies again and again without coming any further is given time: a run gives up after five times.
        stalled = [each for each in self._going if each.stalls >= MAX_STALLS]
        victim = self._random.choice(stalled or self._unscathed() or self._going)
        wanted = victim.asked + (2 if stalled else self._random.randint(1, 4))
        with suppress(TimeoutError):  # it waits for a person, or for a call that hangs
            async with asyncio.timeout(PATIENCE_SECONDS):
                while victim.asked < wanted and not (victim.done or victim.holds):
                    victim.moved.clear()
                    await victim.moved.wait()
        # From within the call of the model to the end of a call of a tool that hangs: a long tail, as waits have.
        await asyncio.sleep(0.001 * 1000 ** self._random.random())


async def fight(orders: Orders, folder: Path, data: Data, tasks: Sequence[Task]) -> Toll:
    """Carry out the orders in a folder."""
    opening = stage(
        folder,
        orders.data,
        orders.mode,
        faults=FAULTS,
        seconds=SECONDS,
        seed=orders.seed,
        settings=orders.settings,
        members=orders.members,
    )
    async with opening as opened:
        return await Lane(orders, opened, data, tasks).run()
