"""The outbox: what is being written to the index or has to be removed from it, and who carries that out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, exists, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from records.database import Database
from records.ids import new_id, now
from records.schema import collections, documents, outbox
from records.tenancy import Crossing, across_tenants
from retrieval.errors import RetrievalError
from retrieval.vectors.port import VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter

WRITE = "points.write"
"""Points of a version are being written; an order to remove them once their writer is dead."""
REMOVE = "points.remove"
DROP = "index.drop"

_ABANDONED = timedelta(hours=1)  # on a shared database: how long a write may take before others call it dead
_ORDERS = 200

_log = logging.getLogger(__name__)


class Cleaner:
    """Carries orders out. Each may be carried out twice; none removes what is read, or being written again."""

    def __init__(self, database: Database, store: VectorStore) -> None:
        self._database = database
        self._store = store

    async def clean(self, live: Collection[str]) -> int:
        """Carry out what is due but the writes in ``live``, which go on; how many orders there were.

        What the store or a full disk refuses stays for the next time.
        """
        done = 0
        try:
            while orders := await self._due(live):
                for place in sorted({(each.tenant, each.payload["index"]) for each in orders}):
                    theirs = [each for each in orders if (each.tenant, each.payload["index"]) == place]
                    await self._carry_out(*place, theirs)
                done += len(orders)
        except (RetrievalError, DBAPIError) as error:
            _log.warning("points that are no longer needed stay in the index for now: %s", error)
        return done

    async def _due(self, live: Collection[str]) -> list[Row[Any]]:
        query = select(outbox).where(outbox.c.kind.in_((WRITE, REMOVE, DROP))).order_by(outbox.c.id)
        async with self._database.read() as connection:
            if connection.dialect.name != "sqlite":
                query = query.where((outbox.c.kind != WRITE) | (outbox.c.created_at < now() - _ABANDONED))
            rows = (await connection.execute(across_tenants(query, Crossing.INDEX))).all()
        return [row for row in rows if row.id not in live][:_ORDERS]

    async def _carry_out(self, tenant: str, index: str, orders: Sequence[Row[Any]]) -> None:
        there = index in await self._store.indexes()
        # The transaction stays open over the store's call: no write of the same version can begin in between.
        async with self._database.write() as connection:
            await serialize(connection)
            ids = [each.id for each in orders]
            if there and any(each.kind == DROP for each in orders):
                await self._store.drop(index)
            elif there:
                gone = [each for each in orders if not await _needed(connection, each, ids)]
                if gone:
                    await self._store.delete(index, points_of(tenant, [each.payload for each in gone]))
            await connection.execute(delete(outbox).where(outbox.c.tenant == tenant, outbox.c.id.in_(ids)))


def order(
    kind: str, tenant: str, index: str, document: str = "", version: str = "", order_id: str | None = None
) -> dict[str, Any]:
    """A row of the outbox."""
    payload = {"index": index, "document_id": document, "version": version}
    return {"id": order_id or new_id(), "tenant": tenant, "kind": kind, "payload": payload, "created_at": now()}


async def serialize(connection: AsyncConnection) -> None:
    """One change of documents at a time: SQLite has one writer anyway, PostgreSQL needs to be told."""
    if connection.dialect.name == "postgresql":
        lock = text("LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE")
        await connection.execute(across_tenants(lock, Crossing.INDEX))


def points_of(tenant: str, named: Sequence[Mapping[str, str]]) -> Filter:
    """A filter for the tenant's points of the versions named."""
    from qdrant_client.models import FieldCondition, Filter, MatchValue

    def equals(key: str, value: str) -> FieldCondition:
        return FieldCondition(key=key, match=MatchValue(value=value))

    versions = [Filter(must=[equals(key, each[key]) for key in ("document_id", "version")]) for each in named]
    return Filter(must=[equals("tenant", tenant), Filter(should=versions)])


async def _needed(connection: AsyncConnection, each: Row[Any], ids: Sequence[str]) -> bool:
    """Whether points that an order names are active by now, or being written again."""
    payload = each.payload
    active = select(documents.c.id).join(
        collections, (collections.c.tenant == documents.c.tenant) & (collections.c.name == documents.c.collection)
    ).where(
        documents.c.tenant == each.tenant,
        documents.c.id == payload["document_id"],
        documents.c.version == payload["version"],
        collections.c.index_name == payload["index"],
    )  # fmt: skip
    if await connection.scalar(select(exists(active))):
        return True
    writing = select(outbox.c.id, outbox.c.payload).where(outbox.c.kind == WRITE, outbox.c.tenant == each.tenant)
    return any(row.payload == payload and row.id not in ids for row in await connection.execute(writing))
