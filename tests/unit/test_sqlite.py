"""The one-trip connection behaves as aiosqlite's does, for everything that SQLAlchemy asks of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from records.database import Database
from records.ids import new_id, now
from records.schema import sessions
from tests.support.everyones import everyones


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/cairn.db")
    yield opened
    await opened.aclose()


def row(title: str, identity: str | None = None) -> dict[str, Any]:
    moment = now()
    return {
        "id": identity or new_id(),
        "tenant": "t",
        "principal": "p",
        "title": title,
        "created_at": moment,
        "updated_at": moment,
    }


async def titles(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.scalars(everyones(select(sessions.c.title)).order_by(sessions.c.title))).all())


async def test_a_block_that_raises_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(sessions.insert(), [row("a"), row("b")])
            await connection.execute(sessions.insert().values(row("c", "same")))
            await connection.execute(sessions.insert().values(row("d", "same")))
    assert await titles(database) == []


async def test_a_connection_is_as_good_as_new_after_an_error(database: Database) -> None:
    for _ in range(40):  # more than there are connections
        with pytest.raises(OperationalError, match="no such table"):
            async with database.read() as connection:
                await connection.execute(text("SELECT * FROM nowhere"))
    async with database.write() as connection:
        await connection.execute(sessions.insert().values(row("a")))
    assert await titles(database) == ["a"]


async def test_a_block_that_is_cancelled_leaves_nothing_behind(database: Database) -> None:
    written = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.write() as connection:
            await connection.execute(sessions.insert().values(row("never")))
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_wait())
    await written.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with database.write() as connection:
        await connection.execute(sessions.insert().values(row("after")))
    assert await titles(database) == ["after"]


async def test_a_statement_that_is_cancelled_half_way_leaves_nothing_behind(database: Database) -> None:
    slow = text(
        "INSERT INTO sessions (id, tenant, principal, title, created_at, updated_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
        "SELECT 'id' || i, 't', 'p', 'never', '2026-01-01 00:00:00', '2026-01-01 00:00:00' FROM n"
    )
    begun = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(text("SELECT 1"))
            asyncio.get_running_loop().call_soon(begun.set)
            await connection.execute(everyones(slow))

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with database.write() as connection:
        await connection.execute(sessions.insert().values(row("after")))
    assert await titles(database) == ["after"]


async def test_statements_that_give_rows_back_and_counts_are_told(database: Database) -> None:
    async with database.write() as connection:
        given = await connection.execute(sessions.insert().values(row("a", "1")).returning(sessions.c.id))
        assert given.scalar_one() == "1"
        await connection.execute(sessions.insert(), [row("b"), row("c")])
        changed = await connection.execute(everyones(sessions.update()).values(title="x"))
        assert changed.rowcount == 3


async def test_many_readers_and_writers_at_once_all_come_to_their_end(database: Database) -> None:
    async def turn(number: int) -> int:
        async with database.write() as connection:
            await connection.execute(sessions.insert().values(row(f"{number:03}")))
        return len(await titles(database))

    seen = await asyncio.gather(*(turn(number) for number in range(100)))
    assert max(seen) == 100
    assert await titles(database) == [f"{number:03}" for number in range(100)]
