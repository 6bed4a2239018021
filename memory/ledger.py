"""Writing memory: one operation at a time in a tenant, all of it or nothing."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy import Integer, String, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from memory.records import Change, Content, MemoryVersion, Status
from memory.rows import heads, read_version, version_row
from records.database import Database
from records.ids import new_id
from records.schema import memory_clocks, memory_records, memory_sources, memory_versions

Clock = Callable[[], datetime]
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Changes(TypedDict, total=False):
    """What a version may differ in from the one before."""

    status: Status
    content: Content
    change: Change
    changed_by: str
    changed_run: str | None
    restores: int | None
    supersedes: tuple[str, ...]
    superseded_by: str | None


class Operation:
    """What is written at once: every version of it has its ``id`` and its ``moment``.

    The moments of a tenant's operations go up, whatever the clocks of the machines do, so that what stood at a time is
    what stood after the last operation until then.
    """

    def __init__(self, connection: AsyncConnection, tenant: str, seq: int, moment: datetime) -> None:
        self.connection = connection
        self.tenant = tenant
        self.id = new_id()
        self.moment = moment
        self.seq = seq

    async def execute(self, statement: Any) -> Any:
        """Execute a statement as part of the operation."""
        return await self.connection.execute(statement)

    async def read(self, statement: Any) -> list[MemoryVersion]:
        """The versions that a statement selects."""
        return [read_version(row) for row in await self.connection.execute(statement)]

    async def heads(self, ids: Sequence[str]) -> dict[str, MemoryVersion]:
        """The versions that stand, of these records."""
        found = await self.read(heads(self.tenant).where(memory_records.c.id.in_(ids)))
        return {version.id: version for version in found}

    async def begin(self, version: MemoryVersion) -> MemoryVersion:
        """Write the first version of a record."""
        row = {"tenant": self.tenant, "id": version.id, "head": 1, "indexed": 0, "created_at": self.moment}
        whom = {"subject_type": version.subject.type, "subject": version.subject.id, "kind": version.kind}
        await self.execute(insert(memory_records).values(**row, **whom))
        return (await self._insert([(version, ())]))[0]

    async def follow(
        self, head: MemoryVersion, *, owes: Iterable[str] = (), **changes: Unpack[Changes]
    ) -> MemoryVersion:
        """Write the version after this one.

        Args:
            owes: Further sources, besides those of its content, to which it owes that it was written.
        """
        return (await self.follow_all([(following(head, **changes), owes)]))[0]

    async def follow_all(self, following: Sequence[tuple[MemoryVersion, Iterable[str]]]) -> list[MemoryVersion]:
        """Write versions of several records, each with what it owes, in a few statements."""
        record, number = bindparam("record", type_=String), bindparam("number", type_=Integer)
        is_head = (memory_records.c.tenant == bindparam("whose", type_=String), memory_records.c.id == record)
        moved = [{"whose": self.tenant, "record": each.id, "number": each.version} for each, _ in following]
        await self.connection.execute(update(memory_records).where(*is_head).values(head=number), moved)
        return await self._insert(following)

    async def _insert(self, written: Sequence[tuple[MemoryVersion, Iterable[str]]]) -> list[MemoryVersion]:
        versions, owed = [], []
        for version, owes in written:
            self.seq += 1
            versions.append(replace(version, seq=self.seq, operation=self.id, created_at=self.moment))
            key = {"tenant": self.tenant, "record_id": version.id, "version": version.version}
            sources = dict.fromkeys([*(source.id for source in version.content.sources), *owes])
            owed += [{**key, "source": source} for source in sources]
        await self.connection.execute(insert(memory_versions), [version_row(self.tenant, each) for each in versions])
        if owed:
            await self.connection.execute(insert(memory_sources), owed)
        return versions


def following(head: MemoryVersion, **changes: Unpack[Changes]) -> MemoryVersion:
    """The version after this one; what the change does not say is nothing."""
    unset: Changes = {"changed_run": None, "restores": None, "supersedes": (), "superseded_by": None}
    return replace(head, version=head.version + 1, **(unset | changes))


@asynccontextmanager
async def operation(database: Database, tenant: str, clock: Clock) -> AsyncIterator[Operation]:
    """An operation on a tenant's memory. The tenant's other writers wait until it is over."""
    mine = memory_clocks.c.tenant == tenant
    async with database.write() as connection:
        if database.dialect == "sqlite":
            # What is moved or deleted leaves nothing behind in the file, so that what is forgotten later is not there.
            await connection.exec_driver_sql("PRAGMA secure_delete=ON")
        dialect = postgresql if database.dialect == "postgresql" else sqlite
        first = dialect.insert(memory_clocks).values(tenant=tenant, seq=0, moment=_BEGINNING)
        await connection.execute(first.on_conflict_do_nothing())
        # To change the row is to hold it, and with it the tenant's memory, until the transaction ends.
        await connection.execute(update(memory_clocks).where(mine).values(seq=memory_clocks.c.seq))
        last = (await connection.execute(select(memory_clocks).where(mine))).one()
        work = Operation(connection, tenant, last.seq, max(clock(), last.moment + _TICK))
        yield work
        if work.seq > last.seq:
            await connection.execute(update(memory_clocks).where(mine).values(seq=work.seq, moment=work.moment))
