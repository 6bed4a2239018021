"""What keeps the cache within its bounds, and what an operator asks of it: age, size, purging, counting."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select

from records.database import Database
from records.schema import cache_entries as entries
from records.tenancy import Crossing, across_tenants
from retrieval.cache.removal import delete_entries, delete_where

_AT_ONCE = 500

_SPARE = 50
"""A full cache makes room for this many more than it must, or for a hundredth of its size, so that it seldom has to."""


_RECOUNTED = 200
"""Entries that a process adds before it counts again how many there are."""


class Upkeep:
    """Deletes entries that are too old or too many, and counts."""

    def __init__(self, database: Database, max_entries: int) -> None:
        self._database = database
        self._max = max_entries
        self._sizes: dict[str, tuple[int, int]] = {}

    async def grew(self, tenant: str) -> None:
        """Note that an entry was added; make room if there are too many by now."""
        known, added = self._sizes.get(tenant, (0, _RECOUNTED))
        # Others add, too.
        self._sizes[tenant] = (known + 1, added + 1) if added < _RECOUNTED else (await self.size(tenant), 0)
        if self._sizes[tenant][0] > self._max:
            await self.evict(tenant)

    async def evict(self, tenant: str) -> int:
        """Delete those that are worth least if there are too many; how many."""
        size = await self.size(tenant)
        spare = min(max(_SPARE, self._max // 100), self._max // 10)
        removed = 0
        while size - removed > self._max - (spare if removed else 0):
            many = min(_AT_ONCE, size - removed - self._max + spare)
            least = select(entries.c.id).where(entries.c.tenant == tenant).order_by(entries.c.worth).limit(many)
            async with self._database.write() as connection:
                found = sorted(await connection.scalars(least))
                removed += await delete_entries(connection, tenant, found)
            if not found:
                break
        self._sizes[tenant] = size - removed, 0
        return removed

    async def expire(self, before: datetime) -> int:
        """Delete what was kept before a time, of every tenant; how many."""
        old = entries.c.created_at < before
        async with self._database.read() as connection:
            having = across_tenants(select(entries.c.tenant).where(old).distinct(), Crossing.UPKEEP)
            tenants = (await connection.scalars(having)).all()
        removed = 0
        for tenant in tenants:
            query = select(entries.c.id).where(entries.c.tenant == tenant, old).limit(_AT_ONCE)
            while True:
                async with self._database.write() as connection:
                    found = sorted(await connection.scalars(query))
                    removed += await delete_entries(connection, tenant, found)
                if not found:
                    break
            self._sizes.pop(tenant, None)
        return removed

    async def purge(self, tenant: str, collection: str | None = None, entry_id: str | None = None) -> int:
        """Delete a tenant's entries: all, or those of a collection, or one; how many."""
        conditions = []
        if collection is not None:
            conditions.append(entries.c.collection == collection)
        if entry_id is not None:
            conditions.append(entries.c.id == entry_id)
        self._sizes.pop(tenant, None)
        async with self._database.write() as connection:
            return await delete_where(connection, tenant, *conditions)

    async def size(self, tenant: str) -> int:
        """How many entries a tenant has."""
        query = select(func.count()).where(entries.c.tenant == tenant)
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)

    async def collections(self, tenant: str) -> Mapping[str, int]:
        """How many entries a tenant has of each collection."""
        query = select(entries.c.collection, func.count()).where(entries.c.tenant == tenant)
        query = query.group_by(entries.c.collection).order_by(entries.c.collection)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def unindexed(self, tenant: str, model: str) -> int:
        """How many of a tenant's entries are not in the index of this model."""
        query = select(func.count()).where(entries.c.tenant == tenant, entries.c.indexed != model)
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)
