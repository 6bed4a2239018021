"""After a death at any point of a run's end, the next process brings record, session and log to the same story."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, update

from agent.events import EventBody, RunCancelled, RunCompleted, RunFailed, RunStarted, TextDelta
from agent.journal.record import RunRecord
from agent.journal.replay import effects
from agent.log.encoding import RunEvent
from agent.log.log import FileEventLog
from agent.log.outcome import outcome
from cairn import tool
from models.messages import Message, ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.ids import now
from records.schema import runs
from tests.support.everyones import everyones
from tests.support.runs import ALICE, Bureau, opened_runs, terminals

STARTED = RunStarted(session_id="s", model="m", config_version="c", created_at="now")
ANSWERED = RunCompleted(finish_reason="stop", answer="Half and half", duration_ms=1.0)
REQUEST = {"message": "Why?", "collection": "default", "retrieval": "off"}
SAID = [Message(role="user", content="Why?"), Message(role="assistant", content="Half and half")]


async def left_behind(bureau: Bureau, *logged: EventBody, ended: RunCompleted | None = None) -> RunRecord:
    """A run as a process that died leaves it: these events in its log, and its end in SQL where one is given."""
    record = await bureau.store.accept(
        ALICE, session_id=None, title="Why?", model="m", config_version="c", request=REQUEST
    )
    log = FileEventLog(bureau.log._folder)
    await log.open(record.id)
    if logged:
        await log.append(record.id, logged)
    await log.aclose()
    if ended is not None:
        await bureau.store.end(record.claim, "completed", asdict(ended), SAID)
    return record


async def recovered(bureau: Bureau, record: RunRecord) -> tuple[str, list[RunEvent], Sequence[str]]:
    """Status, events and session of the run after recovery, which leaves nothing to a second one."""
    await bureau.runs.recover()
    events = await bureau.end_of(record.id)
    await bureau.idle()
    terminals(events)
    assert not await bureau.store.unsealed()
    assert await bureau.runs.recover() == 0
    assert await bureau.log.read(record.id) == events
    assert [event async for event in bureau.runs.follow(record.id)] == events
    return (await bureau.store.get(ALICE, record.id)).status, events, await bureau.said(record.session_id)


@pytest.mark.parametrize(
    ("logged", "told"),
    [
        ([], ["Half and half"]),
        ([STARTED], ["Half and half"]),
        ([STARTED, TextDelta("Half")], ["Half", " and half"]),
        ([STARTED, TextDelta("Half"), TextDelta(" and half")], ["Half", " and half"]),
    ],
)
async def test_a_run_that_was_going_on_goes_on_after_what_it_has_told(
    tmp_path: Path, logged: Sequence[EventBody], told: list[str]
) -> None:
    async with opened_runs(tmp_path, ScriptedModel([["Half and half"]])) as bureau:
        status, events, said = await recovered(bureau, await left_behind(bureau, *logged))
    assert status == "completed"
    assert [orjson.loads(event.data)["delta"] for event in events if event.type == "text.delta"] == told
    assert [event.type for event in events].count("run.started") == 1
    assert said == ["Why?", "Half and half"]


@pytest.mark.parametrize("logged", ["Half of it", "Whole and whole and whole"])
async def test_an_answer_that_comes_out_differently_begins_anew(tmp_path: Path, logged: str) -> None:
    async with opened_runs(tmp_path, ScriptedModel([["Whole"]])) as bureau:
        _, events, said = await recovered(bureau, await left_behind(bureau, STARTED, TextDelta(logged)))
    assert [event.type for event in events][2:4] == ["answer.restarted", "text.delta"]
    assert orjson.loads(events[2].data)["supersedes_seq"] == 2
    assert outcome(events)["answer"] == "Whole"
    assert said == ["Why?", "Whole"]


async def test_an_end_that_only_sql_knows_is_told_by_the_log(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        record = await left_behind(bureau, STARTED, TextDelta("Half and half"), ended=ANSWERED)
        status, events, said = await recovered(bureau, record)
    assert status == "completed"
    assert orjson.loads(events[-1].data)["answer"] == "Half and half"
    assert said == ["Why?", "Half and half"]


@pytest.mark.parametrize(
    ("end", "status"),
    [(RunCancelled(reason="enough"), "cancelled"), (RunFailed(code="disk_full", detail="full"), "failed")],
)
async def test_an_end_that_only_the_log_knows_is_recorded(tmp_path: Path, end: EventBody, status: str) -> None:
    async with opened_runs(tmp_path) as bureau:
        record = await left_behind(bureau, STARTED, TextDelta("Half"), end)
        assert (await recovered(bureau, record))[::2] == (status, ["Why?", "Half"])


async def test_an_end_that_both_know_only_lacks_its_seal(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        record = await left_behind(bureau, STARTED, TextDelta("Half and half"), ANSWERED, ended=ANSWERED)
        status, events, said = await recovered(bureau, record)
    assert (status, len(events)) == ("completed", 3)
    assert said == ["Why?", "Half and half"]


@pytest.mark.parametrize(
    "damage", [b'{"run_id":"half a li', b"\0\0\0\0\n", b'{"seq":7,"type":"x"}\n', b"[]\n", b"\xff\xfe\n{}\n"]
)
async def test_a_log_with_a_damaged_tail_goes_on_from_what_is_whole(tmp_path: Path, damage: bytes) -> None:
    async with opened_runs(tmp_path, ScriptedModel([["Half and half"]])) as bureau:
        record = await left_behind(bureau, STARTED, TextDelta("Half"))
        with bureau.log._path(record.id).open("ab") as file:
            file.write(damage)
        _, events, said = await recovered(bureau, record)
    assert [event.type for event in events] == ["run.started", "text.delta", "text.delta", "usage", "run.completed"]
    assert said == ["Why?", "Half and half"]


async def test_a_run_that_cannot_be_recovered_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        stuck = await left_behind(bureau)
        path = bureau.log._path(stuck.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        other = await left_behind(bureau, STARTED)
        await bureau.runs.recover()
        terminals(await bureau.end_of(other.id))
        path.rmdir()
        await bureau.runs.recover()
        terminals(await bureau.end_of(stuck.id))
        await bureau.idle()
        assert not await bureau.store.unsealed()


async def test_an_end_that_could_not_be_kept_is_told_and_kept_once_there_is_room(tmp_path: Path) -> None:
    """The log fails as on a full disk: readers hear of it, now and later, and another run's end puts it right."""
    hold = asyncio.Event()

    def script(request: ModelRequest) -> list[ScriptItem]:
        return ["one ", hold.wait, "two"] if request.messages[-1].content == "doomed" else ["fine"]

    async with opened_runs(tmp_path, ScriptedModel(script)) as bureau:
        run, session = await bureau.start("doomed")
        async for event in bureau.runs.follow(run):
            if event.type == "text.delta":
                break
        file = bureau.log._files[run]
        file.close()
        file._file = os.open("/dev/full", os.O_WRONLY)
        hold.set()
        events = await bureau.end_of(run)
        assert terminals(events) == ["run.failed"]
        assert b'"code":"disk_full"' in events[-1].data
        assert await bureau.end_of(run) == events
        await bureau.idle()
        other, _ = await bureau.start("other")
        await bureau.end_of(other)
        await bureau.idle()
        kept = FileEventLog(bureau.log._folder)
        assert terminals(await kept.read(run)) == ["run.failed"]
        assert (await bureau.said(session))[0] == "doomed"
        assert not await bureau.store.unsealed()
        assert not bureau.log._live


async def test_a_run_that_was_told_its_end_does_not_act_again_when_that_could_not_be_recorded(tmp_path: Path) -> None:
    """The log has the end, the database has not: the run looks like an orphan, and is none."""
    async with opened_runs(tmp_path) as bureau:
        record = await left_behind(bureau, STARTED, RunFailed(code="internal", detail="no database"))
        async with bureau.database.write() as connection:
            await connection.execute(everyones(update(runs)).values(lease_until=None))
        await bureau.runs.tend()
        await bureau.idle()
        assert (await bureau.store.get(ALICE, record.id)).status == "failed"
        assert [event.type for event in await bureau.log.read(record.id)] == ["run.started", "run.failed"]


async def test_a_call_under_way_whose_tool_is_gone_may_have_acted(tmp_path: Path) -> None:
    begun, hold = asyncio.Event(), asyncio.Event()

    @tool(effect="irreversible", autonomy="auto")
    async def pay() -> str:
        """Pay."""
        begun.set()
        await hold.wait()
        return "paid"

    def script(request: ModelRequest) -> list[ScriptItem]:
        last = request.messages[-1]
        return [last.content] if last.role == "tool" else [ToolCall(id="c", name="pay", arguments="{}")]

    async with opened_runs(tmp_path, ScriptedModel(script), [pay]) as first:
        run_id, _ = await first.start()
        await begun.wait()
        async with opened_runs(tmp_path, ScriptedModel(script)) as second:  # as if the first had been killed
            await second.runs.recover()
            events = await second.end_of(run_id)
            assert outcome(events)["tool_calls"][0]["failure"] == "unknown"
            assert effects(
                await second.runs._office.collaborators.journal.load((await second.store.get(ALICE, run_id)).claim)
            ) == ("pay",)
        hold.set()
        await first.idle()


async def test_a_lease_outlives_every_call_that_is_still_under_way(tmp_path: Path) -> None:
    hold, leases = asyncio.Event(), []

    @tool(effect="write", autonomy="auto", timeout=500)
    async def slow() -> str:
        """Take long."""
        await hold.wait()
        return "done"

    @tool(effect="write", autonomy="auto", timeout=1)
    async def quick() -> str:
        """Take no time."""
        return "done"

    def script(request: ModelRequest) -> list[ScriptItem]:
        names = () if request.messages[-1].role == "tool" else ("slow", "quick")
        return [ToolCall(id="c", name=name, arguments="{}") for name in names] or ["Done."]

    async with opened_runs(tmp_path, ScriptedModel(script), [slow, quick]) as bureau:
        run_id, _ = await bureau.start()
        async for event in bureau.runs.follow(run_id):
            async with bureau.database.read() as connection:
                until = (await connection.execute(everyones(select(runs.c.lease_until)))).scalar_one()
            leases.append((event.type, until - now() > timedelta(seconds=400)))
            if event.type == "tool.result":
                hold.set()
    assert leases[1:4] == [("tool.call", True), ("tool.call", True), ("tool.result", True)]
    assert leases[-1] == ("run.completed", False)
