"""Deleting a session: half-way, twice, at once, and beside a run that has just been accepted."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent.erasing.sessions import SessionBusy, SessionDeletion
from agent.log.log import EventLog
from memory.sessions import SessionNotFound
from models.scripted import ScriptedModel
from records.principal import Principal
from records.schema import messages, runs, session_tombstones, steps
from tests.support.everyones import everyones
from tests.support.runs import ALICE, Bureau, opened_runs

NOW = timedelta(0)


class Failing:
    """A log whose erasing fails so many times."""

    def __init__(self, log: EventLog, times: int) -> None:
        self._log = log
        self.left = times

    async def erase(self, run_id: str) -> None:
        if self.left:
            self.left -= 1
            raise OSError("the process died here")
        await self._log.erase(run_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


async def spoken(bureau: Bureau, times: int = 1) -> tuple[list[str], str]:
    """Runs of one session, ended and sealed."""
    started, session = [], None
    for _ in range(times):
        run_id, session = await bureau.start("Hello", session)
        await bureau.end_of(run_id)
        started.append(run_id)
    assert session is not None
    await bureau.idle()
    return started, session


async def rows(bureau: Bureau, table: Any) -> Sequence[Any]:
    async with bureau.database.read() as connection:
        return (await connection.execute(everyones(select(table)))).all()


async def test_what_fails_half_way_is_finished_by_upkeep(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        (first, second), session = await spoken(bureau, 2)
        log = Failing(bureau.log, times=3)
        deletion = SessionDeletion(bureau.database, log, bureau.runs)
        await deletion.delete(ALICE, session)
        for table in (runs, steps, messages):
            assert await rows(bureau, table) == []
        assert await bureau.log.read(first)
        while log.left:
            await deletion.tend()
        await deletion.tend()
        assert [await bureau.log.read(each) for each in (first, second)] == [[], []]
        [tombstone] = await rows(bureau, session_tombstones)
        assert (tombstone.run_count, tombstone.settled_at) == (2, None)
        # Once more when nothing can come any more; then it is left alone.
        await SessionDeletion(bureau.database, log, bureau.runs, settles=NOW).tend()
        [tombstone] = await rows(bureau, session_tombstones)
        assert tombstone.settled_at is not None
        assert tombstone.unfinished == {"runs": [], "erased": True}


async def test_of_several_at_once_one_deletes(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        _, session = await spoken(bureau)
        deletion = SessionDeletion(bureau.database, bureau.log, bureau.runs)
        done = await asyncio.gather(*(deletion.delete(ALICE, session) for _ in range(4)), return_exceptions=True)
        assert done.count(None) == 1
        assert all(isinstance(each, SessionNotFound | SessionBusy) for each in done if each is not None)
        assert len(await rows(bureau, session_tombstones)) == 1


async def test_nobody_elses_session_is_deleted(tmp_path: Path) -> None:
    async with opened_runs(tmp_path) as bureau:
        _, session = await spoken(bureau)
        deletion = SessionDeletion(bureau.database, bureau.log, bureau.runs)
        for stranger in (Principal(id="bob"), Principal(tenant="other", id="alice")):
            with pytest.raises(SessionNotFound):
                await deletion.delete(stranger, session)
            if stranger.tenant == ALICE.tenant:
                with pytest.raises(SessionNotFound):
                    await deletion.delete_all(stranger, ALICE.id)
        assert await bureau.said(session) == ["Hello", "Fine."]
        boss = Principal(id="boss", scopes=frozenset({"admin"}))
        assert await deletion.delete_all(boss, ALICE.id) == 1
        [tombstone] = await rows(bureau, session_tombstones)
        assert (tombstone.principal, tombstone.deleted_by, tombstone.reason) == ("alice", "boss", "forgotten")


async def test_a_run_that_was_accepted_in_the_very_moment_goes_too(tmp_path: Path) -> None:
    """It has looked the session up before that is deleted, and is written after."""
    go = asyncio.Event()
    async with opened_runs(tmp_path, ScriptedModel([["Hi."], [go.wait, "Late."]])) as bureau:
        _, session = await spoken(bureau)
        deletion = SessionDeletion(bureau.database, bureau.log, bureau.runs, settles=NOW)
        await deletion.delete(ALICE, session)
        accepted = await bureau.store.accept(
            ALICE,
            session_id=session,
            title="",
            model="scripted:test",
            config_version="c",
            request={"message": "Late", "session_id": session, "collection": "default", "retrieval": "off"},
        )
        await bureau.runs.recover()
        await deletion.tend()  # it goes on: not yet
        assert [row.id for row in await rows(bureau, runs)] == [accepted.id]
        go.set()
        assert await bureau.end_of(accepted.id)
        await bureau.idle()
        await deletion.tend()
        for table in (runs, steps, messages):
            assert await rows(bureau, table) == []
        assert await bureau.log.read(accepted.id) == []
        [tombstone] = await rows(bureau, session_tombstones)
        assert tombstone.settled_at is not None


async def test_a_run_that_does_not_stop_in_time_keeps_its_session(tmp_path: Path) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def reach() -> None:
        reached.set()
        await go.wait()

    async with opened_runs(tmp_path, ScriptedModel([[reach, "Done."]])) as bureau:
        _, session = await bureau.start("Hello")
        await reached.wait()

        class Deaf:
            async def cancel(self, principal: Principal, run_id: str, reason: str) -> None:
                """Do nothing."""

        deletion = SessionDeletion(bureau.database, bureau.log, Deaf(), patience=0.0)
        with pytest.raises(SessionBusy, match="1 of its runs"):
            await deletion.delete(ALICE, session, cancel=True)
        go.set()
        await bureau.idle()
        await deletion.delete(ALICE, session)
