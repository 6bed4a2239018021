"""What the journal promises on every database: whole transitions, and none by a worker that has lost the run."""

from datetime import timedelta
from typing import Any

import pytest

from agent.errors import RunTakenOver
from agent.journal.journal import Intent, Journal, Outcome, Transition
from agent.journal.record import RunRecord
from agent.journal.stores import open_journal, open_run_store
from agent.queue.claims import Claims
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import approvals
from tests.support.everyones import everyones

ALICE = Principal(id="alice")
RESULT: dict[str, Any] = {"content": 'odd "text" \u2028 \u0000 🪨', "failure": None, "sources": []}


@pytest.fixture
def journal(database: Database) -> Journal:
    return open_journal(database)


@pytest.fixture
async def run(database: Database) -> RunRecord:
    return await open_run_store(database, "me").accept(
        ALICE, session_id=None, title="t", model="m", config_version="c", request={"message": "m"}, first="retrieval"
    )


def tool(run: RunRecord, seq: int, attempt: int = 1) -> Intent:
    return Intent(seq=seq, kind="tool", key=f"{run.id}:{seq}", intent={"name": "pay", "n": 1.5}, attempt=attempt)


async def test_a_run_is_accepted_with_the_intent_of_its_first_step(journal: Journal, run: RunRecord) -> None:
    (step,) = await journal.load(run.claim)
    assert (step.seq, step.kind, step.key, step.status, step.attempt) == (0, "retrieval", f"{run.id}:0", "started", 1)
    assert step.result is None


async def test_what_ended_and_what_begins_is_written_at_once(journal: Journal, run: RunRecord) -> None:
    ended = Outcome(seq=0, status="done", result=RESULT)
    await journal.write(run.claim, Transition(ended=[ended], begun=[tool(run, 1), tool(run, 2)]))
    first, second, third = await journal.load(run.claim)
    assert (first.status, first.result) == ("done", RESULT)
    assert (second.status, second.result, second.intent) == ("started", None, {"name": "pay", "n": 1.5})
    assert third.seq == 2


async def test_a_step_may_begin_and_end_at_once(journal: Journal, run: RunRecord) -> None:
    refused = Outcome(seq=1, status="invalid_arguments", result=RESULT)
    await journal.write(run.claim, Transition(ended=[refused], begun=[tool(run, 1)]))
    assert [(step.status, step.result) for step in await journal.load(run.claim)][1] == ("invalid_arguments", RESULT)


async def test_a_step_that_is_tried_again_keeps_its_key_and_counts_its_attempts(
    journal: Journal, run: RunRecord
) -> None:
    await journal.write(run.claim, Transition(begun=[tool(run, 1)]))
    await journal.write(run.claim, Transition(begun=[tool(run, 1, attempt=2)]))
    step = (await journal.load(run.claim))[1]
    assert (step.attempt, step.key, step.status) == (2, f"{run.id}:1", "started")


async def test_a_worker_that_lost_the_run_writes_nothing(database: Database, journal: Journal, run: RunRecord) -> None:
    taken = await Claims(database, "another", alone=True).take(run.id)
    assert taken is not None
    assert taken.fence == 2
    before = await journal.load(run.claim)
    with pytest.raises(RunTakenOver):
        await journal.write(
            run.claim, Transition(ended=[Outcome(seq=0, status="done", result={})], begun=[tool(run, 1)])
        )
    assert await journal.load(run.claim) == before
    await journal.write(taken.claim, Transition(begun=[tool(run, 1)]))


async def test_nothing_is_written_for_a_run_that_has_ended(
    database: Database, journal: Journal, run: RunRecord
) -> None:
    await open_run_store(database, "me").end(run.claim, "cancelled", {"type": "run.cancelled"}, [])
    with pytest.raises(RunTakenOver):
        await journal.write(run.claim, Transition(begun=[tool(run, 1)]))


async def test_a_run_that_is_held_cannot_be_taken_before_its_lease_is_over(
    database: Database, journal: Journal, run: RunRecord
) -> None:
    others = Claims(database, "another", alone=False)
    assert await others.take(run.id) is None
    assert await others.orphans() == []
    await journal.write(run.claim, Transition(begun=[tool(run, 1)], lease=timedelta(seconds=-1)))
    assert await others.orphans() == [run.id]
    assert await others.keep([run.claim]) == {run.id}
    assert await others.take(run.id) is None
    await others.give_up(run.claim)
    assert await others.orphans() == [run.id]
    assert await others.take(run.id) is not None
    assert await others.keep([run.claim]) == frozenset()


async def test_a_run_whose_approvals_are_all_decided_is_woken_by_whoever_sees_it(
    database: Database, journal: Journal, run: RunRecord
) -> None:
    row = {
        "id": "a",
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
        "created_at": now(),
    }
    others = Claims(database, "another", alone=False)
    await journal.write(run.claim, Transition(asked=[{**row, "status": "pending"}]))
    assert await others.orphans() == []
    await journal.write(run.claim, Transition(asked=[{**row, "id": "b", "status": "pending"}]))
    async with database.write() as connection:
        await connection.execute(everyones(approvals.update()).where(approvals.c.id == "a").values(status="approved"))
    assert await others.orphans() == []
    async with database.write() as connection:
        await connection.execute(everyones(approvals.update()).where(approvals.c.id == "b").values(status="rejected"))
    assert await others.orphans() == [run.id]
