"""Erasing what was forgotten from conversations: from messages, runs, steps, approvals, answers and events.

A marker stands where it stood, so that a conversation keeps its shape. A run that goes on is left alone until it has
ended: what it knows it would only write again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from sqlalchemy import ColumnElement, Select, Table, Text, and_, cast, delete, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.erasing.redacting import redacted
from agent.log.log import EventLog
from memory.erasing import Erasure
from memory.redaction import Redaction
from records.database import Database
from records.schema import (
    approvals,
    idempotency,
    messages,
    run_feedback,
    runs,
    session_scratch,
    session_summaries,
    sessions,
    steps,
    webhook_deliveries,
)

T = TypeVar("T")

_AT_ONCE = 20
_COLUMNS: dict[Table, tuple[str, ...]] = {
    messages: ("content", "detail"),
    steps: ("intent", "result"),
    approvals: ("arguments", "record", "reason", "sources", "decision"),
    webhook_deliveries: ("body",),
    run_feedback: ("comment",),
}
"""Where a run's words are, besides its own row."""


@dataclass(frozen=True, slots=True)
class _Run:
    id: str
    session_id: str
    over: bool


class ConversationEraser:
    """See ``memory.erasing.Eraser``."""

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database = database
        self._log = log
        # The runs that an erasure waits for: there is nothing to look for before they have ended.
        self._awaited: dict[str, frozenset[str]] = {}

    async def erase(self, erasure: Erasure) -> bool:
        """Take the texts out of the runs that the records came from, that recalled them, or whose user they are about.

        A user's own runs are searched for what the records said. Nobody else's are: who says the same of himself has
        said it himself.
        """
        awaited = self._awaited.pop(erasure.id, frozenset())
        if awaited and any(not run.over for run in await self._runs(erasure, awaited)):
            self._awaited[erasure.id] = awaited
            return False
        # Looked up first: what ends after that is looked at again.
        going_on = await self._going_on(erasure)
        concerned = await self._runs(erasure, await self._found(erasure))
        redaction = erasure.redaction
        for run in concerned:
            if run.over:
                await self._redact(erasure.tenant, run, redaction)
        for session_id in dict.fromkeys(run.session_id for run in concerned):
            await self._redact_session(erasure.tenant, session_id, redaction)
        await self._erase_answers(erasure)
        left = frozenset(going_on | {run.id for run in concerned if not run.over})
        if left:
            self._awaited[erasure.id] = left
        return not left

    async def _going_on(self, erasure: Erasure) -> set[str]:
        """The user's runs that may still write what they know; one that waits for a person has written it."""
        if erasure.principal is None:
            return set()
        mine = (runs.c.tenant == erasure.tenant, runs.c.principal == erasure.principal)
        query = select(runs.c.id).where(*mine, runs.c.ended_at.is_(None), runs.c.status != "waiting_approval")
        async with self._database.read() as connection:
            return set((await connection.scalars(query)).all())

    async def _runs(self, erasure: Erasure, run_ids: Sequence[str] | frozenset[str]) -> list[_Run]:
        found = []
        for some in _some(sorted(run_ids), 500):
            query = select(runs.c.id, runs.c.session_id, runs.c.ended_at).where(runs.c.tenant == erasure.tenant)
            async with self._database.read() as connection:
                rows = await connection.execute(query.where(runs.c.id.in_(some)))
                found += [_Run(row.id, row.session_id, row.ended_at is not None) for row in rows]
        return found

    async def _found(self, erasure: Erasure) -> frozenset[str]:
        found = set(erasure.run_ids)
        async with self._database.read() as connection:
            for query in _searches(erasure):
                found |= set((await connection.scalars(query)).all())
        return frozenset(found)

    async def _redact(self, tenant: str, run: _Run, redaction: Redaction) -> None:
        async with self._database.write() as connection:
            for table, columns in _COLUMNS.items():
                mine = (table.c.tenant == tenant, table.c.run_id == run.id)
                await _redact_rows(connection, table, columns, mine, redaction)
            await _redact_rows(
                connection, runs, ("request", "result"), (runs.c.tenant == tenant, runs.c.id == run.id), redaction
            )
        await self._log.rewrite(run.id, lambda events: redacted(events, redaction))

    async def _redact_session(self, tenant: str, session_id: str, redaction: Redaction) -> None:
        async with self._database.write() as connection:
            mine = (sessions.c.tenant == tenant, sessions.c.id == session_id)
            await _redact_rows(connection, sessions, ("title",), mine, redaction)
            summaries = (session_summaries.c.tenant == tenant, session_summaries.c.session_id == session_id)
            await _redact_rows(connection, session_summaries, ("text",), summaries, redaction)
            noted = (session_scratch.c.tenant == tenant, session_scratch.c.session_id == session_id)
            await _redact_rows(connection, session_scratch, ("content", "before"), noted, redaction, written=True)

    async def _erase_answers(self, erasure: Erasure) -> None:
        """Requests of the user's with a key were answered with it."""
        if erasure.principal is None:
            return
        columns = idempotency.c
        mine = (columns.tenant == erasure.tenant, columns.principal == erasure.principal)
        async with self._database.write() as connection:
            for condition in says(erasure, columns.response):
                rows = await connection.execute(
                    select(idempotency).where(*mine, columns.response.isnot(None), condition)
                )
                for row in rows.all():
                    if erasure.redaction.data(row.response) is not row.response:
                        key = (columns.route == row.route, columns.key == row.key)
                        await connection.execute(delete(idempotency).where(*mine, *key))


def _some(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """The items, so many at once."""
    return (items[start : start + count] for start in range(0, len(items), count))


def _searches(erasure: Erasure) -> Iterator[Select[Any]]:
    """What finds the runs that hold it: by the ids of the records in what they recalled, and by the texts."""
    tenant = erasure.tenant
    for ids in _some(erasure.records, _AT_ONCE):
        names = or_(*(cast(steps.c.result, Text).contains(each) for each in ids))
        yield select(steps.c.run_id).where(steps.c.tenant == tenant, names).distinct()
    if erasure.principal is None:
        return
    own = select(runs.c.id).where(runs.c.tenant == tenant, runs.c.principal == erasure.principal)
    for condition in says(erasure, runs.c.request, runs.c.result):
        yield own.where(condition)
    for table, columns in _COLUMNS.items():
        for condition in says(erasure, *(table.c[name] for name in columns)):
            yield select(table.c.run_id).where(table.c.tenant == tenant, table.c.run_id.in_(own), condition).distinct()


def says(erasure: Erasure, *columns: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
    """Conditions that hold of every row that has one of the texts, and of some others; a few texts each."""
    for some in _some(erasure.redaction.marks, _AT_ONCE):
        yield or_(
            *(
                and_(true(), *(func.lower(cast(column, Text)).contains(word) for word in words))
                for words in some
                for column in columns
            )
        )


async def _redact_rows(
    connection: AsyncConnection,
    table: Table,
    columns: Sequence[str],
    which: Sequence[ColumnElement[bool]],
    redaction: Redaction,
    *,
    written: bool = False,
) -> None:
    """Take the texts out of these columns; of columns that hold JSON as text (``written``), too."""
    keys = list(table.primary_key.columns)
    for row in (await connection.execute(select(*keys, *(table.c[name] for name in columns)).where(*which))).all():
        values = {}
        for name in columns:
            kept = getattr(row, name)
            data = orjson.loads(kept) if written and kept is not None else kept
            hushed = redaction.data(data)
            if hushed != data:
                values[name] = orjson.dumps(hushed).decode() if written else hushed
        if values:
            is_it = [key == getattr(row, key.name) for key in keys]
            await connection.execute(update(table).where(*which, *is_it).values(**values))
