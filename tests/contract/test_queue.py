"""What the queue promises several processes on one database: whose turn it is, each run to one of them, in order."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, text, update

from agent.journal.journal import Transition
from agent.journal.record import RunRecord
from agent.journal.stores import open_journal, open_run_store
from agent.queue.claims import Claims
from agent.queue.lanes import LANES, Lane, LaneLimits, LaneState, Waiting, next_of
from agent.queue.queue import Depth, Queue, Room, _choices
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal
from records.schema import approvals, runs
from records.tenancy import Crossing, across_tenants
from tests.support.postgres import empty, kept_postgres

ALICE = Principal(id="alice")
PROMOTION = 60.0
ALL = Room(lanes=frozenset(LANES))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with kept_postgres() as url:
        yield url


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgres)
    await empty(opened)
    yield opened
    await opened.aclose()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, "me", PROMOTION)


async def put(database: Database, lane: Lane = "batch", session: str | None = None, *, held: bool = False) -> RunRecord:
    """Accept a run; into nobody's hands unless it is ``held``."""
    return await open_run_store(database, "somebody").accept(
        ALICE,
        session_id=session,
        title="t",
        model="m",
        config_version="c",
        request={"message": "m", "lane": lane},
        held=held,
    )


async def change(database: Database, run: RunRecord, **values: Any) -> None:
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id, runs.c.tenant == run.tenant).values(**values))


async def end(database: Database, taken: RunRecord) -> None:
    await open_run_store(database, "me").end(taken.claim, "cancelled", {"type": "run.cancelled"}, [])


async def all_of(queue: Queue, room: Room = ALL) -> list[str]:
    """The ids of all runs that may be taken now, in their order."""
    taken = []
    while (record := await queue.take(room)) is not None:
        taken.append(record.id)
    return taken


async def test_a_queued_run_is_nobodys_until_it_is_taken_and_then_is_its_workers(
    database: Database, queue: Queue
) -> None:
    run = await put(database)
    assert (run.fence, run.lane) == (0, "batch")
    taken = await queue.take(ALL)
    assert taken is not None
    assert (taken.id, taken.fence, taken.lane) == (run.id, 1, "batch")
    await open_journal(database).write(taken.claim, Transition())
    assert await queue.take(ALL) is None


async def test_a_run_that_somebody_holds_waits_or_has_ended_is_not_in_the_queue(
    database: Database, queue: Queue
) -> None:
    await put(database, held=True)
    resting, ended = await put(database), await put(database)
    await change(database, resting, status="waiting_approval")
    await change(database, ended, result={}, status="completed")
    assert await queue.take(ALL) is None
    assert await queue.depths() == {lane: Depth() for lane in LANES}


@dataclass(frozen=True)
class Row:
    """A run in a table that was thrown together, with what is waited for before it."""

    record: RunRecord
    age: float
    blocked: bool


async def thrown_together(database: Database, dice: random.Random, moment: datetime) -> list[Row]:
    """Some runs of some ages, lanes and sessions, the oldest first."""
    async with database.write() as connection:
        await connection.execute(across_tenants(delete(runs), Crossing.UPKEEP))
    open_sessions: set[str] = set()
    rows = []
    for age in sorted(dice.sample(range(1, 120), dice.randint(0, 8)), reverse=True):
        session = dice.choice(["a", "b", "c", new_id(), new_id(), new_id()])
        held = dice.random() < 0.15
        record = await put(database, dice.choice(LANES), session, held=held)
        created = moment - timedelta(seconds=age)
        await change(database, record, created_at=created)
        rows.append(Row(replace(record, created_at=created), age, held or session in open_sessions))
        open_sessions.add(session)
    return rows


def expected(rows: Sequence[Row], limits: LaneLimits, full: frozenset[Lane]) -> str | None:
    """Whose turn it is, as the lanes of one process have it."""
    ready = [row for row in rows if not row.blocked]
    running = {lane: limits.at_once(lane) for lane in full}
    index = next_of([Waiting(row.record.lane, -row.age) for row in ready], running, limits, 0.0)
    return None if index is None else ready[index].record.id


@pytest.mark.parametrize("full", [frozenset(), frozenset({"interactive"}), frozenset({"batch"})])
async def test_the_order_is_that_of_the_lanes_of_one_process(
    database: Database, queue: Queue, full: frozenset[Lane]
) -> None:
    dice, limits, moment = random.Random(len(full)), LaneLimits(promote_seconds=PROMOTION), now()
    room = Room(lanes=frozenset(LANES) - full)
    seen = set()
    for _ in range(25):
        rows = await thrown_together(database, dice, moment)
        taken = await queue.take(room)
        assert (taken.id if taken is not None else None) == expected(rows, limits, full), rows
        seen.add(taken.lane if taken is not None else None)
    assert seen == {None, *room.lanes}


async def test_batch_runs_stand_back_until_they_are_old_and_are_told_apart_by_age_then(
    database: Database, queue: Queue
) -> None:
    older, old, young = await put(database, "interactive"), await put(database, "batch"), await put(database, "batch")
    await change(database, old, created_at=now() - timedelta(seconds=PROMOTION + 1))
    later = await put(database, "interactive")
    assert await all_of(queue) == [older.id, old.id, later.id, young.id]


async def test_a_process_that_is_pressed_takes_only_batch_runs_that_are_old(database: Database, queue: Queue) -> None:
    young, old = await put(database), await put(database)
    await change(database, old, created_at=now() - timedelta(seconds=PROMOTION + 1))
    assert await all_of(queue, Room(lanes=frozenset({"batch"}), pressed=True)) == [old.id]
    assert await all_of(queue) == [young.id]


async def test_lanes_that_a_process_does_not_take_are_left_but_for_interactive_runs_that_were_begun(
    database: Database, queue: Queue
) -> None:
    fresh, begun = await put(database, "interactive"), await put(database, "interactive")
    batch = await put(database, "batch")
    await change(database, begun, fence=1)
    none = Room(lanes=frozenset({"interactive"}), takes=frozenset())
    assert await all_of(queue, none) == [begun.id]
    assert await all_of(queue, Room(lanes=frozenset(LANES), takes=frozenset({"batch"}))) == [batch.id]
    assert await all_of(queue) == [fresh.id]


async def test_runs_of_one_session_are_taken_one_after_the_other_whatever_their_lane(
    database: Database, queue: Queue
) -> None:
    first = await put(database, "batch", "s")
    second = await put(database, "interactive", "s")
    other = await put(database, "batch", "t")
    taken = await queue.take(ALL)
    assert taken is not None
    assert taken.id == first.id
    assert await all_of(queue) == [other.id]
    await change(database, first, status="waiting_approval")
    assert await all_of(queue) == [second.id]


async def test_of_many_that_ask_at_once_each_gets_another_run(database: Database) -> None:
    put_in = [(await put(database, random.Random(number).choice(LANES))).id for number in range(40)]
    workers = [Queue(database, f"worker {number}", PROMOTION) for number in range(8)]
    taken = await asyncio.gather(*(all_of(worker) for worker in workers))
    assert sorted(run for runs_of_one in taken for run in runs_of_one) == put_in
    assert sum(1 for runs_of_one in taken if runs_of_one) > 1


async def test_of_a_session_never_two_runs_go_on_whoever_asks(database: Database) -> None:
    put_in = [(await put(database, "batch", "s")).id for _ in range(12)]
    done: list[str] = []
    going_on = 0

    async def work(name: str) -> None:
        nonlocal going_on
        queue = Queue(database, name, PROMOTION)
        while len(done) < len(put_in):
            record = await queue.take(ALL)
            if record is not None:
                going_on += 1
                assert going_on == 1
                done.append(record.id)
                await asyncio.sleep(0)
                going_on -= 1
                await end(database, record)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(str(number)) for number in range(5)))
    assert done == put_in


async def test_a_dead_workers_run_is_put_back_and_a_living_ones_is_not(database: Database, queue: Queue) -> None:
    dead, living = await put(database, held=True), await put(database, held=True)
    await change(database, dead, lease_until=now() - timedelta(seconds=1))
    await queue.restore()
    taken = await queue.take(ALL)
    assert taken is not None
    assert (taken.id, taken.fence) == (dead.id, 2)
    assert await queue.take(ALL) is None
    await Claims(database, "somebody", alone=False).give_up(living.claim)
    assert await all_of(queue) == [living.id]


async def test_a_run_that_rests_is_put_back_once_nothing_of_it_is_left_to_decide(
    database: Database, queue: Queue
) -> None:
    run = await put(database, held=True)
    row = {
        "tenant": run.tenant,
        "principal": run.principal,
        "run_id": run.id,
        "session_id": run.session_id,
        "step": 1,
        "call_id": "c",
        "kind": "call",
        "tool": "pay",
        "effect": "write",
        "arguments": {},
        "digest": "",
        "reason": "",
        "sources": [],
        "approvers": [],
        "status": "pending",
        "created_at": now(),
    }
    await open_journal(database).write(run.claim, Transition(asked=[{**row, "id": "a"}, {**row, "id": "b"}]))
    for decided in ("a", "b"):
        assert not await queue.put_back(run.id)
        await queue.restore()
        assert await queue.take(ALL) is None
        mine = (approvals.c.id == decided, approvals.c.tenant == run.tenant)
        async with database.write() as connection:
            await connection.execute(update(approvals).where(*mine).values(status="approved"))
    assert await queue.put_back(run.id)
    assert not await queue.put_back(run.id)
    assert await all_of(queue) == [run.id]


async def test_who_decided_may_have_died_before_the_run_was_woken(database: Database, queue: Queue) -> None:
    run = await put(database, held=True)
    await change(database, run, status="waiting_approval")
    await queue.restore()
    assert await all_of(queue) == [run.id]


async def test_depth_and_age_are_those_of_all_that_waits(database: Database, queue: Queue) -> None:
    first, _, _ = await put(database), await put(database), await put(database, "interactive")
    since = now() - timedelta(seconds=30)
    await change(database, first, created_at=since)
    depths = await queue.depths()
    assert (depths["batch"], depths["interactive"].runs) == (Depth(2, since), 1)
    assert depths["batch"].oldest(since + timedelta(seconds=31)) == 31


async def test_what_waits_and_what_any_process_has_in_hand_is_counted(database: Database, queue: Queue) -> None:
    waiting, _, resting = await put(database), await put(database, held=True), await put(database, held=True)
    ended = await put(database, "interactive", held=True)
    await change(database, waiting, created_at=now() - timedelta(seconds=30))
    await change(database, resting, status="waiting_approval")
    await end(database, ended)
    states = await queue.states()
    assert (states["batch"].waiting, states["batch"].running) == (1, 1)
    assert states["batch"].oldest_seconds >= 30
    assert states["interactive"] == LaneState()


async def test_a_look_reads_what_waits_and_not_what_goes_on(database: Database) -> None:
    """The index holds what waits alone: a thousand runs in hand do not make the look for the next slower."""
    async with database.write() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        for choice in _choices(ALL):
            given = choice.element.params(old=now())
            query = given.compile(connection.sync_connection, compile_kwargs={"literal_binds": True})
            explained = across_tenants(text(f"EXPLAIN {query}"), Crossing.UPKEEP)
            plan = "\n".join((await connection.scalars(explained)).all())
            assert "Index Scan using runs_queued" in plan
