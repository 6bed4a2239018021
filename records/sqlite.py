"""SQLite on a thread of its own, with one trip to it for each statement.

aiosqlite hands every small step over to its thread: making a cursor, executing, fetching, closing, and rolling back
what never began. A trip costs more than most of our statements do: here a cursor makes one, and a read none to end it.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any, Self, TypeVar

import aiosqlite

T = TypeVar("T")


class OneTripConnection(aiosqlite.Connection):
    """What SQLAlchemy's aiosqlite dialect needs of a connection."""

    _settled = True
    """Whether the last statement was waited for; one that was cancelled may still be running."""

    def cursor(self) -> "OneTripCursor":  # type: ignore[override] # the dialect enters it, and asks no more
        return OneTripCursor(self)

    async def run(self, sql: str, parameters: Sequence[Any], *, many: bool) -> tuple[sqlite3.Cursor, list[Any]]:
        """Execute a statement and fetch all of its rows."""
        self._settled = False
        done = await self._execute(self._run, sql, parameters, many=many)  # type: ignore[no-untyped-call]
        self._settled = True
        return done  # type: ignore[no-any-return]

    def _run(self, sql: str, parameters: Sequence[Any], *, many: bool) -> tuple[sqlite3.Cursor, list[Any]]:
        cursor = self._conn.executemany(sql, parameters) if many else self._conn.execute(sql, parameters)
        return cursor, cursor.fetchall()

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work on the connection's thread, as one transaction that nobody else's comes between."""
        self._settled = False
        done = await self._execute(self._transact, work)  # type: ignore[no-untyped-call]
        self._settled = True
        return done  # type: ignore[no-any-return]

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._conn.execute("BEGIN IMMEDIATE")
        try:
            done = work(self._conn)
            self._conn.commit()
        except BaseException:
            self._conn.rollback()
            raise
        return done

    async def rollback(self) -> None:
        """Roll back; nothing is to be done when nothing was written."""
        if self.in_transaction or not self._settled:
            await super().rollback()
            self._settled = True


class OneTripCursor:
    """A statement and all of its rows."""

    description: Any = None
    rowcount = -1
    lastrowid: int | None = None
    arraysize = 1

    def __init__(self, connection: OneTripConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        await self._run(sql, parameters, many=False)

    async def executemany(self, sql: str, parameters: Sequence[Any]) -> None:
        await self._run(sql, parameters, many=True)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []

    async def _run(self, sql: str, parameters: Sequence[Any], *, many: bool) -> None:
        done, self._rows = await self._connection.run(sql, parameters, many=many)
        self.description, self.rowcount, self.lastrowid = done.description, done.rowcount, done.lastrowid


def connect(database: str, **options: Any) -> OneTripConnection:
    """Like ``aiosqlite.connect``; for SQLAlchemy's ``async_creator_fn``."""
    connection = OneTripConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    # A connection that was forgotten must not keep the process from ending.
    connection._thread = Thread(target=_work, args=(connection._tx,), daemon=True)  # noqa: SLF001
    return connection


def _work(statements: Any) -> None:
    # An error of a statement goes to whoever waits for it. What is raised here says that the event loop has closed
    # since, so nobody waits: a connection that could not be opened is stopped without being awaited, say.
    with contextlib.suppress(RuntimeError):
        aiosqlite.core._connection_worker_thread(statements)  # noqa: SLF001
