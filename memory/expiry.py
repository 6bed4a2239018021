"""Upkeep of memory: what has lived out its time to live is erased, as if it were forgotten."""

from sqlalchemy import and_, select

from memory.errors import MemoryConflict, MemoryNotFound
from memory.forgetting import forget
from memory.store import MemoryStore
from records.principal import Principal
from records.schema import memory_records as records
from records.schema import memory_versions as versions
from records.tenancy import Crossing, across_tenants

EXPIRED_BY = "expiry"
"""Who has forgotten what has expired, as its tombstone says."""

_AT_ONCE = 200


class Expiry:
    """Erases records whose ``ttl`` has passed. What only was not valid any more stays: it is history."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def purge(self) -> None:
        """Erase what has expired, of every tenant. The index follows by itself."""
        for tenant, record_id, version in await self._expired():
            nobody = Principal(tenant=tenant, id=EXPIRED_BY, scopes=frozenset({"admin"}))
            try:
                await forget(self._store, nobody, record_id, expected_version=version)
            except (MemoryConflict, MemoryNotFound):
                continue  # somebody has just said it again, or forgotten it

    async def _expired(self) -> list[tuple[str, str, int]]:
        is_head = and_(
            versions.c.tenant == records.c.tenant,
            versions.c.record_id == records.c.id,
            versions.c.version == records.c.head,
        )
        query = select(records.c.tenant, records.c.id, records.c.head).join(versions, is_head)
        query = query.where(versions.c.expires_at <= self._store.clock()).limit(_AT_ONCE)
        async with self._store.database.read() as connection:
            found = await connection.execute(across_tenants(query, Crossing.UPKEEP))
            return [(row.tenant, row.id, row.head) for row in found]
