"""Forgetting for real: nothing of what a record said is left in the database, only that there was one.

What was written down elsewhere, in the conversations that the record came from, say, follows: see ``memory.erasing``.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Text, cast, delete, update

from memory.access import may_change
from memory.erasing import note, write_back
from memory.errors import MemoryForbidden
from memory.ledger import Operation, operation
from memory.records import MemoryVersion, Subject
from memory.rows import every, heads
from memory.store import MemoryStore
from records.principal import Principal
from records.schema import idempotency, memory_records, memory_sources, memory_versions

_ROUTES = "/v1/memory"


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
        return (await _erase(store, work, principal, [head]))[0]


async def forget_subject(store: MemoryStore, principal: Principal, subject: Subject) -> Sequence[Forgotten]:
    """Erase all that the principal may change of what is known about somebody or something.

    Raises:
        MemoryForbidden: It is another user.
    """
    if subject.type == "user" and not may_change(principal, subject, "fact", ()):
        raise MemoryForbidden("what is known about another user is not yours to forget")
    whose = (memory_records.c.subject_type == subject.type, memory_records.c.subject == subject.id)
    async with _erasing(store, principal) as work:
        found = await work.read(heads(work.tenant).where(*whose))
        mine = [head for head in found if may_change(principal, head.subject, head.kind, head.content.acl)]
        return await _erase(store, work, principal, mine)


@asynccontextmanager
async def _erasing(store: MemoryStore, principal: Principal) -> AsyncIterator[Operation]:
    async with operation(store.database, principal.tenant, store.clock) as work:
        yield work
    await store.erasures.carry_out(principal.tenant, work.id)
    await write_back(store.database)


async def _erase(
    store: MemoryStore, work: Operation, principal: Principal, heads: Sequence[MemoryVersion]
) -> list[Forgotten]:
    gone, said = [], []
    for head in heads:
        mine = (memory_versions.c.tenant == work.tenant, memory_versions.c.record_id == head.id)
        said += await work.read(every(work.tenant).where(*mine))
        for table in (memory_versions, memory_sources):
            await work.execute(delete(table).where(table.c.tenant == work.tenant, table.c.record_id == head.id))
        is_it = (memory_records.c.tenant == work.tenant, memory_records.c.id == head.id)
        left = Forgotten(id=head.id, forgotten_at=work.moment, forgotten_by=principal.id)
        # No version has this number: the index learns from it that there is something to remove.
        values = {"head": head.version + 1, "subject": "", **asdict(left)}
        await work.execute(update(memory_records).where(*is_it).values(**values))
        await _erase_answers(work, head.id)
        gone.append(left)
    if said and store.erasures.wanted:
        await work.execute(note(work.id, work.tenant, said, work.moment))
    return gone


async def _erase_answers(work: Operation, record_id: str) -> None:
    """Requests with a key were answered with what they wrote."""
    kept = (idempotency.c.tenant == work.tenant, idempotency.c.route.startswith(_ROUTES))
    await work.execute(delete(idempotency).where(*kept, cast(idempotency.c.response, Text).contains(record_id)))
