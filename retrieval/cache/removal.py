"""How answers that were kept are deleted: with the rows that say what they draw on, leaving word for the index.

These run within the transaction of whoever deletes, so that with a document that changes go the answers that used it.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from records.schema import cache_entries as entries
from records.schema import cache_gone as gone
from records.schema import cache_sources as sources

_AT_ONCE = 500


async def forget_answers_from(connection: AsyncConnection, tenant: str, document_ids: Sequence[str]) -> int:
    """Delete the answers that draw on any of these documents; how many there were.

    The transaction holds the row of the documents' collection already (see ``Entries.add``): no answer that draws on
    them is being added.
    """
    found: set[str] = set()
    for start in range(0, len(document_ids), _AT_ONCE):
        some = sources.c.document_id.in_(document_ids[start : start + _AT_ONCE])
        found.update(await connection.scalars(select(sources.c.entry_id).where(sources.c.tenant == tenant, some)))
    return await delete_entries(connection, tenant, sorted(found))


async def delete_where(connection: AsyncConnection, tenant: str, *conditions: ColumnElement[bool]) -> int:
    """Delete a tenant's entries of which all of this holds; how many there were."""
    found = await connection.scalars(select(entries.c.id).where(entries.c.tenant == tenant, *conditions))
    return await delete_entries(connection, tenant, sorted(found))


async def delete_entries(connection: AsyncConnection, tenant: str, ids: Sequence[str]) -> int:
    """Delete entries by their ids, given in order; how many of them there were."""
    count = 0
    for start in range(0, len(ids), _AT_ONCE):
        count += await _delete(connection, tenant, ids[start : start + _AT_ONCE])
    return count


async def _delete(connection: AsyncConnection, tenant: str, ids: Sequence[str]) -> int:
    mine = (entries.c.tenant == tenant, entries.c.id.in_(ids))
    # In one order, so that two who delete the same wait for each other and not for ever.
    locked = select(entries.c.id).where(*mine).order_by(entries.c.id).with_for_update()
    there = (await connection.scalars(locked)).all()
    if there:
        await connection.execute(delete(entries).where(*mine))
        await connection.execute(delete(sources).where(sources.c.tenant == tenant, sources.c.entry_id.in_(there)))
        await connection.execute(insert(gone), [{"tenant": tenant, "entry_id": each} for each in there])
    return len(there)
