"""A session as data: everything that is kept of it, for whoever it belongs to."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from sqlalchemy import Table, select

from agent.log.log import EventLog
from agent.scratch import Scratches
from memory.sessions import SessionStore
from records.database import Database
from records.principal import Principal
from records.schema import approvals, run_feedback, runs, steps

FORMAT = "cairn.session/1"

_RUN = ("id", "status", "lane", "model", "config_version", "request", "result", "created_at", "ended_at")
_STEP = ("seq", "kind", "status", "attempt", "intent", "result", "started_at", "ended_at")
_APPROVAL = (
    "id",
    "step",
    "call_id",
    "kind",
    "tool",
    "effect",
    "arguments",
    "record",
    "reason",
    "status",
    "decision",
    "decided_by",
    "decided_at",
    "created_at",
)


class SessionExport:
    """Reads sessions out, a run at a time: what is kept of a long one need not fit into memory."""

    def __init__(self, database: Database, sessions: SessionStore, log: EventLog) -> None:
        self._database = database
        self._sessions = sessions
        self._scratches = Scratches(database)
        self._log = log

    async def pieces(self, principal: Principal, session_id: str) -> AsyncIterator[bytes]:
        """One JSON object in pieces: session, summary, messages, scratch, and the runs with steps and events.

        Raises:
            SessionNotFound: With the first piece: the id is not one of the principal's sessions.
        """
        tenant = principal.tenant
        session = await self._sessions.get(principal, session_id)
        summary = await self._sessions.summary(principal, session_id)
        history = await self._sessions.history(principal, session_id)
        head = {
            "format": FORMAT,
            "session": session,
            "summary": summary and {name: getattr(summary, name) for name in ("first", "last", "text", "made_by")},
            "messages": [
                {"id": entry.id, "run_id": entry.run_id, "created_at": entry.created_at, "message": entry.message}
                for entry in history
            ],
            "scratch": await self._scratches.all(tenant, session_id),
        }
        yield orjson.dumps(head)[:-1] + b',"runs":['
        mine = (runs.c.tenant == tenant, runs.c.session_id == session_id)
        async with self._database.read() as connection:
            run_ids = (await connection.scalars(select(runs.c.id).where(*mine).order_by(runs.c.id))).all()
        for place, run_id in enumerate(run_ids):
            run = await self._run(tenant, run_id)
            if run is not None:
                yield (b"," if place else b"") + run
        yield b"]}"

    async def _run(self, tenant: str, run_id: str) -> bytes | None:
        async with self._database.read() as connection:
            is_it = (runs.c.tenant == tenant, runs.c.id == run_id)
            row = (await connection.execute(select(*(runs.c[name] for name in _RUN)).where(*is_it))).first()
            if row is None:
                return None
            parts: dict[str, Any] = {name: getattr(row, name) for name in _RUN}
            for name, table, columns, order in (
                ("steps", steps, _STEP, "seq"),
                ("approvals", approvals, _APPROVAL, "id"),
                ("feedback", run_feedback, ("verdict", "comment", "created_at"), "created_at"),
            ):
                parts[name] = await self._rows(connection, table, columns, order, tenant, run_id)
        events = b",".join(event.data for event in await self._log.read(run_id))
        return orjson.dumps(parts)[:-1] + b',"events":[' + events + b"]}"

    async def _rows(
        self, connection: Any, table: Table, columns: tuple[str, ...], order: str, tenant: str, run_id: str
    ) -> list[dict[str, Any]]:
        mine = (table.c.tenant == tenant, table.c.run_id == run_id)
        query = select(*(table.c[name] for name in columns)).where(*mine).order_by(table.c[order])
        return [{name: getattr(row, name) for name in columns} for row in await connection.execute(query)]
