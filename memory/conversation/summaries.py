"""Summaries in the database: they are added, never changed, so that a run taken up again sees the one it saw."""

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from memory.conversation.summary import Summary
from records.database import Database
from records.schema import session_summaries as table
from records.schema import sessions

KEPT = 4
"""Summaries of a session that are kept: the latest, and those that a run which is going on may have begun with."""


class SummaryStore:
    """The table of summaries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, tenant: str, session_id: str, *, before: str | None = None) -> Summary | None:
        """The summary of the most messages, of those that were made before the run with the id ``before``."""
        query = select(table).where(table.c.tenant == tenant, table.c.session_id == session_id)
        if before is not None:
            query = query.where(table.c.id < before)
        async with self._database.read() as connection:
            row = (await connection.execute(query.order_by(table.c.last_message.desc()).limit(1))).first()
        if row is None:
            return None
        return Summary(
            id=row.id,
            first=row.first_message,
            last=row.last_message,
            text=row.text,
            made_by=row.made_by,
            created_at=row.created_at,
        )

    async def add(self, tenant: str, session_id: str, summary: Summary) -> bool:
        """Add a summary, unless there is one of as many messages already, or the session is gone."""
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        mine = (table.c.tenant == tenant, table.c.session_id == session_id)
        row = dialect.insert(table).values(
            tenant=tenant,
            session_id=session_id,
            last_message=summary.last,
            first_message=summary.first,
            id=summary.id,
            text=summary.text.replace("\0", "\ufffd"),
            made_by=summary.made_by,
            created_at=summary.created_at,
        )
        kept = select(table.c.last_message).where(*mine).order_by(table.c.last_message.desc()).limit(KEPT)
        async with self._database.write() as connection:
            # Whoever deletes the session waits, or has done so.
            is_it = (sessions.c.tenant == tenant, sessions.c.id == session_id)
            there = select(sessions.c.id).where(*is_it).with_for_update()
            if (await connection.execute(there)).first() is None:
                return False
            added = await connection.execute(row.on_conflict_do_nothing())
            still = (await connection.scalars(kept)).all()
            if len(still) == KEPT:
                await connection.execute(delete(table).where(*mine, table.c.last_message < still[-1]))
        return added.rowcount == 1
