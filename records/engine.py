"""The SQLAlchemy engine for a database URL: SQLite (WAL) or PostgreSQL, with the driver and pool that Cairn needs."""

import time

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from records import sqlite
from records.tenancy import guard

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_SQLITE_CONNECTIONS = 15
_POSTGRES_CONNECTIONS = 16
_IDLE_SECONDS = 5.0
BUSY = 5000
"""Milliseconds that a connection to SQLite waits for another process that writes."""

EXCLUSIVELY = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(426836062830)"}
"""How a transaction that changes the schema begins: one process does while the others wait. SQLite's driver would not
put DDL into a transaction by itself."""


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do."""


def make_engine(url: str) -> AsyncEngine:
    """An engine that has connected to nothing yet, and executes what ``records.tenancy`` lets through.

    Values never get into its error messages, nor so into logs.

    Raises:
        DatabaseError: The URL is none, names another kind of database, or its driver is not installed.
    """
    parsed = parse(url)
    try:
        engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgres_engine(parsed)
    except ImportError as error:
        raise DatabaseError(f"PostgreSQL needs a driver: pip install 'cairn[postgres]' ({error})") from error
    guard(engine.sync_engine)
    return engine


def parse(url: str) -> URL:
    """The URL with the driver that Cairn uses; showing it hides its password.

    Raises:
        DatabaseError: It is no URL of a database that Cairn can use.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError("the database URL cannot be read; write postgresql://user@host/database") from error
    driver = _DRIVERS.get(parsed.drivername.partition("+")[0])
    if driver is None:
        raise DatabaseError(f"{parsed.drivername} is not supported; use sqlite:///file or postgresql://host/database")
    return parsed.set(drivername=driver)


def _postgres_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url, hide_parameters=True, pool_size=_POSTGRES_CONNECTIONS, max_overflow=0, pool_use_lifo=True
    )
    event.listen(engine.sync_engine, "checkin", _note_use)
    event.listen(engine.sync_engine, "checkout", _ping_idle)
    return engine


def _note_use(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _ping_idle(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: object) -> None:
    """A server that was restarted has closed the connections that lay idle; those in steady use need no ping."""
    if time.monotonic() - entry.info.get("used", time.monotonic()) < _IDLE_SECONDS:
        return
    try:
        connection.cursor().execute("SELECT 1")
        # The driver began a transaction for that. What is handed over to it next is one of its own.
        connection.rollback()
    except Exception as error:
        raise DisconnectionError("the connection has been closed") from error


def _sqlite_engine(url: URL) -> AsyncEngine:
    # Every connection has a thread: a bounded number of them, all kept, and the last used first.
    engine = create_async_engine(
        url,
        connect_args={"async_creator_fn": sqlite.connect},
        hide_parameters=True,
        pool_size=_SQLITE_CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,
    )
    event.listen(engine.sync_engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # WAL lets readers go on while one writes; NORMAL keeps every commit through a killed process. Of what is deleted
    # nothing is left in the pages of the file.
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY}", "foreign_keys=ON", "secure_delete=ON")
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
