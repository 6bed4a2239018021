"""Runs keep their promises whatever stops them, and whenever: one end, told alike by record, session and log."""

import asyncio
import gc
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.errors import ServiceStopping
from agent.journal.record import RunNotFound
from agent.runs import RunRequest
from cairn import tool
from memory.sessions import SessionNotFound
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.principal import Principal
from records.schema import steps
from tests.support.everyones import everyones
from tests.support.runs import ALICE, Bureau, opened_runs, terminals


async def until(bureau: Bureau, run_id: str, kind: str) -> None:
    """Wait until the run has told an event of this type."""
    async for event in bureau.runs.follow(run_id):
        if event.type == kind:
            return


async def test_runs_of_one_session_never_overlap_and_keep_their_order(tmp_path: Path) -> None:
    at_once = most = 0

    async def enter() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)

    async def leave() -> None:
        nonlocal at_once
        at_once -= 1

    def script(request: ModelRequest) -> list[ScriptItem]:
        return [enter, f"re {request.messages[-1].content}", lambda: asyncio.sleep(0), leave]

    async with opened_runs(tmp_path, ScriptedModel(script)) as bureau:
        first, session = await bureau.start("0")
        await bureau.end_of(first)
        waves = []
        for number in range(1, 100):
            waves.append((await bureau.start(str(number), session))[0])
            await asyncio.sleep(0)
        for run in waves:
            terminals(await bureau.end_of(run))
        await bureau.idle()
        said = await bureau.said(session)
    assert most == 1
    assert said[1::2] == [f"re {number}" for number in range(100)]


async def test_a_run_that_arrives_just_as_another_ends_still_waits_for_those_before_it(tmp_path: Path) -> None:
    """Between letting go of a turn and its being taken up again nobody may step in."""
    hold = asyncio.Event()
    model = ScriptedModel(lambda request: [hold.wait, request.messages[-1].content])
    async with opened_runs(tmp_path, model) as bureau:
        first, session = await bureau.start("0")
        runs = [first] + [(await bureau.start(str(number), session))[0] for number in range(1, 20)]
        hold.set()
        late = 20
        while bureau.runs.active:
            if late < 60:
                runs.append((await bureau.start(str(late), session))[0])
                late += 1
            await asyncio.sleep(0)
        assert (await bureau.said(session))[::2] == [str(number) for number in range(late)]
    assert len(runs) == late


async def test_ended_runs_leave_nothing_behind(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        before = len(asyncio.all_tasks())
        for _ in range(50):
            run, _session = await bureau.start()
            await bureau.end_of(run)
        await bureau.idle()
        gc.collect()
        assert len(asyncio.all_tasks()) == before
        assert not bureau.runs._turns._locks
        assert not bureau.log._live
        assert not await bureau.store.unsealed()


async def test_cancelled_at_any_moment_a_run_ends_once_and_everybody_agrees_how(tmp_path: Path) -> None:
    @tool
    async def look() -> str:
        """Look."""
        await asyncio.sleep(0)
        return "seen"

    def script(request: ModelRequest) -> list[ScriptItem]:
        if request.messages[-1].role == "tool":
            return ["see. ", "Done."]
        return ["Let me ", ToolCall(id="c", name="look", arguments="{}")]

    ends = set()
    async with opened_runs(tmp_path, ScriptedModel(script), [look]) as bureau:
        for turns_of_the_loop in range(0, 400, 4):
            run, session = await bureau.start("question")
            for _ in range(turns_of_the_loop):
                await asyncio.sleep(0)
            await asyncio.gather(*(bureau.runs.cancel(ALICE, run, "enough") for _ in range(3)))
            events = await bureau.end_of(run)
            await bureau.idle()
            record = await bureau.store.get(ALICE, run)
            assert terminals(events) == [f"run.{record.status}"]
            assert await bureau.end_of(run) == events
            assert (await bureau.said(session)).count("question") == 1
            ends.add(record.status)
        assert not await bureau.store.unsealed()
    assert ends == {"cancelled", "completed"}


async def test_a_run_that_waits_for_its_turn_can_be_cancelled_without_disturbing_the_others(tmp_path: Path) -> None:
    hold = asyncio.Event()
    async with opened_runs(tmp_path, ScriptedModel(lambda _: [hold.wait, "ok"])) as bureau:
        first, session = await bureau.start("first")
        await until(bureau, first, "run.started")
        second, _ = await bureau.start("second", session)
        third, _ = await bureau.start("third", session)
        await bureau.runs.cancel(ALICE, second, "changed my mind")
        assert [event.type for event in await bureau.end_of(second)] == ["run.cancelled"]
        hold.set()
        assert terminals(await bureau.end_of(first)) == ["run.completed"]
        assert terminals(await bureau.end_of(third)) == ["run.completed"]


async def test_a_service_that_stops_hands_every_run_over_even_one_that_has_not_begun(tmp_path: Path) -> None:
    hold = asyncio.Event()
    model = ScriptedModel(lambda _: ["some ", hold.wait, "thing"])
    async with opened_runs(tmp_path, model) as bureau:
        going, session = await bureau.start()
        await until(bureau, going, "text.delta")
        waiting, _ = await bureau.start(session_id=session)
        fresh, _ = await bureau.start()
        await bureau.runs.aclose()
        told = [[event.type for event in await bureau.log.read(run)] for run in (going, waiting, fresh)]
        with pytest.raises(ServiceStopping):
            await bureau.start()
    assert told == [["run.started", "text.delta"], [], ["run.started", "text.delta"]]
    hold.set()
    async with opened_runs(tmp_path, model) as bureau:
        assert await bureau.runs.recover() == 3
        for run in (going, waiting, fresh):
            assert terminals(await bureau.end_of(run)) == ["run.completed"]
        await bureau.idle()
        assert await bureau.said(session) == ["Hello there", "some thing"] * 2
        assert not await bureau.store.unsealed()


async def test_a_service_that_stops_lets_runs_end_that_are_about_to(tmp_path: Path) -> None:
    hold = asyncio.Event()
    async with opened_runs(tmp_path, ScriptedModel(lambda _: [hold.wait, "done"])) as bureau:
        run, _ = await bureau.start()
        await until(bureau, run, "run.started")
        closing = asyncio.create_task(bureau.runs.aclose(grace=60))
        await asyncio.sleep(0)
        hold.set()
        await closing
        assert terminals(await bureau.log.read(run)) == ["run.completed"]


async def test_a_write_in_flight_is_finished_and_journalled_before_a_cancelled_run_ends(tmp_path: Path) -> None:
    begun, hold, done = asyncio.Event(), asyncio.Event(), []

    @tool(effect="write", autonomy="auto")
    async def pay() -> str:
        """Pay."""
        begun.set()
        await hold.wait()
        done.append("paid")
        return "paid"

    model = ScriptedModel([[ToolCall(id="c", name="pay", arguments="{}")]])
    async with opened_runs(tmp_path, model, [pay]) as bureau:
        run, _ = await bureau.start()
        await begun.wait()
        await bureau.runs.cancel(ALICE, run, "stop")
        await asyncio.sleep(0)
        assert not done
        hold.set()
        events = await bureau.end_of(run)
        assert terminals(events) == ["run.cancelled"]
        assert b'"effects":["pay"]' in events[-1].data
        assert done == ["paid"]
        async with bureau.database.read() as connection:
            made = everyones(select(steps.c.status)).where(steps.c.kind == "tool")
            assert (await connection.execute(made)).scalars().all() == ["done"]


async def test_half_a_surrogate_pair_from_a_model_is_replaced_everywhere(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, ScriptedModel([["half \ud83d pair"]])) as bureau:
        run, session = await bureau.start()
        assert terminals(await bureau.end_of(run)) == ["run.completed"]
        assert await bureau.said(session) == ["Hello there", "half ? pair"]


async def test_a_follower_that_asks_from_beyond_the_end_is_let_go_when_the_run_ends(tmp_path: Path) -> None:
    hold = asyncio.Event()
    async with opened_runs(tmp_path, ScriptedModel([[hold.wait, "ok"]])) as bureau:
        run, _ = await bureau.start()
        beyond = asyncio.create_task(anext(bureau.runs.follow(run, after=1000), None))
        await until(bureau, run, "run.started")
        hold.set()
        assert await beyond is None


@pytest.mark.parametrize("stranger", [Principal(id="bob"), Principal(tenant="other", id="alice")])
async def test_sessions_and_runs_of_somebody_else_do_not_exist(tmp_path: Path, stranger: Principal) -> None:
    async with opened_runs(tmp_path) as bureau:
        run, session = await bureau.start()
        await bureau.end_of(run)
        assert [found.id for found in await bureau.sessions.list(ALICE, 10)] == [session]
        assert await bureau.sessions.list(stranger, 10) == []
        with pytest.raises(SessionNotFound):
            await bureau.sessions.history(stranger, session)
        with pytest.raises(SessionNotFound):
            request = RunRequest(message="Hello", session_id=session, collection="default")
            await bureau.runs.start(stranger, request)
        with pytest.raises(RunNotFound):
            await bureau.runs.cancel(stranger, run, "mine now")
