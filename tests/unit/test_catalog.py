"""The record of documents: read by tenant and ACL, page by page, with the versions before."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from qdrant_client.models import Filter

from records.database import Database
from records.ids import now
from records.principal import Principal
from retrieval.catalog import Catalog, InvalidCursor
from retrieval.changes import ChangeConflict, Changes, NewVersion
from retrieval.documents import Document, document_id
from retrieval.errors import CollectionNotFound, DocumentNotFound
from retrieval.vectors.edge import EdgeStore
from tests.support.embedder import HashEmbedder

ALICE = Principal(id="alice", groups=frozenset({"staff"}))
CAROL = Principal(id="carol")
ADMIN = Principal(id="admin", scopes=frozenset({"admin"}))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'cairn.db'}")
    yield database
    await database.aclose()


@pytest.fixture
async def catalog(database: Database) -> Catalog:
    catalog = Catalog(database)
    await catalog.ensure("default", "default", HashEmbedder())
    return catalog


def changes_of(database: Database, tmp_path: Path) -> Changes:
    return Changes(database, EdgeStore(tmp_path / "vectors"))


def version(
    uri: str, text: str = "Text.", acl: tuple[str, ...] = ("public",), collection: str = "default"
) -> NewVersion:
    document = Document(
        id=document_id("default", collection, uri),
        tenant="default",
        collection=collection,
        uri=uri,
        title=uri,
        media_type="text/plain",
        version=text,
        acl=acl,
        metadata={},
        trust="untrusted",
        size=len(text),
        chunk_count=1,
        created_at=now(),
        updated_at=now(),
    )
    return NewVersion(document=document, fingerprint=text, text=text, page_starts=(), created_by="alice")


async def put(changes: Changes, catalog: Catalog, *versions: NewVersion) -> None:
    collection = await catalog.collection("default", versions[0].document.collection)
    receipts = await changes.begin(collection.index, [each.document for each in versions])
    await changes.commit(collection, list(zip(receipts, versions, strict=True)))


async def test_documents_come_page_by_page_without_those_that_may_not_be_read(
    database: Database, catalog: Catalog, tmp_path: Path
) -> None:
    await catalog.ensure("default", "another", HashEmbedder())
    changes = changes_of(database, tmp_path)
    await put(changes, catalog, *(version(f"doc:{n}", acl=("staff",) if n % 2 else ("public",)) for n in range(10)))
    await put(changes, catalog, version("doc:0", collection="another"))

    async def pages(principal: Principal, collection: str | None = None) -> list[list[str]]:
        found: list[list[str]] = []
        cursor: str | None = None
        while not found or cursor:
            page = await catalog.documents(principal, collection=collection, limit=3, cursor=cursor)
            found.append([f"{each.collection[0]}{each.uri[4:]}" for each in page.documents])
            cursor = page.cursor
        return found

    assert await pages(CAROL) == [["a0", "d0", "d2"], ["d4", "d6", "d8"]]
    assert await pages(ALICE, "default") == [["d0", "d1", "d2"], ["d3", "d4", "d5"], ["d6", "d7", "d8"], ["d9"]]
    for cursor in ("x", "e30=", "W10=", "ü"):
        with pytest.raises(InvalidCursor):
            await catalog.documents(ALICE, cursor=cursor)


async def test_a_collection_is_revised_by_whatever_changes_what_is_live_in_it(
    database: Database, catalog: Catalog, tmp_path: Path
) -> None:
    await catalog.ensure("default", "another", HashEmbedder())
    changes = changes_of(database, tmp_path)
    seen = [0]

    async def revised() -> bool:
        seen.append((await catalog.collection("default", "default")).revision)
        return seen[-1] > seen[-2]

    first = version("doc:a")
    await put(changes, catalog, first)
    assert await revised()
    await put(changes, catalog, version("doc:a", text="Another text."))
    assert await revised()
    await put(changes, catalog, version("doc:a", text="Another text.", acl=("staff",)))
    assert await revised()
    assert await changes.remove("default", [first.document.id]) == 1
    assert await revised()
    await put(changes, catalog, version("doc:a", collection="another"))
    assert await changes.remove("default", ["unknown"]) == 0
    assert not await revised()
    assert (await catalog.collection("default", "another")).revision == 1


async def test_what_may_not_be_read_is_not_there(database: Database, catalog: Catalog, tmp_path: Path) -> None:
    secret = version("doc:secret", acl=("staff",))
    await put(changes_of(database, tmp_path), catalog, secret)
    assert (await catalog.document(ALICE, secret.document.id)).uri == "doc:secret"
    assert await catalog.text(ADMIN, secret.document.id) == "Text."
    assert [each.uri for each in (await catalog.documents(ADMIN)).documents] == ["doc:secret"]
    for stranger in (CAROL, replace(ALICE, tenant="other"), replace(ADMIN, tenant="other")):
        assert (await catalog.documents(stranger)).documents == []
        for read in (catalog.document, catalog.text):
            with pytest.raises(DocumentNotFound):
                await read(stranger, secret.document.id)
    with pytest.raises(CollectionNotFound):
        await catalog.collection("other", "default")


async def test_the_last_versions_still_open_and_a_removed_document_is_gone_with_them(
    database: Database, catalog: Catalog, tmp_path: Path
) -> None:
    changes = changes_of(database, tmp_path)
    for number in range(8):
        new = version("doc:a", f"edition {number}")
        later = replace(new.document, updated_at=now() + timedelta(seconds=number))
        await put(changes, catalog, replace(new, document=later))
    document = await catalog.document(ALICE, new.document.id)

    assert await catalog.text(ALICE, document.id) == "edition 7"
    assert await catalog.text(ALICE, document.id, "edition 4") == "edition 4"
    with pytest.raises(DocumentNotFound, match="no longer kept"):
        await catalog.text(ALICE, document.id, "edition 0")
    active = await catalog.active("default", "default", [document.id, "unknown"])
    assert {key: (each.version, each.acl) for key, each in active.items()} == {document.id: ("edition 7", ("public",))}

    assert await changes.remove("default", [document.id]) == 1
    assert await catalog.parsed("default", document.id, "edition 7") is None
    assert await catalog.active("default", "default", [document.id]) == {}


async def test_an_excerpt_is_cut_from_the_version_asked_for(
    database: Database, catalog: Catalog, tmp_path: Path
) -> None:
    """Spans count code points; what is cut short, or is another tenant's, is no excerpt."""
    changes = changes_of(database, tmp_path)
    old = version("doc:a", "Grüße 🎉 aus Köln")
    await put(changes, catalog, old)
    await put(changes, catalog, version("doc:a", "Something else"))
    await put(changes, catalog, version("doc:nul", "before\0after"))
    key, nul = old.document.id, document_id("default", "default", "doc:nul")

    assert await catalog.excerpt("default", key, "Grüße 🎉 aus Köln", 6, 11) == "🎉 aus"
    assert await catalog.excerpt("default", key, "Something else", 0, 9) == "Something"
    assert await catalog.excerpt("default", key, "Something else", 9, 99) is None
    assert await catalog.excerpt("default", nul, "before\0after", 0, 12) is None
    assert await catalog.excerpt("default", key, "never written", 0, 1) is None
    assert await catalog.excerpt("other", key, "Something else", 0, 9) is None


async def test_a_write_given_up_for_dead_or_to_a_replaced_index_is_not_committed(
    database: Database, catalog: Catalog, tmp_path: Path
) -> None:
    store = await EdgeStore.open(tmp_path / "vectors")
    try:
        mine, others = Changes(database, store), Changes(database, store)
        collection = await catalog.collection("default", "default")
        new = version("doc:a")
        receipts = await mine.begin(collection.index, [new.document])
        assert await mine.clean() == 0
        assert await others.clean() == 1
        with pytest.raises(ChangeConflict):
            await mine.commit(collection, list(zip(receipts, [new], strict=True)))
        with pytest.raises(ChangeConflict):
            await mine.commit(replace(collection, index="gone"), [])
        assert (await catalog.documents(ALICE)).documents == []
    finally:
        await store.aclose()


async def test_cleaning_spares_a_version_that_is_live_again(
    database: Database, catalog: Catalog, tmp_path: Path
) -> None:
    """A to B and back to A before the points of the first A were removed: they are the ones that are read now."""
    store = await EdgeStore.open(tmp_path / "vectors")
    try:
        from ingest.splitting import split
        from retrieval.indexing import index_points
        from retrieval.vectors.port import IndexSpec

        collection = await catalog.collection("default", "default")
        await store.create(collection.index, IndexSpec(dimension=32, language="english"))
        changes, embedder = Changes(database, store), HashEmbedder()
        for text in ("A", "B", "A"):
            new = version("doc:a", text)
            receipts = await changes.begin(collection.index, [new.document])
            chunks = split(new, "", embedder)
            await store.upsert(collection.index, await index_points(embedder, new.document, chunks))
            await changes.commit(collection, list(zip(receipts, [new], strict=True)))

        await changes.clean()

        points, _ = await store.scroll(collection.index, Filter(), 10)
        assert [point.payload["version"] for point in points] == ["A"]
    finally:
        await store.aclose()
