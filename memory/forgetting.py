"""Forgetting for real: nothing of what a record said is left in the database, only that there was one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

import structlog
from sqlalchemy import Text, cast, delete, update
from sqlalchemy.exc import DBAPIError

from memory.access import may_change
from memory.errors import MemoryForbidden
from memory.ledger import Operation, operation
from memory.records import MemoryVersion, Subject
from memory.rows import heads
from memory.store import MemoryStore
from records.principal import Principal
from records.schema import idempotency, memory_records, memory_sources, memory_versions

_ROUTES = "/v1/memory"
_log = structlog.get_logger("cairn.memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What is left of a record."""

    id: str
    forgotten_at: datetime
    forgotten_by: str


async def forget(
    store: MemoryStore, principal: Principal, record_id: str, *, expected_version: int | None = None
) -> Forgotten:
    """Erase a record with all its versions, and what idempotency keys keep of it; leave a tombstone.

    No rollback and no snapshot brings it back. What other records took from it is theirs: they name it as their source.

    Raises:
        MemoryNotFound: The principal may read no such record.
        MemoryForbidden: It may not change it.
        MemoryConflict: ``expected_version`` does not stand any more.
    """
    async with _erasing(store, principal) as work:
        head = await store.seen(work, principal, record_id, expected_version)
        return (await _erase(work, principal, [head]))[0]


async def forget_subject(store: MemoryStore, principal: Principal, subject: Subject) -> Sequence[Forgotten]:
    """Erase all that the principal may change of what is known about somebody or something.

    Raises:
        MemoryForbidden: It is another user.
    """
    if subject.type == "user" and not may_change(principal, subject, "fact", ()):
        raise MemoryForbidden("what is known about another user is not yours to forget")
    whose = (memory_records.c.subject_type == subject.type, memory_records.c.subject == subject.id)
    gone: list[Forgotten] = []
    async with _erasing(store, principal) as work:
        for head in await work.read(heads(work.tenant).where(*whose)):
            if may_change(principal, head.subject, head.kind, head.content.acl):
                gone += await _erase(work, principal, [head])
    return gone


@asynccontextmanager
async def _erasing(store: MemoryStore, principal: Principal) -> AsyncIterator[Operation]:
    async with operation(store.database, principal.tenant, store.clock) as work:
        yield work
    if store.database.dialect == "sqlite":
        # The log of what was written last holds it as well; who reads meanwhile keeps that until the next time.
        try:
            async with store.database.read() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        except DBAPIError as error:
            _log.warning("what was forgotten is in the database's log until it is written back", exc_info=error)


async def _erase(work: Operation, principal: Principal, heads: Sequence[MemoryVersion]) -> list[Forgotten]:
    gone = []
    for head in heads:
        for table in (memory_versions, memory_sources):
            await work.execute(delete(table).where(table.c.tenant == work.tenant, table.c.record_id == head.id))
        is_it = (memory_records.c.tenant == work.tenant, memory_records.c.id == head.id)
        left = Forgotten(id=head.id, forgotten_at=work.moment, forgotten_by=principal.id)
        # No version has this number: the index learns from it that there is something to remove.
        values = {"head": head.version + 1, "subject": "", **asdict(left)}
        await work.execute(update(memory_records).where(*is_it).values(**values))
        await _erase_answers(work, head.id)
        gone.append(left)
    return gone


async def _erase_answers(work: Operation, record_id: str) -> None:
    """Requests with a key were answered with what they wrote."""
    kept = (idempotency.c.tenant == work.tenant, idempotency.c.route.startswith(_ROUTES))
    await work.execute(delete(idempotency).where(*kept, cast(idempotency.c.response, Text).contains(record_id)))
