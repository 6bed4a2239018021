"""A question to a person that was recorded just before its process died is told by the next one, on every database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from agent.approvals.approval import Decision
from agent.log.log import FileEventLog
from agent.queue.turns import NoSignals
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.database import Database
from records.ids import now
from records.schema import runs
from tests.support.runs import ALICE, Bureau, Stores, runs_over


@pytest.fixture
async def stores(database: Database, tmp_path: Path) -> AsyncIterator[Stores]:
    log = FileEventLog(tmp_path / "events")
    yield Stores(database, log, NoSignals(), alone=database.dialect == "sqlite")
    await log.aclose()


def script(request: ModelRequest) -> list[ScriptItem]:
    if request.messages[-1].role == "tool":
        return ["Paid."]
    return [ToolCall(id="c", name="pay", arguments="{}")]


async def told(bureau: Bureau, run_id: str) -> list[str]:
    """The types of all events, up to where the run waits."""
    async with asyncio.timeout(60):
        return [event.type for event in await bureau.end_of(run_id)]


async def lease(database: Database, run_id: str) -> object:
    async with database.read() as connection:
        mine = (runs.c.id == run_id, runs.c.tenant == ALICE.tenant)
        return await connection.scalar(select(runs.c.lease_until).where(*mine))


async def test_it_is_told_once_and_the_decision_is_carried_out_once(stores: Stores) -> None:
    paid: list[int] = []

    @tool(effect="irreversible")
    def pay() -> str:
        """Pay."""
        paid.append(1)
        return "done"

    async with runs_over(stores, ScriptedModel(script), [pay]) as bureau:
        run_id, _ = await bureau.start("Pay")
        before = await told(bureau, run_id)
        assert before[-2:] == ["approval.requested", "run.waiting"]
        async with asyncio.timeout(60):
            while await lease(stores.database, run_id) is not None:
                await asyncio.sleep(0)
        await bureau.runs.tend()
        assert await told(bureau, run_id) == before, "whoever waits and was told so is left alone"
    # As if the process had died after it recorded the question, and before it told of it.
    await stores.log.erase(run_id)
    async with stores.database.write() as connection:
        mine = (runs.c.id == run_id, runs.c.tenant == ALICE.tenant)
        await connection.execute(update(runs).where(*mine).values(lease_until=now() - timedelta(seconds=1)))
    async with runs_over(stores, ScriptedModel(script), [pay]) as bureau:
        await bureau.runs.recover()
        await bureau.runs.tend()
        assert await told(bureau, run_id) == before
        assert paid == []
        (asked,) = await bureau.approvals.of_run(run_id)
        await bureau.approvals.decide(ALICE, asked.id, Decision(decision="approve"))
        await bureau.runs.wake(run_id)
        async with asyncio.timeout(60):
            while (after := await told(bureau, run_id))[-1] != "run.completed":
                await bureau.runs.tend()
        assert (after[: len(before)], paid) == (before, [1])
