"""How documents change: points first, then one SQL transaction that flips, then the clean-up.

1. ``begin`` records in the outbox that points of a version are about to be written.
2. The caller writes them. Readers skip them, for SQL does not call their version active.
3. ``commit`` makes the version active in one transaction, which also turns the record of step 1 into an order to remove
   the points of the version before.
4. ``clean`` carries such orders out, and removes what a process that died between 1 and 3 left behind.

Every step may be repeated, and after a crash between any two the next ``clean`` puts things right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from records.database import Database
from records.ids import new_id
from records.schema import collections, documents, outbox, versions
from retrieval.active import Collection
from retrieval.cache.removal import forget_answers_from
from retrieval.documents import Document
from retrieval.errors import RetrievalError
from retrieval.outbox import DROP, REMOVE, WRITE, Cleaner, order, points_of, serialize
from retrieval.vectors.port import VectorStore

_KEPT_VERSIONS = 5


class ChangeConflict(RetrievalError):
    """The collection was reindexed, or the write was given up for dead, while it was under way: write again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A document as it is to be, and what is kept of it beside the document itself."""

    document: Document
    fingerprint: str
    text: str
    page_starts: tuple[int, ...]
    created_by: str


@dataclass(frozen=True, slots=True)
class Built:
    """What a new index holds of a document: which version, in how many chunks."""

    version: str
    chunks: int


class Changes:
    """Writes to the record of documents that keep the index in step with it."""

    def __init__(self, database: Database, store: VectorStore) -> None:
        self._database = database
        self._store = store
        self._cleaner = Cleaner(database, store)
        self._live: set[str] = set()

    async def begin(self, index: str, writes: Sequence[Document]) -> list[str]:
        """Record that points of these versions will be written into the index; a receipt for each."""
        if not writes:
            return []
        receipts = [new_id() for _ in writes]
        rows = [
            order(WRITE, document.tenant, index, document.id, document.version, receipt)
            for receipt, document in zip(receipts, writes, strict=True)
        ]
        self._live.update(receipts)
        try:
            async with self._database.write() as connection:
                await serialize(connection)
                await connection.execute(insert(outbox), rows)
        except BaseException:
            self._live.difference_update(receipts)
            raise
        return receipts

    def give_up(self, receipts: Iterable[str]) -> None:
        """Leave points that were perhaps written to the next clean-up."""
        self._live.difference_update(receipts)

    async def commit(self, collection: Collection, changes: Sequence[tuple[str, NewVersion]]) -> None:
        """Make the versions active, all at once; each comes with its receipt. Of two for one document the last wins.

        Raises:
            ChangeConflict: Nothing has changed; the points have to be written again.
        """
        receipts = [receipt for receipt, _ in changes]
        async with self._database.write() as connection:
            await serialize(connection)
            await _check_index(connection, collection)
            await _redeem(connection, collection.tenant, receipts)
            revision = await _revise(connection, collection.tenant, {collection.name})
            before = await _active(connection, collection.tenant, [new.document.id for _, new in changes])
            changed = {new.document.id for _, new in changes if before.get(new.document.id) != new.document.version}
            await forget_answers_from(connection, collection.tenant, sorted(changed & before.keys()))
            for _, new in changes:
                await _activate(connection, collection.index, new, before.get(new.document.id), revision)
                before[new.document.id] = new.document.version
        self._live.difference_update(receipts)

    async def touch(self, document: Document, fingerprint: str) -> bool:
        """Record another fingerprint for a document whose version it does not change; False if that is not live."""
        mine = (documents.c.id == document.id) & (documents.c.tenant == document.tenant)
        live = documents.c.version == document.version
        async with self._database.write() as connection:
            touched = await connection.execute(
                update(documents).where(mine, live).values(fingerprint=fingerprint, size=document.size)
            )
        return touched.rowcount > 0

    async def remove(self, tenant: str, document_ids: Sequence[str]) -> int:
        """Delete documents with their versions in one transaction; how many there were. Their points follow."""
        mine = (documents.c.tenant == tenant) & documents.c.id.in_(document_ids)
        async with self._database.write() as connection:
            await serialize(connection)
            query = (
                select(documents.c.id, documents.c.version, documents.c.collection, collections.c.index_name)
                .join(
                    collections,
                    (collections.c.tenant == documents.c.tenant) & (collections.c.name == documents.c.collection),
                )
                .where(mine)
            )
            rows = (await connection.execute(query)).all()
            if rows:
                orders = [order(REMOVE, tenant, row.index_name, row.id, row.version) for row in rows]
                await connection.execute(insert(outbox), orders)
                await connection.execute(delete(documents).where(mine))
                await _revise(connection, tenant, {row.collection for row in rows})
                await forget_answers_from(connection, tenant, [row.id for row in rows])
                theirs = versions.c.document_id.in_([row.id for row in rows])
                await connection.execute(delete(versions).where(versions.c.tenant == tenant, theirs))
        return len(rows)

    async def switch(self, collection: Collection, new: Collection, built: Mapping[str, Built]) -> bool:
        """Let ``new``'s index and embedder replace ``collection``'s, and order the old index to be dropped.

        Args:
            collection: As it is now.
            new: As it is to be.
            built: What the new index holds, by document.

        Returns:
            False when documents have changed since, and nothing was switched.

        Raises:
            ChangeConflict: The collection has another index by now.
        """
        mine = (collections.c.tenant == collection.tenant) & (collections.c.name == collection.name)
        async with self._database.write() as connection:
            await serialize(connection)
            await _check_index(connection, collection)
            now_active = await connection.execute(
                select(documents.c.id, documents.c.version).where(
                    documents.c.tenant == collection.tenant, documents.c.collection == collection.name
                )
            )
            if {row.id: row.version for row in now_active} != {key: each.version for key, each in built.items()}:
                return False
            await connection.execute(
                update(collections)
                .where(mine)
                .values(index_name=new.index, embedder=new.embedder, dimension=new.dimension, language=new.language)
            )
            if built:
                await connection.execute(
                    update(documents)
                    .where(documents.c.id == bindparam("document"), documents.c.tenant == collection.tenant)
                    .values(chunk_count=bindparam("chunks")),
                    [{"document": key, "chunks": each.chunks} for key, each in built.items()],
                )
            await connection.execute(insert(outbox), [order(DROP, collection.tenant, collection.index)])
        return True

    async def forget(self, collection: Collection, document_id: str, version: str) -> None:
        """Remove the points of a version from an index that nobody reads yet."""
        named = [{"document_id": document_id, "version": version}]
        await self._store.delete(collection.index, points_of(collection.tenant, named))

    async def clean(self) -> int:
        """Remove points and indexes that nobody reads any more; how many orders were carried out.

        What the store refuses stays for the next time.
        """
        return await self._cleaner.clean(self._live)


async def _check_index(connection: AsyncConnection, collection: Collection) -> None:
    index = await connection.scalar(
        select(collections.c.index_name).where(
            collections.c.tenant == collection.tenant, collections.c.name == collection.name
        )
    )
    if index != collection.index:
        raise ChangeConflict(f"collection {collection.name!r} was reindexed meanwhile; do it again")


async def _revise(connection: AsyncConnection, tenant: str, names: AbstractSet[str]) -> int:
    """Note that what is live in these collections changes with this transaction; gives the latest of their revisions.

    Who adds an answer to the cache holds these rows meanwhile, so what is forgotten after this is all of it.
    """
    mine = (collections.c.tenant == tenant) & collections.c.name.in_(sorted(names))
    next_one = update(collections).where(mine).values(revision=collections.c.revision + 1)
    revisions: list[int] = list(await connection.scalars(next_one.returning(collections.c.revision)))
    return max(revisions)


async def _redeem(connection: AsyncConnection, tenant: str, receipts: Sequence[str]) -> None:
    redeemed = await connection.execute(delete(outbox).where(outbox.c.tenant == tenant, outbox.c.id.in_(receipts)))
    if redeemed.rowcount != len(receipts):
        raise ChangeConflict("writing took so long that it was given up for dead; do it again")


async def _active(connection: AsyncConnection, tenant: str, ids: Sequence[str]) -> dict[str, str]:
    mine = (documents.c.tenant == tenant, documents.c.id.in_(ids))
    rows = await connection.execute(select(documents.c.id, documents.c.version).where(*mine))
    return {row.id: row.version for row in rows}


async def _activate(
    connection: AsyncConnection, index: str, new: NewVersion, before: str | None, revision: int
) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    document = new.document
    values = {column.name: getattr(document, column.name, None) for column in documents.columns}
    values |= {"acl": list(document.acl), "metadata": dict(document.metadata)}
    values |= {"fingerprint": new.fingerprint, "created_by": new.created_by, "revision": revision}
    kept = {"id", "tenant", "created_at", "created_by"}
    await connection.execute(
        dialect.insert(documents)
        .values(values)
        .on_conflict_do_update(
            index_elements=["id"],
            set_={k: v for k, v in values.items() if k not in kept},
            where=documents.c.tenant == document.tenant,
        )
    )
    version = {
        "document_id": document.id,
        "version": document.version,
        "tenant": document.tenant,
        "text": new.text,
        "page_starts": list(new.page_starts),
        "created_at": document.updated_at,
    }
    await connection.execute(
        dialect.insert(versions)
        .values(version)
        .on_conflict_do_update(
            index_elements=["document_id", "version"],
            set_={"created_at": document.updated_at},
            where=versions.c.tenant == document.tenant,
        )
    )
    if before is not None and before != document.version:
        await connection.execute(insert(outbox), [order(REMOVE, document.tenant, index, document.id, before)])
        await _forget_old_versions(connection, document.tenant, document.id)


async def _forget_old_versions(connection: AsyncConnection, tenant: str, document_id: str) -> None:
    of_document = and_(versions.c.tenant == tenant, versions.c.document_id == document_id)
    newest = select(versions.c.version).where(of_document).order_by(versions.c.created_at.desc()).limit(_KEPT_VERSIONS)
    await connection.execute(delete(versions).where(of_document, versions.c.version.not_in(newest)))
