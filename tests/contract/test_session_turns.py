"""Of a session one run goes on at any moment, in whatever process: woken ones and those of dead workers among them."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from agent.journal.journal import Claim, Transition
from agent.journal.record import RunRecord
from agent.journal.stores import open_journal, open_run_store
from agent.queue.claims import Claims
from agent.queue.lanes import LANES
from agent.queue.queue import Queue, Room
from agent.webhooks.endpoints import Endpoint, Endpoints
from agent.webhooks.notices import Notices
from memory.sessions import SessionStore
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal
from records.schema import approvals, runs, sessions
from tests.support.postgres import empty, kept_postgres

ALICE = Principal(id="alice")
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
def claims(database: Database) -> Claims:
    return Claims(database, "me", alone=False)


async def put(database: Database, session: str | None = None, *, held: bool = True) -> RunRecord:
    """Accept a run, in a new session unless one is named."""
    return await open_run_store(database, "me").accept(
        ALICE,
        session_id=session,
        title="t",
        model="m",
        config_version="c",
        request={"message": "m", "session_id": session},
        held=held,
    )


async def end(database: Database, run: RunRecord) -> None:
    await open_run_store(database, "me").end(run.claim, "cancelled", {"type": "run.cancelled"}, [])


async def change(database: Database, run: RunRecord, **values: Any) -> None:
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id, runs.c.tenant == run.tenant).values(**values))


async def rest(database: Database, claim: Claim) -> None:
    """Let a run wait for a person who agrees at once, before anybody has woken it."""
    row = {
        "id": new_id(),
        "tenant": claim.tenant,
        "principal": "alice",
        "run_id": claim.run_id,
        "session_id": claim.session_id,
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
    await open_journal(database).write(claim, Transition(asked=[row]))
    mine = (approvals.c.id == row["id"], approvals.c.tenant == claim.tenant)
    async with database.write() as connection:
        await connection.execute(update(approvals).where(*mine).values(status="approved"))


async def turn_of(database: Database, run: RunRecord) -> str | None:
    mine = (sessions.c.id == run.session_id, sessions.c.tenant == run.tenant)
    async with database.read() as connection:
        found: str | None = await connection.scalar(select(sessions.c.turn).where(*mine))
        return found


@pytest.mark.parametrize("told", [False, True], ids=["nobody is told", "an endpoint is told"])
async def test_a_run_that_began_its_session_has_the_turn_until_it_ends(
    database: Database, claims: Claims, told: bool
) -> None:
    endpoints = Endpoints((Endpoint(url="https://example.org/hook", secret="whsec_" + "a" * 32),) if told else ())
    first = await put(database)
    second = await put(database, first.session_id)
    assert await turn_of(database, first) == first.id
    assert not await claims.take_turn(second)
    assert await claims.take_turn(first)
    store = open_run_store(database, "me", Notices(endpoints))
    await store.end(first.claim, "cancelled", {"type": "run.cancelled", "reason": "", "effects": []}, [])
    assert await turn_of(database, first) is None
    assert await claims.take_turn(second)


async def test_a_run_that_was_woken_waits_for_the_one_that_has_begun_since_and_goes_before_later_ones(
    database: Database, claims: Claims
) -> None:
    woken = await put(database)
    later, last = await put(database, woken.session_id), await put(database, woken.session_id)
    await rest(database, woken.claim)
    assert await claims.take_turn(later)
    again = await claims.take(woken.id)
    assert again is not None
    assert not await claims.take_turn(again)
    assert not await claims.take_turn(last)
    assert await claims.take_turn(later)
    await end(database, later)
    assert not await claims.take_turn(last)
    assert await claims.take_turn(again)


async def test_whoever_takes_a_run_up_has_its_turn_and_who_lost_it_cannot_take_one(
    database: Database, claims: Claims
) -> None:
    woken = await put(database)
    later = await put(database, woken.session_id)
    await rest(database, woken.claim)
    assert await claims.take_turn(later)
    assert await claims.take(woken.id) is not None
    await change(database, later, lease_until=now() - timedelta(seconds=1))
    taken = await Claims(database, "another", alone=False).take(later.id)
    assert taken is not None
    assert not await claims.take_turn(later)
    assert await claims.take_turn(taken)
    await end(database, taken)
    assert not await claims.take_turn(later)
    assert await turn_of(database, later) is None


async def test_a_turn_that_an_older_version_has_left_behind_is_free(database: Database, claims: Claims) -> None:
    first = await put(database)
    second = await put(database, first.session_id)
    await change(database, first, result={}, status="completed")
    looks = [await claims.take_turn(second) for _ in range(2)]
    assert looks == [False, True]


async def test_a_session_that_is_not_there_holds_up_nobody_for_ever(database: Database, claims: Claims) -> None:
    first, second = await put(database, "gone"), await put(database, "gone")
    assert [await claims.take_turn(run) for run in (first, second)] == [True, False]
    await end(database, first)
    assert await claims.take_turn(second)


async def test_the_queue_gives_nobody_a_run_whose_turn_is_another_ones(database: Database, claims: Claims) -> None:
    """Or all places would be taken by runs that wait for one that finds none."""
    woken = await put(database)
    later = await put(database, woken.session_id)
    await rest(database, woken.claim)
    assert await claims.take_turn(later)
    queue = Queue(database, "another", 60.0)
    assert await queue.put_back(woken.id)
    assert await queue.take(ALL) is None
    await claims.give_up(later.claim)
    taken = await queue.take(ALL)
    assert taken is not None
    assert taken.id == later.id
    assert await queue.take(ALL) is None
    await end(database, taken)
    taken = await queue.take(ALL)
    assert taken is not None
    assert taken.id == woken.id


async def test_never_do_two_go_on_however_many_processes_race_rest_wake_and_die(database: Database) -> None:
    dice = random.Random(5)
    begun = [await put(database, held=False) for _ in range(3)]
    left = {run.id for run in begun} | {
        (await put(database, run.session_id, held=False)).id for run in begun for _ in range(7)
    }
    going_on: dict[str, str] = {}
    rested: set[str] = set()

    async def carry_out(claims: Claims, record: RunRecord) -> None:
        while record.fence > 1 or record.request["session_id"] is not None:
            if await claims.take_turn(record):
                break
            await asyncio.sleep(0)
        assert going_on.setdefault(record.session_id, record.id) == record.id
        await asyncio.sleep(0)
        fate = dice.random()
        del going_on[record.session_id]
        if fate < 0.3 and record.id not in rested:
            rested.add(record.id)
            await rest(database, record.claim)
        elif fate < 0.5:
            await claims.give_up(record.claim)
        else:
            await end(database, record)
            left.discard(record.id)

    async def work(name: str) -> None:
        queue, claims = Queue(database, name, 60.0), Claims(database, name, alone=False)
        while left:
            await queue.restore()
            record = await queue.take(ALL)
            if record is not None:
                await carry_out(claims, record)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(str(number)) for number in range(6)))
    async with database.write() as connection:
        assert not (await connection.scalars(select(sessions.c.turn).where(sessions.c.tenant == ALICE.tenant))).first()
        await connection.execute(delete(sessions).where(sessions.c.tenant == ALICE.tenant))


async def test_what_a_run_leaves_in_its_session_is_kept_with_its_turn(database: Database) -> None:
    """An end without words does not make a session look used; one with words does."""
    run = await put(database)
    before = (await SessionStore(database).get(ALICE, run.session_id)).updated_at
    await end(database, run)
    assert (await SessionStore(database).get(ALICE, run.session_id)).updated_at == before
