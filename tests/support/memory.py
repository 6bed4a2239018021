"""Databases for memory's tests: migrated once and then copied, and one whose connection may die half-way."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, cast

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from records.database import Database
from records.schema import metadata
from tests.support.postgres import SERVER, create_postgres, drop_postgres

_TABLES = ("idempotency", *(name for name in metadata.tables if name.startswith(("memory_", "cache_"))))


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> datetime:
        self.moment += timedelta(**by)
        return self.moment


class Databases:
    """Databases with no memory in them, fast: SQLite's are copied, PostgreSQL's is one that is emptied each time."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        self._server: str | None = None

    async def url(self, kind: str, folder: Path) -> str:
        """The URL of one; skips when there is no server."""
        if kind == "sqlite":
            if not self._template.exists():
                await (await Database.open(f"sqlite:///{self._template}")).aclose()
            await asyncio.to_thread(shutil.copy, self._template, folder / "cairn.db")
            return f"sqlite:///{folder}/cairn.db"
        if self._server is None:
            name = await create_postgres()
            self._server = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
            await (await Database.open(self._server)).aclose()
        await _execute(self._server, *(f"DELETE FROM {table}" for table in _TABLES))
        return self._server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            asyncio.run(drop_postgres(str(make_url(self._server).database)))


class ConnectionDied(Exception):
    """What the connection says at the end of its life."""


class Mortal(Database):
    """A database whose next transaction dies before its nth statement, or as it is committed."""

    dies_before: int | None = None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with super().write() as connection:
            mortal = _MortalConnection(connection, self.dies_before)
            yield cast("AsyncConnection", mortal)
            if self.dies_before is not None:
                raise ConnectionDied


class _MortalConnection:
    def __init__(self, connection: AsyncConnection, left: int | None) -> None:
        self._connection = connection
        self._left = left

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name not in {"execute", "scalar", "exec_driver_sql"}:
            return found

        async def counted(*args: Any, **options: Any) -> Any:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise ConnectionDied
            return await found(*args, **options)

        return counted


async def _execute(url: str, *statements: str) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()
