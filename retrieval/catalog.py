"""The record of collections and documents: what there is, and which version of it is live."""

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, Text, and_, bindparam, cast, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import collections, documents, versions
from retrieval.active import ActiveDocument, Collection
from retrieval.documents import Document
from retrieval.embedding.port import Embedder
from retrieval.errors import CollectionNotFound, DocumentNotFound, EmbedderMismatch

_PAGE = 500

# What every search asks, put together once: that takes longer than SQLite needs to answer.
_COLLECTION = select(collections).where(
    collections.c.tenant == bindparam("tenant"), collections.c.name == bindparam("name")
)
_ACTIVE = select(
    documents.c.id,
    documents.c.version,
    # The ACL as it is stored: of the documents of a search most have the same, which is decoded once.
    cast(documents.c.acl, Text),
).where(
    documents.c.tenant == bindparam("tenant"),
    documents.c.collection == bindparam("collection"),
    documents.c.id.in_(bindparam("ids", expanding=True)),
)


class InvalidCursor(ValueError):
    """The cursor was not made by this service."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some documents, and the cursor to go on with (None at the end)."""

    documents: list[Document]
    cursor: str | None


class Catalog:
    """Reads of the record on behalf of a tenant or a principal, and the setting up of collections.

    Documents change through `retrieval.changes`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    async def ensure(
        self, tenant: str, name: str, embedder: Embedder, *, language: str = "english", trusted: bool = False
    ) -> Collection:
        """The collection, set up for this embedder when it is new; language and trust count only then.

        Raises:
            EmbedderMismatch: It was embedded with another model.
        """
        try:
            collection = await self.collection(tenant, name)
        except CollectionNotFound:
            await self._add(tenant, name, embedder, language=language, trusted=trusted)
            collection = await self.collection(tenant, name)
        check_embedder(collection, embedder)
        return collection

    async def _add(self, tenant: str, name: str, embedder: Embedder, *, language: str, trusted: bool) -> None:
        row = {
            "tenant": tenant,
            "name": name,
            "embedder": embedder.name,
            "dimension": embedder.dimension,
            "language": language,
            "index_name": index_name(tenant, name, 1),
            "trusted": trusted,
            "created_at": now(),
        }
        async with self.database.write() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            await connection.execute(dialect.insert(collections).values(row).on_conflict_do_nothing())

    async def collection(self, tenant: str, name: str) -> Collection:
        """The collection.

        Raises:
            CollectionNotFound: The tenant has none of this name.
        """
        async with self.database.read() as connection:
            row = (await connection.execute(_COLLECTION, {"tenant": tenant, "name": name})).one_or_none()
        if row is None:
            raise CollectionNotFound(f"there is no collection {name!r}; `cairn ingest` makes it")
        return _collection(row)

    async def collections(self, tenant: str) -> list[Collection]:
        """The tenant's collections, by name."""
        query = select(collections).where(collections.c.tenant == tenant).order_by(collections.c.name)
        async with self.database.read() as connection:
            return [_collection(row) for row in await connection.execute(query)]

    async def active(self, tenant: str, collection: str, document_ids: Sequence[str]) -> Mapping[str, ActiveDocument]:
        """The live version of each of these documents; a deleted or unknown one is left out."""
        asked = {"tenant": tenant, "collection": collection, "ids": document_ids}
        async with self.database.read() as connection:
            rows = (await connection.execute(_ACTIVE, asked)).all()
        return {key: ActiveDocument(version, _acl(stored)) for key, version, stored in rows}

    async def document(self, principal: Principal, document_id: str) -> Document:
        """The document as it stands now.

        Raises:
            DocumentNotFound: There is none that the principal may read.
        """
        query = select(documents).where(documents.c.tenant == principal.tenant, documents.c.id == document_id)
        async with self.database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None or not principal.may_read(row.acl):
            raise DocumentNotFound(f"there is no document {document_id!r}")
        return to_document(row)

    async def documents(
        self, principal: Principal, *, collection: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """A page of the documents that the principal may read, by collection and URI.

        Raises:
            InvalidCursor: The cursor is not one that an earlier page gave.
        """
        found: list[Document] = []
        after = _position(cursor) if cursor else None
        async for row in self._rows(principal.tenant, collection, after):
            if not principal.may_read(row.acl):
                continue
            if len(found) == limit:
                return Page(found, _cursor(found[-1]))
            found.append(to_document(row))
        return Page(found, None)

    async def every(self, tenant: str, collection: str) -> AsyncIterator[Document]:
        """All the documents of a collection whatever their ACL, by URI; for whoever administers it."""
        async for row in self._rows(tenant, collection, None):
            yield to_document(row)

    async def count(self, tenant: str, collection: str | None = None) -> int:
        """How many documents there are."""
        query = select(func.count()).select_from(documents).where(*_within(tenant, collection))
        async with self.database.read() as connection:
            return int(await connection.scalar(query) or 0)

    async def fingerprints(self, tenant: str, document_ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Fingerprint and live version of each of these documents; an unknown one is left out."""
        query = select(documents.c.id, documents.c.fingerprint, documents.c.version).where(
            documents.c.tenant == tenant, documents.c.id.in_(document_ids)
        )
        async with self.database.read() as connection:
            return {row.id: (row.fingerprint, row.version) for row in await connection.execute(query)}

    async def parsed(self, tenant: str, document_id: str, version: str) -> tuple[str, tuple[int, ...]] | None:
        """The text of a version and where its pages start, or None when it is not kept."""
        query = select(versions.c.text, versions.c.page_starts).where(
            versions.c.tenant == tenant, versions.c.document_id == document_id, versions.c.version == version
        )
        async with self.database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (row.text, tuple(row.page_starts))

    async def excerpt(self, tenant: str, document_id: str, version: str, start: int, end: int) -> str | None:
        """The code points ``start`` to ``end`` of a version's parsed text; None when the version is no longer kept."""
        query = select(func.substr(versions.c.text, start + 1, end - start)).where(
            versions.c.tenant == tenant, versions.c.document_id == document_id, versions.c.version == version
        )
        async with self.database.read() as connection:
            text: str | None = await connection.scalar(query)
        # SQLite's substr stops at a NUL character; a shorter text is no excerpt.
        return text if text is not None and len(text) == end - start else None

    async def text(self, principal: Principal, document_id: str, version: str | None = None) -> str:
        """The parsed text of a document: of the version named, else of the live one.

        The last few versions are kept, so that a source that was cited a while ago still opens.

        Raises:
            DocumentNotFound: There is no such document that the principal may read, or the version is gone.
        """
        document = await self.document(principal, document_id)
        kept = await self.parsed(principal.tenant, document_id, version or document.version)
        if kept is None:
            raise DocumentNotFound(f"version {version!r} of {document.uri} is no longer kept; it has changed since")
        return kept[0]

    async def _rows(
        self, tenant: str, collection: str | None, after: tuple[str, str] | None
    ) -> AsyncIterator[Row[Any]]:
        order = (documents.c.collection, documents.c.uri)
        while True:
            query = (
                select(documents).where(*_within(tenant, collection)).order_by(documents.c.collection, documents.c.uri)
            )
            if after is not None:
                query = query.where(
                    or_(
                        documents.c.collection > after[0],
                        and_(documents.c.collection == after[0], documents.c.uri > after[1]),
                    )
                )
            async with self.database.read() as connection:
                rows = (await connection.execute(query.order_by(*order).limit(_PAGE))).all()
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return
            after = (rows[-1].collection, rows[-1].uri)


def index_name(tenant: str, collection: str, generation: int) -> str:
    """The name of a collection's index: readable, safe as a folder's name, and no other collection's."""
    readable = re.sub(r"[^a-z0-9]+", "-", collection.lower())[:32].strip("-") or "collection"
    return f"{readable}-{sha256(chr(31).join((tenant, collection)).encode()).hexdigest()[:12]}-{generation}"


def next_index_name(collection: Collection) -> str:
    """The name of the index that replaces the collection's."""
    return index_name(collection.tenant, collection.name, int(collection.index.rpartition("-")[2]) + 1)


def check_embedder(collection: Collection, embedder: Embedder) -> None:
    """Refuse a model whose vectors are not comparable with the collection's.

    Raises:
        EmbedderMismatch: The collection was embedded with another model.
    """
    if (collection.embedder, collection.dimension) != (embedder.name, embedder.dimension):
        raise EmbedderMismatch(
            f"collection {collection.name!r} was embedded with {collection.embedder} ({collection.dimension}), not "
            f"with {embedder.name} ({embedder.dimension}); use that model, or embed the collection anew with this one: "
            f"`cairn reindex {collection.name}`"
        )


def to_document(row: Row[Any]) -> Document:
    """A row of the table ``documents`` as the noun."""
    fields = row._asdict()
    del fields["fingerprint"], fields["created_by"], fields["revision"]
    return Document(**{**fields, "acl": tuple(row.acl)})


@lru_cache(maxsize=1024)
def _acl(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored))


def _collection(row: Row[Any]) -> Collection:
    return Collection(
        tenant=row.tenant,
        name=row.name,
        embedder=row.embedder,
        dimension=row.dimension,
        language=row.language,
        index=row.index_name,
        trusted=row.trusted,
        revision=row.revision,
    )


def _within(tenant: str, collection: str | None) -> list[Any]:
    within = [documents.c.tenant == tenant]
    return within if collection is None else [*within, documents.c.collection == collection]


def _cursor(last: Document) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.collection, last.uri]).encode()).decode()


def _position(cursor: str) -> tuple[str, str]:
    try:
        collection, uri = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return str(collection), str(uri)
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidCursor(f"{cursor!r} is not a cursor of this list; begin without one") from error
