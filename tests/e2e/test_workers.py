"""Several processes work on one database: a run is in one pair of hands, and goes on in another's when these die."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, update

from agent.approvals.approval import Decision
from agent.errors import RunTakenOver
from agent.journal.journal import Transition
from models.scripted import ScriptedModel
from records.ids import now
from records.schema import runs
from tests.support.dying_run import Death, Ledger, bureau, follow
from tests.support.everyones import everyones
from tests.support.postgres import fresh_postgres
from tests.support.redis import URL, reachable_redis
from tests.support.runs import ALICE, Bureau, Stores, own_stores, runs_over, shared_stores, terminals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 10
"""Within which a dead worker's runs are taken over."""


@pytest.fixture
async def shared() -> AsyncIterator[tuple[str, str]]:
    """An empty PostgreSQL database and an empty Redis database."""
    async with fresh_postgres() as postgres, reachable_redis():
        yield postgres, URL


@asynccontextmanager
async def tending(opened: Bureau) -> AsyncIterator[None]:
    """Upkeep as a service does it."""

    async def tend() -> None:
        while True:
            await opened.runs.tend()
            await asyncio.sleep(1)

    assert opened.runs.dispatch is not None
    going_on = (tend(), opened.runs.heed(), opened.runs.dispatch.listen())
    tasks = [asyncio.create_task(each) for each in going_on]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def the_run(opened: Bureau) -> str:
    """The id of the only run, once it has told something."""
    while True:
        async with opened.database.read() as connection:
            found = (await connection.scalars(everyones(select(runs.c.id)))).all()
        if found and await opened.log.read(found[0]):
            return str(found[0])
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("moment", [6, 18])
async def test_a_dead_workers_run_goes_on_in_another_without_a_gap(
    tmp_path: Path, shared: tuple[str, str], moment: int
) -> None:
    command = (sys.executable, "-m", "tests.support.dying_run", str(tmp_path), str(moment), *shared)
    first = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL)
    async with bureau(tmp_path, Death(), shared) as second:
        run_id = await the_run(second)
        follower = asyncio.create_task(follow(second, run_id))
        assert await first.wait() == -signal.SIGKILL
        ledger = Ledger(tmp_path / "ledger")
        async with tending(second), asyncio.timeout(SECONDS):
            events = await follower
        async with tending(second), asyncio.timeout(SECONDS):
            for approval in await second.approvals.of_run(run_id):
                done = Decision(decision="reject", reason="It was done.")
                decision = done if ledger.posted("mute") else Decision(decision="approve")
                await second.approvals.decide(ALICE, approval.id, decision)
                await second.runs.wake(run_id)
                events += await follow(second, run_id, len(events))
        assert terminals(events) == ["run.completed"]
        assert await second.log.read(run_id) == events
    assert [len(ledger.posted(kind)) for kind in ("keyed", "reported", "mute")] == [1, 1, 1]


async def test_a_frozen_worker_that_wakes_up_can_write_and_tell_nothing_any_more(
    shared: tuple[str, str],
) -> None:
    hold = asyncio.Event()
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(shared_stores(*shared)) for _ in range(2)]
        frozen = await stack.enter_async_context(runs_over(stores[0], ScriptedModel([["a", hold.wait, "b"]])))
        quick = await stack.enter_async_context(runs_over(stores[1], ScriptedModel([["a", "b"]])))
        run_id, _ = await frozen.start()
        async for event in quick.runs.follow(run_id):
            if event.type == "text.delta":
                break
        async with quick.database.write() as connection:  # as if its lease had run out while it slept
            await connection.execute(everyones(update(runs)).values(lease_until=now()))
        await quick.runs.tend()
        events = await quick.end_of(run_id)
        with pytest.raises(RunTakenOver):
            claim = next(iter(frozen.runs._running.values())).record.claim
            await frozen.runs._office.collaborators.journal.write(claim, Transition())
        hold.set()
        await frozen.idle()
        await quick.idle()
        assert await frozen.log.read(run_id) == events
        assert terminals(events) == ["run.completed"]
        assert (await frozen.store.get(ALICE, run_id)).fence == 2


async def test_of_many_workers_one_takes_up_each_orphan(shared: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        workers = []
        for _ in range(4):
            stores = await stack.enter_async_context(shared_stores(*shared))
            workers.append(await stack.enter_async_context(runs_over(stores)))
        hold = asyncio.Event()
        dead = await stack.enter_async_context(
            runs_over(await stack.enter_async_context(shared_stores(*shared)), ScriptedModel(lambda _: [hold.wait]))
        )
        left = [(await dead.start(str(number)))[0] for number in range(12)]
        async with dead.database.write() as connection:
            await connection.execute(everyones(update(runs)).values(lease_until=None))
        await asyncio.gather(*(worker.runs.tend() for worker in workers))
        for run_id in left:
            assert terminals(await workers[0].end_of(run_id)) == ["run.completed"]
            assert (await workers[0].store.get(ALICE, run_id)).fence == 2
        hold.set()
        await dead.idle()


async def test_a_run_is_cancelled_from_another_process_at_once(shared: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(shared_stores(*shared)) for _ in range(2)]
        model = ScriptedModel(lambda _: ["going ", asyncio.Event().wait])
        here = await stack.enter_async_context(runs_over(stores[0], model))
        there = await stack.enter_async_context(runs_over(stores[1], model))
        heeding = asyncio.create_task(here.runs.heed())
        run_id, _ = await here.start()
        async for event in there.runs.follow(run_id):
            if event.type == "text.delta":
                break
        await there.runs.cancel(ALICE, run_id, "enough")
        assert terminals(await there.end_of(run_id)) == ["run.cancelled"]
        heeding.cancel()


async def test_runs_of_one_session_keep_their_order_across_processes(shared: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(shared_stores(*shared)) for _ in range(2)]
        model = ScriptedModel(lambda request: [f"re {request.messages[-1].content}"])
        bureaus = [await stack.enter_async_context(runs_over(each, model)) for each in stores]
        first, session = await bureaus[0].start("0")
        started = [first] + [(await bureaus[number % 2].start(str(number), session))[0] for number in range(1, 8)]
        for run_id in started:
            terminals(await bureaus[0].end_of(run_id))
        await bureaus[0].idle()
        await bureaus[1].idle()
        assert await bureaus[0].said(session) == [text for n in range(8) for text in (str(n), f"re {n}")]


async def test_a_worker_that_stops_hands_its_runs_over_at_once(tmp_path: Path) -> None:
    await hand_over(lambda: own_stores(tmp_path))


async def test_a_worker_among_others_hands_its_runs_over_at_once(shared: tuple[str, str]) -> None:
    await hand_over(lambda: shared_stores(*shared))


async def hand_over(stores: Callable[[], AbstractAsyncContextManager[Stores]]) -> None:
    """One worker stops in the middle of an answer, and another goes on with it."""
    async with stores() as mine, runs_over(mine, ScriptedModel(lambda _: ["a", asyncio.Event().wait])) as stopping:
        run_id, _ = await stopping.start()
        async for event in stopping.runs.follow(run_id):
            if event.type == "text.delta":
                break
        await stopping.runs.aclose()
    async with stores() as theirs, runs_over(theirs, ScriptedModel(lambda _: ["a", "b"])) as other:
        await other.runs.tend()
        events = await other.end_of(run_id)
        assert terminals(events) == ["run.completed"]
        assert [orjson.loads(event.data)["delta"] for event in events if event.type == "text.delta"] == ["a", "b"]
