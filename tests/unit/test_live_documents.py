"""What is live is remembered at a collection's revision, and at no other."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from records.principal import Principal
from retrieval.active import ActiveDocument, Collection
from retrieval.live import Live, LiveDocuments

PLACE = Collection(
    tenant="default", name="handbook", embedder="hash", dimension=32, language="english", index="handbook-1", revision=1
)


class Record:
    """A record that answers when it is let."""

    def __init__(self) -> None:
        self.version = "1"
        self.asked: list[Sequence[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def collection(self, tenant: str, name: str) -> Collection:
        del tenant, name
        return PLACE

    async def active(self, tenant: str, collection: str, document_ids: Sequence[str]) -> Mapping[str, ActiveDocument]:
        del tenant, collection
        self.asked.append(document_ids)
        answer = {key: ActiveDocument(self.version, ("public",)) for key in document_ids if key != "gone"}
        await self.may_answer.wait()
        return answer

    async def excerpt(self, tenant: str, document_id: str, version: str, start: int, end: int) -> str | None:
        del tenant, document_id, version, start, end
        return None


async def live(documents: LiveDocuments, place: Collection, *found: tuple[str, str]) -> set[tuple[str, str]]:
    return await Live(documents, Principal(), place).of(found)


async def test_only_what_is_unknown_at_the_revision_is_asked() -> None:
    record = Record()
    documents = LiveDocuments(record)
    assert await live(documents, PLACE, ("a", "1"), ("gone", "1")) == {("a", "1")}
    assert await live(documents, PLACE, ("a", "1"), ("gone", "1")) == {("a", "1")}
    assert await live(documents, PLACE, ("a", "1"), ("b", "1")) == {("a", "1"), ("b", "1")}
    assert [sorted(each) for each in record.asked] == [["a", "gone"], ["b"]]
    record.version = "2"
    assert await live(documents, replace(PLACE, revision=2), ("a", "1"), ("a", "2")) == {("a", "2")}


async def test_an_answer_that_comes_after_a_change_is_not_remembered_as_what_followed_it() -> None:
    record = Record()
    documents = LiveDocuments(record)
    record.may_answer.clear()
    slow = asyncio.create_task(live(documents, PLACE, ("a", "1")))
    while not record.asked:
        await asyncio.sleep(0)
    record.version = "2"
    quick = asyncio.create_task(live(documents, replace(PLACE, revision=2), ("a", "1"), ("a", "2")))
    record.may_answer.set()
    assert (await slow, await quick) == ({("a", "1")}, {("a", "2")})
    assert await live(documents, replace(PLACE, revision=2), ("a", "1"), ("a", "2")) == {("a", "2")}


async def test_a_search_that_read_an_older_revision_leaves_nothing_behind() -> None:
    record = Record()
    documents = LiveDocuments(record)
    record.version = "2"
    await live(documents, replace(PLACE, revision=2), ("a", "2"))
    record.version = "1"
    assert await live(documents, PLACE, ("a", "1")) == {("a", "1")}
    assert await live(documents, replace(PLACE, revision=2), ("a", "2")) == {("a", "2")}


async def test_tenants_and_collections_are_told_apart() -> None:
    record = Record()
    documents = LiveDocuments(record)
    await live(documents, PLACE, ("a", "1"))
    for other in (replace(PLACE, tenant="other"), replace(PLACE, name="other")):
        await live(documents, other, ("a", "1"))
    assert len(record.asked) == 3
