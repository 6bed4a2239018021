"""A PostgreSQL server that drops its connections costs what was under way, and nothing after that."""

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from agent.journal.journal import Transition
from agent.journal.stores import open_journal, open_run_store
from records.database import Database
from records.engine import make_engine
from records.principal import Principal
from tests.support.postgres import fresh_postgres

OTHERS = "datname = current_database() AND pid <> pg_backend_pid()"
DROP = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}"


async def test_a_connection_that_the_server_closed_is_given_to_nobody_again() -> None:
    async with fresh_postgres() as url:
        database = await Database.open(url)
        run = await open_run_store(database, "me").accept(
            Principal(), session_id=None, title="t", model="m", config_version="c", request={}
        )
        journal = open_journal(database)
        other = create_async_engine(url)
        async with other.connect() as connection:
            await connection.execute(text(DROP))
        await other.dispose()
        failures = 0
        for _ in range(5):
            try:
                await journal.write(run.claim, Transition())
            except DBAPIError:
                failures += 1
        await journal.write(run.claim, Transition())
        assert failures <= 1, "one connection was open, and it was closed once"
        await database.aclose()


async def test_what_is_written_over_a_connection_that_lay_idle_stays_written() -> None:
    async with fresh_postgres() as url:
        engine = make_engine(url)
        database = await Database.open(url)
        await database.aclose()
        # To the pool every connection that comes back has lain idle for a minute.
        event.listen(engine.sync_engine, "checkin", lambda _, entry: entry.info.update(used=entry.info["used"] - 60))
        aged = Database(engine)
        put = "INSERT INTO embeddings (model, text_hash, vector) VALUES ('m', $1, '')"
        for number in range(3):
            await aged.postgres(put, str(number))
        async with aged.read() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM embeddings")) == 3
        await aged.aclose()
