"""The scratch of a session in the database: small JSON values by name, for its tools.

Each value has the call that wrote it and what that call found. The same call, made again after a crash, finds that
again: so a tool that counts up does not count twice.
"""

import asyncio
from typing import Any

import orjson
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from records.database import Database
from records.ids import now
from records.schema import session_scratch as table
from records.schema import sessions
from tools.scratch import BlockingScratch, NoScratch, ScratchRefused
from tools.serialise import to_json

MAX_VALUE = 8 * 1024
"""Bytes of a value's JSON."""

MAX_NAMES = 64
MAX_NAME = 64


class Scratches:
    """The table of scratches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, tenant: str, session_id: str, call_key: str) -> "SessionScratch":
        """The scratch of a session, as the call with this idempotency key sees it."""
        return SessionScratch(self._database, tenant, session_id, call_key)

    async def all(self, tenant: str, session_id: str) -> dict[str, Any]:
        """What is noted down in a session, by name."""
        query = select(table.c.name, table.c.content).where(table.c.tenant == tenant, table.c.session_id == session_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.where(table.c.content.isnot(None)).order_by(table.c.name))
            return {row.name: orjson.loads(row.content) for row in rows}


class SessionScratch:
    """A scratch in the hands of one call; see ``tools.scratch.Scratch``."""

    def __init__(self, database: Database, tenant: str, session_id: str, call_key: str) -> None:
        self._database = database
        self._tenant = tenant
        self._session_id = session_id
        self._call_key = call_key
        self._loop = asyncio.get_running_loop()
        # What this call has written, or deleted: it sees that, whatever the record says it had found.
        self._own: set[str] = set()

    def __reduce__(self) -> tuple[type[NoScratch], tuple[()]]:
        """It does not leave the process."""
        return NoScratch, ()

    @property
    def blocking(self) -> BlockingScratch:
        """The same for a thread."""
        return BlockingScratch(self, self._loop)

    async def get(self, name: str, default: Any = None) -> Any:
        """The value with this name."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(table).where(*self._mine(name)))).first()
        if row is None:
            return default
        kept = row.before if row.call_key == self._call_key and name not in self._own else row.content
        return default if kept is None else orjson.loads(kept)

    async def set(self, name: str, value: Any) -> None:
        """Keep a value.

        Raises:
            ScratchRefused: As ``tools.scratch.Scratch.set``.
        """
        if not 0 < len(name) <= MAX_NAME or "\0" in name:
            raise ScratchRefused(f"a name in the scratch has 1 to {MAX_NAME} characters")
        try:
            content = to_json(value)
        except TypeError as error:
            raise ScratchRefused(str(error)) from error
        if len(content) > MAX_VALUE:
            raise ScratchRefused(f"a value in the scratch has {MAX_VALUE} bytes at most; this one has {len(content)}")
        await self._write(name, content.decode())

    async def delete(self, name: str) -> None:
        """Keep it no longer."""
        await self._write(name, None)

    async def _write(self, name: str, content: str | None) -> None:
        async with self._database.write() as connection:
            await self._hold_session(connection)
            row = (await connection.execute(select(table).where(*self._mine(name)))).first()
            found = None if row is None else row.content
            if content is None and row is None:
                return
            if content is not None and found is None:
                await self._make_room(connection)
            again = row is not None and row.call_key == self._call_key
            values = {"content": content, "call_key": self._call_key, "updated_at": now()}
            values["before"] = row.before if again and row is not None else found
            whose = {"tenant": self._tenant, "session_id": self._session_id, "name": name}
            dialect = postgresql if self._database.dialect == "postgresql" else sqlite
            insert = dialect.insert(table).values(**whose, **values)
            await connection.execute(insert.on_conflict_do_update(index_elements=list(whose), set_=values))
        self._own.add(name)

    async def _hold_session(self, connection: AsyncConnection) -> None:
        """Hold the session's row, so that its scratch is written by one at a time, and not once it is deleted."""
        is_it = (sessions.c.tenant == self._tenant, sessions.c.id == self._session_id)
        held = update(sessions).where(*is_it).values(updated_at=sessions.c.updated_at)
        if not (await connection.execute(held)).rowcount:
            raise ScratchRefused("the session is gone")

    async def _make_room(self, connection: AsyncConnection) -> None:
        mine = (table.c.tenant == self._tenant, table.c.session_id == self._session_id)
        # What was deleted stays only as long as the call that did so may be made again.
        gone = (table.c.content.is_(None), table.c.call_key != self._call_key)
        await connection.execute(delete(table).where(*mine, *gone))
        count = select(func.count()).select_from(table).where(*mine, table.c.content.isnot(None))
        if (await connection.scalar(count) or 0) >= MAX_NAMES:
            raise ScratchRefused(f"there are {MAX_NAMES} values in the scratch already: delete one")

    def _mine(self, name: str) -> tuple[Any, ...]:
        return table.c.tenant == self._tenant, table.c.session_id == self._session_id, table.c.name == name
