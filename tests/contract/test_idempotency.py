"""What idempotency keys promise on every database: one holder at a time, one run each, and an end."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from agent.idempotency import (
    KEPT,
    MAX_BODY,
    KeptAnswer,
    KeyInProgress,
    KeyReused,
    KeyTaken,
    RequestKey,
    Reservation,
    Reservations,
)
from agent.journal.record import RunRecord, RunStore
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import idempotency, runs, steps
from tests.support.everyones import everyones

ALICE = Principal(tenant="t", id="alice")
KEY = RequestKey(tenant="t", principal="alice", route="/v1/search", key="k", digest="d")
ANSWER = KeptAnswer(status=201, media_type="application/json", body='{"ü": "\\u0000"}')
OTHERS = [replace(KEY, **{field: "other"}) for field in ("tenant", "principal", "route", "key")]


async def reserved(database: Database, key: RequestKey = KEY) -> Reservation:
    found = await Reservations(database, wait=0).reserve(key)
    assert isinstance(found, Reservation)
    return found


async def accept(database: Database, key: RequestKey = KEY) -> RunRecord:
    return await RunStore(database, "worker").accept(
        ALICE, session_id=None, title="t", model="m", config_version="c", request={}, key=key
    )


async def age(database: Database, by: timedelta) -> None:
    async with database.write() as connection:
        await connection.execute(everyones(update(idempotency)).values(created_at=now() - by))


async def test_one_of_many_holds_a_key_and_the_others_get_its_answer(database: Database) -> None:
    held = 0

    async def ask() -> KeptAnswer:
        nonlocal held
        found = await Reservations(database).reserve(KEY)
        if isinstance(found, KeptAnswer):
            return found
        held += 1
        async with found.held():
            await found.keep(ANSWER)
        return ANSWER

    assert set(await asyncio.gather(*(ask() for _ in range(12)))) == {ANSWER}
    assert held == 1


async def test_who_has_no_answer_yet_is_not_waited_for_without_end(database: Database) -> None:
    async with (await reserved(database)).held():
        with pytest.raises(KeyInProgress):
            await Reservations(database, wait=0.05).reserve(KEY)
        with pytest.raises(KeyReused):
            await Reservations(database).reserve(replace(KEY, digest="other"))
        for other in OTHERS:
            await reserved(database, other)


async def test_a_failed_attempt_frees_the_key(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with (await reserved(database)).held():
            raise ZeroDivisionError
    async with (await reserved(database)).held() as _:
        pass
    await reserved(database)


async def test_an_answer_that_is_too_long_is_not_kept(database: Database) -> None:
    found = await reserved(database)
    async with found.held():
        await found.keep(replace(ANSWER, body="x" * (MAX_BODY + 1)))
    await reserved(database)


async def test_what_was_done_is_answered_though_its_answer_cannot_be_kept(database: Database) -> None:
    found = await reserved(database)
    with capture_logs() as logs:
        async with found.held():
            async with database.write() as connection:
                await connection.execute(everyones(text("ALTER TABLE idempotency RENAME TO gone")))
            await found.keep(ANSWER)
    assert [entry["event"] for entry in logs] == ["an answer could not be kept", "a reservation could not be freed"]


async def test_a_holder_that_shows_no_sign_of_life_loses_the_key(database: Database) -> None:
    slow = await reserved(database)
    await age(database, timedelta(minutes=1))
    quick = await reserved(database)
    async with quick.held():
        async with slow.held():
            await slow.keep(replace(ANSWER, body="late"))
        await quick.keep(ANSWER)
    assert await Reservations(database).reserve(KEY) == ANSWER


DYING = """
import asyncio, os, signal, sys
from agent.idempotency import Reservations
from records.database import Database
from tests.contract.test_idempotency import KEY

async def main():
    found = await Reservations(await Database.open(sys.argv[1])).reserve(KEY)
    async with found.held():
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_the_key_of_a_killed_process_is_soon_anybodys(url: str, database: Database) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DYING, url, cwd=root, env=environment)
    assert await process.wait() == -signal.SIGKILL
    with pytest.raises(KeyInProgress):
        await Reservations(database, wait=0.05).reserve(KEY)
    assert isinstance(await Reservations(database).reserve(KEY), Reservation)


async def test_of_many_equal_requests_one_run_is_accepted_and_nothing_is_left_of_the_others(database: Database) -> None:
    done = await asyncio.gather(*(accept(database) for _ in range(12)), return_exceptions=True)
    (record,) = [each for each in done if isinstance(each, RunRecord)]
    assert [type(each) for each in done].count(KeyTaken) == 11
    store = RunStore(database, "worker")
    assert await store.accepted(KEY) == (record.id, record.session_id)
    async with database.read() as connection:
        assert await connection.scalar(everyones(select(func.count()).select_from(runs))) == 1
        assert await connection.scalar(everyones(select(func.count()).select_from(steps))) == 1
    with pytest.raises(KeyReused):
        await store.accepted(replace(KEY, digest="other"))
    for other in OTHERS:
        assert await store.accepted(other) is None


async def test_a_key_stands_for_its_run_for_a_day(database: Database) -> None:
    store = RunStore(database, "worker")
    first = await accept(database)
    await age(database, KEPT - timedelta(minutes=1))
    assert await store.accepted(KEY) == (first.id, first.session_id)
    await age(database, KEPT + timedelta(minutes=1))
    assert await store.accepted(KEY) is None
    second = await accept(database, replace(KEY, digest="other"))
    assert second.id != first.id


async def test_yesterdays_keys_are_forgotten(database: Database) -> None:
    found = await reserved(database)
    async with found.held():
        await found.keep(ANSWER)
    reservations = Reservations(database)
    await reservations.purge()
    assert await reservations.reserve(KEY) == ANSWER
    await age(database, KEPT + timedelta(minutes=1))
    await reserved(database, replace(KEY, digest="other"))
    await age(database, KEPT + timedelta(minutes=1))
    await reservations.purge()
    async with database.read() as connection:
        assert await connection.scalar(everyones(select(func.count()).select_from(idempotency))) == 0
