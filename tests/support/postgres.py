"""Databases of one's own on the PostgreSQL server that tests may use, where there is one."""

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from records.database import Database
from records.ids import new_id
from records.schema import metadata
from records.tenancy import Crossing, across_tenants

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres")


_spare: list[str] = []
"""Databases of this process with the schema and no rows, whose last user has gone."""


@asynccontextmanager
async def fresh_postgres() -> AsyncIterator[str]:
    """The URL of a database that has the schema and no rows; skips when there is no server.

    One that an earlier test has left is emptied and used again, which takes a tenth of the time that making one does.
    """
    name = _spare.pop() if _spare else await create_postgres()
    url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    database = await Database.open(url)
    await database.aclose()
    try:
        yield url
        await _execute(url, _ALONE, *(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)))
    except BaseException as error:
        await drop_postgres(name)
        # A test that has broken the schema leaves nothing to go on with.
        if not isinstance(error, DBAPIError):
            raise
    else:
        _spare.append(name)


async def drop_spare() -> None:
    """Drop what ``fresh_postgres`` has kept."""
    while _spare:
        await drop_postgres(_spare.pop())


@asynccontextmanager
async def empty_postgres() -> AsyncIterator[str]:
    """The URL of a database with nothing in it; skips when there is no server."""
    name = await create_postgres()
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        await drop_postgres(name)


async def create_postgres() -> str:
    """The name of an empty database that its maker will drop; skips when there is no server."""
    if importlib.util.find_spec("asyncpg") is None:
        pytest.skip("asyncpg is not installed: pip install 'cairn[postgres]'")
    name = f"cairn_{new_id().replace('-', '')}"
    try:
        await _administer(f"CREATE DATABASE {name}")
    except (OSError, DBAPIError) as error:
        pytest.skip(f"no PostgreSQL at {make_url(SERVER)!r} (TEST_POSTGRES_URL names another): {error}")
    return name


async def drop_postgres(name: str) -> None:
    """Drop a database, whoever is connected to it."""
    await _administer(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def kept_postgres() -> Iterator[str]:
    """The URL of a database that several tests use one after the other; each begins with ``empty``."""
    opening = empty_postgres()
    with asyncio.Runner() as runner:
        url = runner.run(opening.__aenter__())
        try:
            yield url
        finally:
            runner.run(opening.__aexit__(None, None, None))


async def empty(database: Database) -> None:
    """Remove every row of every table."""
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    async with database.write() as connection:
        await connection.execute(across_tenants(text(f"TRUNCATE {tables}"), Crossing.UPKEEP))


_OTHERS = "datname = current_database() AND pid <> pg_backend_pid()"
_ALONE = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OTHERS}"


async def _administer(statement: str) -> None:
    await _execute(SERVER, statement)


async def _execute(url: str, *statements: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()
