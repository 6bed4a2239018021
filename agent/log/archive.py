"""The archive of event logs: runs that have ended, or rest, in the database."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects import sqlite

from agent.log.encoding import RunEvent
from agent.log.log import from_lines, to_lines
from records.database import Database
from records.ids import now
from records.schema import event_logs

_PUT = """
INSERT INTO event_logs (run_id, events, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (run_id) DO UPDATE SET events = excluded.events, updated_at = excluded.updated_at
"""


class SqlArchive:
    """The table of event logs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, run_id: str, events: Sequence[RunEvent]) -> None:
        """Keep the events, in the place of those that were kept before."""
        kept = {"events": to_lines(events), "updated_at": now()}
        if self._database.dialect == "postgresql":
            await self._database.postgres(_PUT, run_id, *kept.values())
            return
        row = sqlite.insert(event_logs).values(run_id=run_id, **kept)
        anew = row.on_conflict_do_update(index_elements=["run_id"], set_=kept)
        async with self._database.statement() as connection:
            await connection.execute(anew)

    async def get(self, run_id: str) -> list[RunEvent]:
        """The events that are kept; none for a run that is not known."""
        async with self._database.read() as connection:
            data = await connection.scalar(select(event_logs.c.events).where(event_logs.c.run_id == run_id))
        return from_lines(run_id, data) if data else []

    async def remove(self, run_id: str) -> None:
        """Forget the events of a run."""
        async with self._database.statement() as connection:
            await connection.execute(delete(event_logs).where(event_logs.c.run_id == run_id))
