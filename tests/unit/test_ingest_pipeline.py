"""Ingestion end to end over a real record, index and parser."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection

from ingest.items import Item, Unreadable
from ingest.options import IngestOptions
from ingest.sources import PathRoots, file_item, read_paths
from ingest.summary import IngestSummary, Progress
from records.principal import Principal
from retrieval.documents import document_id
from retrieval.embedding.port import Vectors
from retrieval.errors import DocumentNotFound
from tests.support.embedder import HashEmbedder
from tests.support.store import House, open_house

ALICE = Principal(id="alice")


async def given(*items: Item | Unreadable) -> AsyncIterator[Item | Unreadable]:
    for item in items:
        yield item


def note(name: str, text: str) -> Item:
    return Item(uri=f"note:{name}", name=name, data=text.encode())


async def ingest(house: House, *items: Item | Unreadable, options: IngestOptions | None = None) -> IngestSummary:
    return await house.ingestor.ingest(given(*items), options or IngestOptions(principal=ALICE))


async def points(house: House) -> list[Mapping[str, object]]:
    collection = await house.catalog.collection(ALICE.tenant, "default")
    found, _ = await house.store.scroll(collection.index, None, 1000)
    return [point.payload for point in found]


async def test_a_document_is_added_then_unchanged_then_changed_and_its_old_points_go(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        first = await ingest(house, note("a.md", "# Returns\n\nThirty days."), note("b.md", "# Shipping\n\nTwo days."))
        again = await ingest(house, note("a.md", "# Returns\n\nThirty days."), note("b.md", "# Shipping\n\nTwo days."))
        third = await ingest(house, note("a.md", "# Returns\n\nSixty days."), note("b.md", "# Shipping\n\nTwo days."))

        assert (first.added, first.changed, first.unchanged, first.failed, first.chunks) == (2, 0, 0, [], 2)
        assert (again.added, again.changed, again.unchanged, again.chunks) == (0, 0, 2, 0)
        assert (third.added, third.changed, third.unchanged, third.chunks) == (0, 1, 1, 1)
        assert sorted(str(p["text"]) for p in await points(house)) == [
            "# Returns\n\nSixty days.",
            "# Shipping\n\nTwo days.",
        ]
        page = await house.catalog.documents(ALICE)
        assert [(d.uri, d.title, d.chunk_count) for d in page.documents] == [
            ("note:a.md", "Returns", 1),
            ("note:b.md", "Shipping", 1),
        ]


async def test_progress_is_told_document_by_document(tmp_path: Path) -> None:
    told: list[Progress] = []
    async with open_house(tmp_path) as house:
        await house.ingestor.ingest(
            given(note("a.md", "One."), Unreadable(uri="note:x", code="not_found", reason="there is no such file")),
            IngestOptions(principal=ALICE),
            told.append,
        )
    assert {(p.uri, p.outcome) for p in told} == {("note:a.md", "added"), ("note:x", "failed")}
    assert told[-1].done == told[-1].found == 2


async def test_one_bad_document_fails_by_name_and_the_others_go_in(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        summary = await ingest(
            house,
            note("a.md", "First."),
            note("empty.md", "  \n\n "),
            note("junk.bin", "\x00\x01\x02" * 400),
            Item(uri="file:///gone.md", name="gone.md", path=tmp_path / "gone.md"),
            note("b.md", "Second."),
        )
        assert {failure.uri: failure.code for failure in summary.failed} == {
            "note:empty.md": "empty",
            "note:junk.bin": "unsupported",
            "file:///gone.md": "not_found",
        }
        assert (summary.added, summary.exit_code) == (2, 3)
        assert summary.to_json()["failed"] == 3


async def test_a_document_that_can_no_longer_be_parsed_keeps_its_last_good_version(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await ingest(house, note("a.md", "Thirty days."))
        summary = await ingest(house, note("a.md", ""), options=IngestOptions(principal=ALICE, prune=Everywhere()))
        assert [failure.code for failure in summary.failed] == ["empty"]
        assert [p["text"] for p in await points(house)] == ["Thirty days."]


async def test_a_vector_that_cannot_be_stored_fails_only_its_own_document(tmp_path: Path) -> None:
    async with open_house(tmp_path, Poisoned()) as house:
        summary = await ingest(
            house, note("a.md", "Fine."), note("b.md", "A poisoned text."), note("c.md", "Fine too.")
        )
        assert [(failure.uri, failure.code) for failure in summary.failed] == [("note:b.md", "not_written")]
        assert sorted(str(p["uri"]) for p in await points(house)) == ["note:a.md", "note:c.md"]
        assert (await ingest(house, note("b.md", "A sound text."))).added == 1


async def test_a_changed_acl_metadata_or_trust_is_a_change_and_other_bytes_for_the_same_text_are_not(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        await ingest(house, note("a.md", "Staff only.\n"))
        for options in (
            IngestOptions(principal=ALICE, acl=("staff",)),
            IngestOptions(principal=ALICE, acl=("staff",), metadata={"year": 2026}),
            IngestOptions(principal=ALICE, acl=("staff",), metadata={"year": 2026}, trust="trusted"),
        ):
            assert (await ingest(house, note("a.md", "Staff only.\n"), options=options)).changed == 1
            assert (await ingest(house, note("a.md", "Staff only.\n"), options=options)).unchanged == 1
        [point] = await points(house)
        assert (point["acl"], point["metadata"], point["trust"]) == (["staff"], {"year": 2026}, "trusted")

        crlf = await ingest(house, note("a.md", "Staff only.\r\n"), options=options)
        assert (crlf.changed, crlf.unchanged, crlf.chunks) == (0, 1, 0)


async def test_of_two_for_one_document_the_last_wins(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await ingest(house, note("a.md", "Live."))
        summary = await ingest(house, note("a.md", "Passing."), note("b.md", "Other."), note("a.md", "Live."))
        assert not summary.failed
        assert sorted(str(p["text"]) for p in await points(house)) == ["Live.", "Other."]


async def test_concurrent_ingestions_of_one_document_leave_one_whole_version(tmp_path: Path) -> None:
    async with open_house(tmp_path, batch=4) as house:
        editions = ["\n\n".join(f"Edition {n}, paragraph {p} of it." for p in range(40)) for n in range(4)]
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(ingest(house, note("a.md", text), note("b.md", text))) for text in editions]
        assert not any(run.result().failed for run in runs)
        await ingest(house)
        for document in (await house.catalog.documents(ALICE)).documents:
            mine = [p for p in await points(house) if p["document_id"] == document.id]
            assert {p["version"] for p in mine} == {document.version}
            assert len(mine) == document.chunk_count


async def test_prune_removes_what_is_gone_from_the_given_roots_only(tmp_path: Path) -> None:
    folder, other = tmp_path / "docs", tmp_path / "other"
    for path in (folder / "a.md", folder / "b.md", other / "c.md"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"This is {path.name}.")
    async with open_house(tmp_path / "data") as house:
        await house.ingestor.ingest(read_paths([str(folder), str(other)]), IngestOptions(principal=ALICE))
        (folder / "a.md").unlink()
        (other / "c.md").unlink()

        prune = IngestOptions(principal=ALICE, prune=PathRoots((str(folder),)))
        look = await house.ingestor.ingest(read_paths([str(folder)]), replace(prune, dry_run=True))
        assert (look.removed, len(await points(house))) == (1, 3)
        done = await house.ingestor.ingest(read_paths([str(folder)]), prune)
        assert (done.removed, done.unchanged) == (1, 1)
        assert sorted(str(p["title"]) for p in await points(house)) == ["b.md", "c.md"]

        shutil.rmtree(folder)
        gone = await house.ingestor.ingest(read_paths([str(folder)]), prune)
        assert (gone.removed, [failure.code for failure in gone.failed]) == (0, ["not_found"])


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await ingest(house, note("a.md", "One."), note("b.md", "Two."))
        options = IngestOptions(principal=ALICE, dry_run=True)
        summary = await ingest(
            house, note("a.md", "One."), note("b.md", "Changed."), note("c.md", "New."), options=options
        )
        assert (summary.added, summary.changed, summary.unchanged, summary.dry_run) == (1, 1, 1, True)
        assert sorted(str(p["text"]) for p in await points(house)) == ["One.", "Two."]


async def test_tenants_do_not_see_each_others_documents(tmp_path: Path) -> None:
    bob = Principal(tenant="other", id="bob")
    async with open_house(tmp_path) as house:
        await ingest(house, note("a.md", "Of the one."))
        await ingest(house, note("a.md", "Of the other."), options=IngestOptions(principal=bob))
        [mine], [his] = [(await house.catalog.documents(who)).documents for who in (ALICE, bob)]
        assert mine.id != his.id
        with pytest.raises(DocumentNotFound):
            await house.catalog.document(bob, mine.id)
        assert await house.ingestor.remove(bob, [mine.id]) == 0
        assert await house.ingestor.remove(ALICE, [mine.id]) == 1
        assert await points(house) == []
        assert await house.catalog.text(bob, his.id) == "Of the other."


async def test_a_source_that_breaks_stops_the_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[Item]:
        yield note("a.md", "One.")
        raise ConnectionError("the source has gone")

    async with open_house(tmp_path) as house:
        with pytest.raises(ConnectionError):
            await house.ingestor.ingest(breaking(), IngestOptions(principal=ALICE))
        assert (await ingest(house, note("a.md", "One."))).failed == []
        assert len(await points(house)) == 1


async def test_many_documents_share_batches_and_a_long_one_is_spread_over_several(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    long = "\n\n".join(f"Paragraph {number} says something of its own." for number in range(100))
    async with open_house(tmp_path, embedder, batch=16) as house:
        small = [note(f"{number}.md", f"Small document number {number}.") for number in range(64)]
        summary = await ingest(house, *small, note("long.md", long))
        assert summary.chunks == sum(embedder.calls) == len(await points(house))
        assert max(embedder.calls) == 16


async def test_texts_titles_and_file_names_that_are_no_unicode_go_in_without_what_is_wrong(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/odd-\xff.txt"))
    odd.write_bytes(b"A file.")
    async with open_house(tmp_path / "data") as house:
        summary = await ingest(
            house,
            Item(uri="note:a", name="a", text="Half \ud83d a\x00 pair.\r\n", title="A\ud83d\x00 title\nof two lines"),
            file_item(odd),
        )
        assert summary.failed == []
        assert {str(p["uri"]): (p["title"], p["text"]) for p in await points(house)} == {
            "note:a": ("A title of two lines", "Half  a pair."),
            f"{tmp_path.as_uri()}/odd-%FF.txt": ("odd-.txt", "A file."),
        }


async def test_a_full_disk_fails_documents_by_name_and_the_next_run_takes_them_in(tmp_path: Path) -> None:
    full = True

    def limit(connection: DBAPIConnection, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {1 if full else 1 << 30}")
        cursor.close()

    async with open_house(tmp_path) as house:
        await ingest(house, note("a.md", "Small."))
        event.listen(house.database._engine.sync_engine.pool, "checkout", limit)
        summary = await ingest(house, note("a.md", "Changed. " * 2000), note("b.md", "New. " * 2000))
        assert {(failure.uri, failure.code) for failure in summary.failed} == {
            ("note:a.md", "disk_full"),
            ("note:b.md", "disk_full"),
        }
        assert all("full" in failure.reason for failure in summary.failed)
        assert await house.catalog.text(ALICE, document_id("default", "default", "note:a.md")) == "Small."

        full = False
        again = await ingest(house, note("a.md", "Changed. " * 2000), note("b.md", "New. " * 2000))
        assert (again.added, again.changed, again.failed) == (1, 1, [])
        assert len(await points(house)) == again.chunks


class Everywhere:
    """Every place was looked at."""

    def covers(self, uri: str) -> bool:
        return bool(uri)


class Poisoned(HashEmbedder):
    """Gives no number for some texts."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = await super().embed(texts)
        vectors[[index for index, text in enumerate(texts) if "poisoned" in text]] = np.nan
        return vectors
