"""What the record promises on every database: SQLite, and PostgreSQL where a server can be reached."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from agent.errors import RunTakenOver
from agent.journal.stores import open_run_store
from memory.sessions import SessionStore
from models.messages import Message, ToolCall
from records.database import MIGRATIONS, Database, DatabaseError, migrate
from records.ids import new_id, now
from records.principal import Principal
from records.schema import metadata, runs, sessions
from tests.support.everyones import everyones
from tests.support.postgres import empty_postgres

ALICE = Principal(id="alice")


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/cairn.db"
        return
    async with empty_postgres() as url:
        yield url


def session(title: str, identity: str | None = None) -> dict[str, Any]:
    moment = now()
    given = {"id": identity or new_id(), "tenant": "t", "principal": "p", "title": title}
    return {**given, "created_at": moment, "updated_at": moment}


async def titles(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.scalars(everyones(select(sessions.c.title)).order_by(sessions.c.title))).all())


async def count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(everyones(select(func.count()).select_from(table))) or 0)


def downgrade(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url)
    command.downgrade(config, revision)


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


async def test_a_new_database_and_one_that_went_through_all_migrations_have_the_schema_that_the_code_knows(
    url: str,
) -> None:
    new = await Database.open(url)
    async with new.read() as connection:
        assert await connection.run_sync(differences) == []
    await new.aclose()
    await asyncio.to_thread(downgrade, url, "base")
    await asyncio.to_thread(migrate, url)
    migrated = await Database.open(url)
    async with migrated.read() as connection:
        assert await connection.run_sync(differences) == []
    await migrated.aclose()


async def test_a_database_of_the_previous_version_keeps_its_runs(url: str, database: Database) -> None:
    values = {"id": new_id(), "tenant": "t", "principal": "p", "session_id": "s", "status": "completed", "model": "m"}
    async with database.write() as connection:
        await connection.execute(
            runs.insert().values(**values, config_version="c", request={"message": "Why?"}, created_at=now())
        )
    await asyncio.to_thread(downgrade, url, "0001")
    upgraded = await Database.open(url)
    try:
        async with upgraded.read() as connection:
            row = (await connection.execute(everyones(select(runs)))).one()
            assert await connection.run_sync(differences) == []
        assert (row.request, row.authority, row.fence, row.lease_owner) == ({"message": "Why?"}, {}, 0, None)
    finally:
        await upgraded.aclose()


async def test_opening_again_keeps_everything(url: str, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sessions.insert().values(session("kept")))
    again = await Database.open(url)
    try:
        assert await titles(again) == ["kept"]
    finally:
        await again.aclose()


async def test_several_processes_may_open_an_empty_database_at_once(url: str) -> None:
    code = "import asyncio, sys; from records.database import Database; asyncio.run(Database.open(sys.argv[1]))"
    opening = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, url, cwd=Path(__file__).parents[2])
        for _ in range(3)
    ]
    assert [await process.wait() for process in opening] == [0, 0, 0]


async def test_a_migration_happens_as_a_whole_or_not_at_all(url: str) -> None:
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE versions (in_the_way INTEGER)"))
    with pytest.raises(DatabaseError, match="versions"):
        await Database.open(url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE versions"))
    await engine.dispose()
    database = await Database.open(url)
    assert await titles(database) == []
    await database.aclose()


async def test_a_database_of_a_newer_version_is_refused(url: str, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="written by a newer version of Cairn"):
        await Database.open(url)


async def test_a_block_commits_as_a_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(sessions.insert(), [session("a"), session("b")])
            await connection.execute(sessions.insert(), [session("c", "same"), session("d", "same")])
    assert await titles(database) == []


async def test_nobody_reads_what_is_not_committed(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sessions.insert().values(session("soon")))
        assert await titles(database) == []
    assert await titles(database) == ["soon"]


async def test_writers_at_once_all_come_through(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.write() as connection:
            await connection.execute(sessions.insert().values(session(f"{number:03}")))

    await asyncio.gather(*(write(number) for number in range(100)))
    assert await titles(database) == [f"{number:03}" for number in range(100)]


async def test_values_of_a_failed_statement_are_not_in_its_message(database: Database) -> None:
    with pytest.raises(IntegrityError) as raised:
        async with database.write() as connection:
            await connection.execute(sessions.insert(), [session("a secret", "same"), session("a secret", "same")])
    assert "a secret" not in str(raised.value)


async def test_times_are_utc_with_microseconds_and_json_is_what_it_was(database: Database) -> None:
    store = open_run_store(database, "worker")
    request = {"message": "Grüße 🪨", "metadata": {"deep": [1, None, {"x": 0.5}], "nul": "\0", "half": "\ud83d"}}
    accepted = await store.accept(ALICE, session_id=None, title="t", model="m", config_version="c", request=request)
    record = await store.get(ALICE, accepted.id)
    assert record.request == request
    assert record.created_at == accepted.created_at
    assert record.created_at.tzinfo is UTC


async def test_of_two_ends_of_a_run_the_first_stands_and_is_remembered_once(database: Database) -> None:
    store, memory = open_run_store(database, "worker"), SessionStore(database)
    record = await store.accept(
        ALICE, session_id=None, title="t", model="m", config_version="c", request={"message": "m"}
    )
    said = [
        Message(role="user", content="m"),
        Message(role="assistant", content="a\0b", tool_calls=(ToolCall(id="c", name="t", arguments="{}"),)),
    ]
    result = {"type": "run.completed", "answer": "a\0b"}
    ends = (store.end(record.claim, "completed", result, said) for _ in range(5))
    ended = await asyncio.gather(*ends, return_exceptions=True)
    assert [type(each) for each in ended if each is not None] == [RunTakenOver] * 4
    history = [entry.message for entry in await memory.history(ALICE, record.session_id)]
    assert [message.content for message in history] == ["m", "a\ufffdb"]
    assert history[1].tool_calls == said[1].tool_calls
    assert (await store.get(ALICE, record.id)).result == result
    assert [left.id for left in await store.unsealed()] == [record.id]
    await store.seal("another", [record.id])
    assert [left.id for left in await store.unsealed()] == [record.id]
    await store.seal(record.tenant, [record.id])
    assert await store.unsealed() == []
    assert await count(database, runs) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nonsense", "cannot be read"),
        ("mysql://u:hunter2@h/d", "not supported"),
        ("sqlite:////no/such/folder/cairn.db", "unable to open"),
        ("postgresql://u:hunter2@127.0.0.1:1/d", "cannot open the database"),
    ],
)
async def test_a_database_that_cannot_be_used_is_said_without_its_password(wrong: str, message: str) -> None:
    if wrong.startswith("postgresql") and importlib.util.find_spec("asyncpg") is None:
        message = "needs a driver"
    with pytest.raises(DatabaseError, match=message) as raised:
        await Database.open(wrong)
    assert "hunter2" not in str(raised.value)
