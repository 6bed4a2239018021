"""Runs the migrations against the database that `records.database` names."""

from alembic import context
from sqlalchemy import Connection

from records.engine import EXCLUSIVELY, make_engine
from records.schema import metadata
from records.tenancy import Crossing


def _run(connection: Connection) -> None:
    connection.exec_driver_sql(EXCLUSIVELY[connection.dialect.name])
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    context.run_migrations()


async def _main(url: str) -> None:
    engine = make_engine(url)
    try:
        async with engine.execution_options(across_tenants=Crossing.SCHEMA).begin() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def main() -> None:
    """Apply what is missing, in one transaction."""
    import asyncio

    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise ValueError("sqlalchemy.url is not set")
    asyncio.run(_main(url))


main()
