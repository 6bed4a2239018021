"""Reading memory: what stands, what stood at a time, how it came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from memory.access import readable
from memory.drafting import require_name
from memory.errors import MemoryForgotten, MemoryNotFound, SnapshotExists, SnapshotNotFound
from memory.ledger import Clock, operation
from memory.records import Kind, MemoryVersion, Status, Subject
from memory.rows import every, heads, read_version
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import memory_records as records
from records.schema import memory_snapshots as snapshots
from records.schema import memory_versions as versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which records are meant: those for which all that is given holds.

    Attributes:
        live_at: Only what may be recalled at that moment.
    """

    subject: Subject | None = None
    kind: Kind | None = None
    status: Status | None = None
    live_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A name for what stood at a moment."""

    name: str
    seq: int
    taken_by: str
    created_at: datetime


Point = datetime | int | str
"""A time, the number of a tenant's version (``seq``), or a snapshot's name: what stood then, with it included."""


class MemoryReader:
    """What a principal may read of its tenant's memory. A record's head says who may read its old versions, too."""

    def __init__(self, database: Database, clock: Clock = now) -> None:
        self._database = database
        self._clock = clock

    async def get(self, principal: Principal, record_id: str) -> MemoryVersion:
        """The version of a record that stands.

        Raises:
            MemoryForgotten: It was forgotten.
            MemoryNotFound: There is none for this principal.
        """
        async with self._database.read() as connection:
            return await get_from(connection, principal, record_id)

    async def list(
        self, principal: Principal, limit: int, *, where: Filter | None = None, before: str | None = None
    ) -> Sequence[MemoryVersion]:
        """The records as they stand, the newest first; those after ``before`` (an id) when given."""
        query = heads(principal.tenant).where(readable(principal), *_conditions(where or Filter()))
        if before is not None:
            query = query.where(records.c.id < before)
        return await self._read(query.order_by(records.c.id.desc()).limit(limit))

    async def history(
        self, principal: Principal, record_id: str, limit: int = 200, before: int | None = None
    ) -> Sequence[MemoryVersion]:
        """The versions of a record, the newest first; those before a version when given.

        Raises:
            MemoryForgotten, MemoryNotFound: As for ``get``.
        """
        head = await self.get(principal, record_id)
        below = versions.c.version < (head.version + 1 if before is None else before)
        query = every(principal.tenant).where(records.c.id == record_id, below)
        return await self._read(query.order_by(versions.c.version.desc()).limit(limit))

    async def version(self, principal: Principal, record_id: str, version: int) -> MemoryVersion:
        """One version of a record.

        Raises:
            MemoryForgotten, MemoryNotFound: As for ``get``, or it has no such version.
        """
        found = await self.history(principal, record_id, limit=1, before=version + 1)
        if not found or found[0].version != version:
            raise MemoryNotFound(f"the record {record_id!r} has no version {version}")
        return found[0]

    async def at(
        self,
        principal: Principal,
        point: Point,
        limit: int,
        *,
        record_id: str | None = None,
        where: Filter | None = None,
        before: str | None = None,
    ) -> Sequence[MemoryVersion]:
        """What stood at a point, the newest record first, of what has not been forgotten since.

        Raises:
            SnapshotNotFound: There is no such snapshot.
        """
        tenant = principal.tenant
        last = select(func.max(versions.c.seq)).where(versions.c.tenant == tenant, await self._until(tenant, point))
        if record_id is not None:
            last = last.where(versions.c.record_id == record_id)
        # Who may read it is what the head says, which is another row than the one that is read.
        head = versions.alias("head")
        stands = and_(
            head.c.tenant == versions.c.tenant,
            head.c.record_id == versions.c.record_id,
            head.c.version == records.c.head,
        )
        query = every(tenant).join(head, stands).where(readable(principal, head), *_conditions(where or Filter()))
        query = query.where(versions.c.seq.in_(last.group_by(versions.c.record_id)))
        if before is not None:
            query = query.where(records.c.id < before)
        return await self._read(query.order_by(records.c.id.desc()).limit(limit))

    async def snapshot(self, principal: Principal, name: str) -> Snapshot:
        """Give what stands now a name.

        Raises:
            SnapshotExists: It is taken.
            MemoryRefused: It is none.
        """
        require_name("a snapshot's name", name)
        try:
            async with operation(self._database, principal.tenant, self._clock) as work:
                taken = Snapshot(name=name, seq=work.seq, taken_by=principal.id, created_at=work.moment)
                values = {"tenant": principal.tenant, "name": name, "seq": taken.seq}
                whose = {"taken_by": principal.id, "created_at": work.moment}
                await work.execute(snapshots.insert().values(**values, **whose))
        except IntegrityError as error:
            raise SnapshotExists(f"there is a snapshot {name!r} already") from error
        return taken

    async def snapshots(self, principal: Principal, limit: int = 200) -> Sequence[Snapshot]:
        """The snapshots of the tenant, the last first."""
        query = select(snapshots).where(snapshots.c.tenant == principal.tenant)
        query = query.order_by(snapshots.c.created_at.desc(), snapshots.c.name).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Snapshot(name=r.name, seq=r.seq, taken_by=r.taken_by, created_at=r.created_at) for r in rows]

    async def _until(self, tenant: str, point: Point) -> ColumnElement[bool]:
        match point:
            case datetime():
                return versions.c.created_at <= point
            case int():
                return versions.c.seq <= point
        async with self._database.read() as connection:
            return versions.c.seq <= await snapshot_seq(connection, tenant, point)

    async def _read(self, query: Select[tuple[object, ...]]) -> Sequence[MemoryVersion]:
        async with self._database.read() as connection:
            return [read_version(row) for row in await connection.execute(query)]


async def get_from(connection: AsyncConnection, principal: Principal, record_id: str) -> MemoryVersion:
    """``MemoryReader.get`` over a connection, as part of what is done there."""
    query = heads(principal.tenant).where(records.c.id == record_id, readable(principal))
    row = (await connection.execute(query)).one_or_none()
    if row is not None:
        return read_version(row)
    forgotten = records.c.forgotten_at.is_not(None)
    query = select(records.c.id).where(records.c.tenant == principal.tenant, records.c.id == record_id, forgotten)
    if await connection.scalar(query) is not None:
        raise MemoryForgotten(f"the record {record_id!r} was forgotten")
    raise MemoryNotFound(f"there is no memory {record_id!r}")


async def snapshot_seq(connection: AsyncConnection, tenant: str, name: str) -> int:
    """The last version that a snapshot holds.

    Raises:
        SnapshotNotFound: There is no such snapshot.
    """
    query = select(snapshots.c.seq).where(snapshots.c.tenant == tenant, snapshots.c.name == name)
    seq = await connection.scalar(query)
    if seq is None:
        raise SnapshotNotFound(f"there is no snapshot {name!r}")
    return int(seq)


def _conditions(where: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if where.subject is not None:
        found += [records.c.subject_type == where.subject.type, records.c.subject == where.subject.id]
    if where.kind is not None:
        found.append(records.c.kind == where.kind)
    if where.status is not None:
        found.append(versions.c.status == where.status)
    if where.live_at is not None:
        found += live(where.live_at)
    return found


def live(moment: datetime) -> list[ColumnElement[bool]]:
    """``MemoryVersion.is_live`` for a statement."""
    columns = versions.c
    ends = [or_(column.is_(None), column > moment) for column in (columns.valid_until, columns.expires_at)]
    begun = or_(columns.valid_from.is_(None), columns.valid_from <= moment)
    return [columns.status == "active", begun, *ends]
