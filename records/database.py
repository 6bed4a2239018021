"""The database: one engine, opened once in the composition root."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Connection, Delete, Insert, MetaData, String, Table, Update, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

from records.engine import EXCLUSIVELY, DatabaseError, make_engine, parse
from records.schema import metadata
from records.sqlite import OneTripConnection
from records.tenancy import Confined, Crossing, require_confined

__all__ = ["Database", "DatabaseError"]

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0006"

T = TypeVar("T")
Dml = Insert | Update | Delete


class Database:
    """SQL for everything that must outlive the process: SQLite (WAL) by default, PostgreSQL at scale.

    Reads run in ``read()``, writes in ``write()``: each is one transaction, committed when the block ends well.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        sqlite = engine.dialect.name == "sqlite"
        # On PostgreSQL a reader's statements are transactions of their own: nothing is begun or ended around them.
        # SQLite's begin nothing anyway, and to say so would cost two trips to its thread.
        self._reader = engine if sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite has one writer at a time: waiting here costs less than its busy handler, which sleeps.
        self._writer = asyncio.Lock() if sqlite else None

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Open the database at ``url`` and bring its schema up to date.

        Raises:
            DatabaseError: It cannot be reached or opened, or was written by a newer Cairn.
        """
        async with AsyncExitStack() as undo:
            database = cls(make_engine(url))
            undo.push_async_callback(database.aclose)
            try:
                revision = await database._revision()
                if revision is None:
                    await database._create()
                elif revision != HEAD:
                    await asyncio.to_thread(migrate, url)
            except (DBAPIError, OSError) as error:
                reason = error.orig if isinstance(error, DBAPIError) else error
                raise DatabaseError(f"cannot open the database {parse(url)!r}: {reason}") from error
            undo.pop_all()
        return database

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    async def _revision(self) -> str | None:
        async with self._engine.connect() as connection:
            exists = await connection.run_sync(lambda c: c.dialect.has_table(c, "alembic_version"))
            return await connection.scalar(text("SELECT version_num FROM alembic_version")) if exists else None

    async def _create(self) -> None:
        """Make the schema of an empty database, as all migrations together would, and much sooner."""
        async with self._engine.execution_options(across_tenants=Crossing.SCHEMA).begin() as connection:
            await connection.run_sync(_create)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; each statement sees what was committed when it began."""
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection for writing: all of the block is committed at its end, or nothing when it raises."""
        if self._writer is None:
            async with self._engine.begin() as connection:
                yield connection
            return
        async with self._writer, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """A connection for writing on which every statement is a transaction of its own."""
        async with self._writer or nullcontext(), self._statement() as connection:
            yield connection

    def _statement(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._engine.begin() if self._writer is not None else self._reader.connect()

    async def write_at_once(self, statements: Sequence[Dml], *, only_if: Update | None = None) -> bool:
        """Write all of it or nothing; gives whether it was written.

        Args:
            only_if: Nothing is written unless this changes a row.
        """
        async with self.write() as connection:
            if only_if is not None and not (await connection.execute(only_if)).rowcount:
                return False
            for statement in statements:
                await connection.execute(statement)
        return True

    async def postgres(self, statement: str, *values: Any) -> Any:
        """Execute one statement of PostgreSQL's own SQL, a transaction of its own; gives the first value of its result.

        It goes straight to the driver: for what is written so often that building it anew costs more than the trip.

        Raises:
            Unconfined: It could reach the rows of more than one tenant.
        """
        require_confined(statement)
        # The pool's connection without SQLAlchemy's around it: to make that takes as long as the statement does.
        pooled = await self._engine.raw_connection()
        driver = cast("Any", pooled.driver_connection)
        try:
            return await driver.fetchval(statement, *values)
        except Exception as error:
            if driver.is_closed():  # nobody else may be given it
                await greenlet_spawn(pooled.invalidate)
            raise DBAPIError(statement, None, error) from error
        finally:
            await greenlet_spawn(pooled.close)

    async def sqlite(self, work: Callable[[Confined], T]) -> T:
        """Do a piece of work on SQLite's own connection as one transaction; likewise straight to the driver."""
        async with self._writer or nullcontext(), self._reader.connect() as connection:
            driver = cast("OneTripConnection", (await connection.get_raw_connection()).driver_connection)
            try:
                return await driver.transact(lambda connection: work(Confined(connection)))
            except sqlite3.OperationalError as error:
                raise OperationalError("a piece of work", None, error) from error

    async def ping(self) -> None:
        """Raise unless the database answers."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _create(connection: Connection) -> None:
    connection.exec_driver_sql(EXCLUSIVELY[connection.dialect.name])
    if not connection.dialect.has_table(connection, "alembic_version"):
        metadata.create_all(connection, checkfirst=False)
        revisions = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
        revisions.create(connection)
        connection.execute(revisions.insert().values(version_num=HEAD))


def migrate(url: str) -> None:
    """Apply the migrations that a database lacks."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseError(f"the database was written by a newer version of Cairn ({error}); upgrade Cairn") from error
