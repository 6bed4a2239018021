"""A run that whoever takes it up dies of, or fails with, is given up on every database, and no other one is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from agent.events import RunCompleted
from agent.journal.journal import Intent, Transition
from agent.journal.record import RunRecord
from agent.journal.stores import open_journal
from agent.log.encoding import RunEvent
from agent.log.log import FileEventLog
from agent.queue.claims import Claims
from agent.queue.lanes import LaneLimits
from agent.queue.turns import NoSignals
from agent.resuming import TAKEN_UP
from models.scripted import ScriptedModel
from records.database import Database
from records.ids import now
from records.schema import approvals, runs
from records.tenancy import Crossing, across_tenants
from tests.support.runs import ALICE, Bureau, Stores, runs_over, terminals
from tests.support.service import ROOT, environment

REQUEST: dict[str, Any] = {"message": "Why?", "collection": "default", "retrieval": "off"}


@pytest.fixture
async def stores(database: Database, tmp_path: Path) -> AsyncIterator[Stores]:
    log = FileEventLog(tmp_path / "events")
    yield Stores(database, log, NoSignals(), alone=database.dialect == "sqlite")
    await log.aclose()


async def left_behind(bureau: Bureau, **request: Any) -> RunRecord:
    """A run of a process that died before it had written anything for it."""
    record = await bureau.store.accept(
        ALICE, session_id=None, title="Why?", model="m", config_version="c", request={**REQUEST, **request}
    )
    await bureau.log.open(record.id, record.fence)
    await let_leases_run_out(bureau.database)
    return record


async def let_leases_run_out(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(across_tenants(update(runs), Crossing.CLAIMS).values(lease_until=None))


async def look(bureau: Bureau) -> None:
    """What a process does as it starts, and then now and then."""
    await bureau.runs.recover()
    await bureau.runs.tend()


async def stalled(database: Database, record: RunRecord) -> int:
    async with database.read() as connection:
        found = await connection.scalar(
            select(runs.c.stalled).where(runs.c.id == record.id, runs.c.tenant == record.tenant)
        )
    assert found is not None
    return int(found)


async def taken_up_and_killed(stores: Stores, record: RunRecord, times: int) -> RunRecord:
    """As processes do that die before they come to anything."""
    for _ in range(times):
        await let_leases_run_out(stores.database)
        taken = await Claims(stores.database, "w", alone=stores.alone).take(record.id)
        assert taken is not None
        record = taken
    await let_leases_run_out(stores.database)
    return record


async def ended(bureau: Bureau, record: RunRecord) -> tuple[list[RunEvent], dict[str, Any]]:
    """The events of a run that has ended, and the last of them."""
    async with asyncio.timeout(60):
        events = await bureau.end_of(record.id)
    await bureau.idle()
    terminals(events)
    return events, orjson.loads(events[-1].data)


async def test_a_run_that_kills_whoever_takes_it_up_is_a_dead_letter(stores: Stores) -> None:
    async with runs_over(stores) as bureau:
        record = await left_behind(bureau)
        await taken_up_and_killed(stores, record, TAKEN_UP)
        await look(bureau)
        events, last = await ended(bureau, record)
        assert (last["type"], last["code"], last["retryable"]) == ("run.failed", "dead_letter", False)
        assert f"taken up {TAKEN_UP + 1} times" in last["detail"]
        kept = await bureau.store.get(ALICE, record.id)
        assert (kept.status, kept.result and kept.result["code"]) == ("failed", "dead_letter")
        assert await bureau.said(record.session_id) == ["Why?", "(There was no answer: run.failed.)"]
        await look(bureau)
        assert await bureau.end_of(record.id) == events, "it has one end"


async def test_a_run_that_was_unlucky_before_it_goes_on_is_none(stores: Stores) -> None:
    async with runs_over(stores, ScriptedModel([["Because."]])) as bureau:
        record = await left_behind(bureau)
        await taken_up_and_killed(stores, record, TAKEN_UP - 1)
        await look(bureau)
        _, last = await ended(bureau, record)
        assert (last["type"], last["answer"]) == ("run.completed", "Because.")


async def test_whatever_is_written_for_a_run_counts_as_progress(stores: Stores) -> None:
    async with runs_over(stores) as bureau:
        record = await taken_up_and_killed(stores, await left_behind(bureau), TAKEN_UP)
        assert await stalled(stores.database, record) == TAKEN_UP
        step = Intent(seq=0, kind="model", key="k", intent={}, attempt=2)
        await open_journal(stores.database).write(record.claim, Transition(begun=[step]))
        assert await stalled(stores.database, record) == 0


async def test_a_run_that_is_handed_over_is_not_to_blame(stores: Stores) -> None:
    """A service that is stopped again and again while a run goes on takes nothing from it."""
    async with runs_over(stores) as bureau:
        record = await left_behind(bureau)
        claims = Claims(stores.database, "w", alone=stores.alone)
        for _ in range(2 * TAKEN_UP):
            taken = await claims.take(record.id)
            assert taken is not None
            await claims.give_up(taken.claim)
        assert await stalled(stores.database, record) == 0


async def test_an_end_that_only_the_log_knows_stays_the_end(stores: Stores) -> None:
    async with runs_over(stores) as bureau:
        record = await left_behind(bureau)
        await bureau.log.append(record.id, [RunCompleted(finish_reason="stop", answer="", duration_ms=1.0)])
        record = await taken_up_and_killed(stores, record, TAKEN_UP + 1)
        await let_leases_run_out(stores.database)
        taken = await Claims(stores.database, "w", alone=stores.alone).take(record.id)
        assert taken is not None
        await bureau.runs._resumption.go_on(taken)
        _, last = await ended(bureau, record)
        assert last["type"] == "run.completed"
        assert (await bureau.store.get(ALICE, record.id)).status == "completed"


async def test_a_run_that_nobody_can_read_any_more_fails_and_the_others_go_on(stores: Stores) -> None:
    """Somebody has written to the database."""
    async with runs_over(stores, ScriptedModel(lambda _: ["Fine."])) as bureau:
        broken, sound = await left_behind(bureau, tools=5), await left_behind(bureau)
        await let_leases_run_out(stores.database)
        await look(bureau)
        assert (await ended(bureau, sound))[1]["type"] == "run.completed"
        assert (await ended(bureau, broken))[1]["code"] == "request_unreadable"


async def test_a_run_with_an_approval_that_nobody_can_read_is_given_up(stores: Stores) -> None:
    async with runs_over(stores) as bureau:
        record = await left_behind(bureau)
        row = {
            "id": "a",
            "tenant": record.tenant,
            "principal": record.principal,
            "run_id": record.id,
            "step": 0,
            "session_id": record.session_id,
            "call_id": "c",
            "kind": "call",
            "tool": "pay",
            "effect": "write",
            "arguments": {},
            "digest": "",
            "reason": "",
            "sources": [],
            "approvers": [],
            "created_at": now(),
            "status": "approved",
            "decision": {"nonsense": 1},
        }
        await stores.database.write_at_once([approvals.insert().values(**row)])
        for _ in range(TAKEN_UP + 1):
            await let_leases_run_out(stores.database)
            await look(bureau)
        assert (await ended(bureau, record))[1]["code"] == "dead_letter"


async def test_a_run_is_not_to_blame_for_stores_that_do_not_answer(stores: Stores) -> None:
    async with runs_over(stores) as bureau:
        record = await left_behind(bureau)
    # A folder that cannot be made is an error of the disk.
    without = Stores(stores.database, FileEventLog(Path(os.devnull)), stores.signals, stores.alone)
    async with runs_over(without) as bureau:
        for _ in range(2 * TAKEN_UP):
            await let_leases_run_out(stores.database)
            await look(bureau)
    assert (await Claims(stores.database, "w", alone=True).take(record.id)) is not None
    assert await stalled(stores.database, record) == 1


async def test_runs_that_only_wait_for_their_turn_are_not_to_blame(stores: Stores) -> None:
    """However often the process dies, of whatever else goes on in it."""
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        await never.wait()

    model = ScriptedModel(lambda _: [hang, "Fine."])
    lanes = LaneLimits(batch=1)
    async with runs_over(stores, model, lanes=lanes) as bureau:
        first, second = await left_behind(bureau, lane="batch"), await left_behind(bureau, lane="batch")
        await look(bureau)
        await begun.wait()
        assert bureau.runs.active == (2 if stores.alone else 1)
        assert [await stalled(stores.database, each) for each in (first, second)] == [0, 0]


POISONED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.support.runs import own_stores, runs_over, shared_stores
from agent.journal.record import RunStore

class Poison:
    async def get(self, name):
        os.kill(os.getpid(), signal.SIGKILL)

async def main(folder, *shared):
    async with (shared_stores(*shared) if shared else own_stores(Path(folder))) as stores:
        async with runs_over(stores) as bureau:
            bureau.runs._offer._models = Poison()
            await bureau.runs.recover()
            await bureau.runs.tend()
            await bureau.idle()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_processes_that_a_run_kills_are_killed_by_it_some_times_only(tmp_path: Path, kind: str) -> None:
    from tests.support.postgres import fresh_postgres
    from tests.support.redis import URL, reachable_redis
    from tests.support.runs import own_stores, shared_stores

    async with fresh_postgres() as postgres, reachable_redis():
        shared = [postgres, URL] if kind == "postgresql" else []
        opening = shared_stores(*shared) if shared else own_stores(tmp_path)
        async with opening as stores, runs_over(stores) as bureau:
            record = await left_behind(bureau)
        command = [sys.executable, "-c", POISONED, str(tmp_path), *shared]
        codes = []
        for _ in range(TAKEN_UP + 1):
            opening = shared_stores(*shared) if shared else own_stores(tmp_path)
            async with opening as stores:
                await let_leases_run_out(stores.database)
            died = await asyncio.to_thread(
                subprocess.run, command, cwd=ROOT, env=environment(), capture_output=True, timeout=60
            )
            codes.append(died.returncode)
        assert codes == [-signal.SIGKILL] * TAKEN_UP + [0]
        opening = shared_stores(*shared) if shared else own_stores(tmp_path)
        async with opening as stores, runs_over(stores) as bureau:
            assert (await ended(bureau, record))[1]["code"] == "dead_letter"
