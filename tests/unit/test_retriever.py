"""Hybrid search over the real embedded engine and the real record."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from records.principal import Principal
from retrieval.active import ActiveDocument, Collection
from retrieval.documents import Chunk, Document, document_id
from retrieval.errors import CollectionNotFound, EmbedderMismatch
from retrieval.indexing import index_points
from retrieval.outbox import points_of
from retrieval.retriever import Retriever
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import IndexSpec, VectorStore
from retrieval.vectors.server import QdrantServerStore
from tests.support.embedder import HashEmbedder

ME = Principal()
INDEX = "handbook"


class Record:
    """What is live, as a dictionary that the test changes."""

    def __init__(self) -> None:
        self.live: dict[str, ActiveDocument] = {}
        self.texts: dict[tuple[str, str], str] = {}
        self.embedder = "hash"
        self.indexes = [INDEX]
        """Names of the collection's index, one for each time that it is asked for; the last stays."""
        self.asked = 0
        """How often it was asked what is live."""
        self._revised: tuple[int, Mapping[str, ActiveDocument]] = (0, {})

    async def collection(self, tenant: str, name: str) -> Collection:
        if name != INDEX:
            raise CollectionNotFound(name)
        if self._revised[1] != self.live:
            self._revised = self._revised[0] + 1, dict(self.live)
        return Collection(
            tenant=tenant,
            name=name,
            embedder=self.embedder,
            dimension=32,
            language="english",
            index=self.indexes.pop(0) if len(self.indexes) > 1 else self.indexes[0],
            revision=self._revised[0],
        )

    async def active(self, tenant: str, collection: str, document_ids: Sequence[str]) -> Mapping[str, ActiveDocument]:
        del tenant, collection
        self.asked += 1
        return {key: self.live[key] for key in document_ids if key in self.live}

    async def excerpt(self, tenant: str, document_id: str, version: str, start: int, end: int) -> str | None:
        del tenant
        text = self.texts.get((document_id, version))
        return text[start:end] if text is not None else None


class House:
    def __init__(self, store: VectorStore) -> None:
        self.store = store
        self.record = Record()
        self.embedder = HashEmbedder()
        self.retriever = Retriever(embedder=self.embedder, store=store, record=self.record)

    async def add(
        self,
        uri: str,
        text: str,
        *,
        live: bool = True,
        spans: Sequence[tuple[int, int]] | None = None,
        table_head: str = "",
        index: str = INDEX,
        **changes: Any,
    ) -> Document:
        given = document(uri, text, **changes)
        cuts = spans or [(0, len(text))]
        chunks = [
            Chunk(ordinal=i, text=text[a:b], start=a, end=b, table_head=table_head) for i, (a, b) in enumerate(cuts)
        ]
        await self.store.upsert(index, await index_points(self.embedder, given, chunks))
        self.record.texts[given.id, given.version] = text
        if live:
            self.record.live[given.id] = ActiveDocument(given.version, given.acl)
        return given

    async def find(self, question: str, principal: Principal = ME, **options: Any) -> list[str]:
        found = await self.retriever.search(question, principal=principal, collection=INDEX, **options)
        return [source.uri for source in found]


def document(uri: str, text: str, **changes: Any) -> Document:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    base = Document(
        id=document_id(changes.get("tenant", ME.tenant), INDEX, uri),
        tenant=ME.tenant,
        collection=INDEX,
        uri=uri,
        title="",
        media_type="text/plain",
        version=sha256(text.encode()).hexdigest(),
        acl=("public",),
        metadata={},
        trust="untrusted",
        size=len(text),
        chunk_count=1,
        created_at=moment,
        updated_at=moment,
    )
    return replace(base, **changes)


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    store = await EdgeStore.open(folder)
    try:
        await store.create(INDEX, IndexSpec(dimension=32, language="english"))
        yield House(store)
    finally:
        await store.aclose()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


async def test_the_passage_that_answers_comes_first_with_its_provenance(house: House) -> None:
    await house.add("parcel", "Parcels are sent within two days.")
    text = "Opened headphones may be returned within thirty days."
    wanted = await house.add("headphones", text, metadata={"lang": "en"})
    (first, *_) = await house.retriever.search("return opened headphones", principal=ME, collection=INDEX)
    assert (first.document_id, first.version, first.uri) == (wanted.id, wanted.version, "headphones")
    assert (first.start, first.end) == (0, len(first.text))
    assert first.text == text
    assert first.metadata == {"lang": "en"}
    assert {"dense", "bm25"} <= set(first.scores)


@pytest.mark.parametrize("mode", ["dense", "bm25"])
async def test_a_single_leg_searches_alone(house: House, mode: str) -> None:
    await house.add("a", "opened headphones")
    (first,) = await house.retriever.search("opened headphones", principal=ME, collection=INDEX, mode=mode)  # type: ignore[arg-type]
    assert set(first.scores) == {mode}


@pytest.mark.parametrize("question", ["", "  \n", "?"])
async def test_a_question_without_words_is_no_error(house: House, question: str) -> None:
    await house.add("a", "opened headphones")
    assert await house.find(question) in ([], ["a"])


async def test_nothing_of_another_tenant_or_of_an_unreadable_group_is_found(house: House) -> None:
    await house.add("mine", "salary table of the company")
    await house.add("theirs", "salary table of the company", tenant="other")
    await house.add("board", "salary table of the board", acl=("board",))
    assert await house.find("salary table") == ["mine"]
    assert set(await house.find("salary table", Principal(groups=frozenset({"board"})))) == {"mine", "board"}
    assert await house.find("salary table", Principal(tenant="other")) == ["theirs"]


async def test_an_administrator_finds_what_is_in_any_group_of_its_tenant_alone(house: House) -> None:
    admin = Principal(scopes=frozenset({"admin"}))
    await house.add("mine", "salary table of the company")
    await house.add("theirs", "salary table of the company", tenant="other")
    board = await house.add("board", "salary table of the board", acl=("board",))
    assert set(await house.find("salary table", admin)) == {"mine", "board"}
    assert await house.find("salary table", replace(admin, tenant="other")) == ["theirs"]
    del house.record.live[board.id]
    assert await house.find("salary table", admin) == ["mine"]


async def test_the_record_decides_what_is_live_and_who_may_read_it(house: House) -> None:
    old = await house.add("terms", "returns within ten days", live=False)
    new = await house.add("terms", "returns within thirty days")
    assert old.version != new.version
    (found,) = await house.retriever.search("returns days", principal=ME, collection=INDEX)
    assert found.version == new.version
    house.record.live[new.id] = ActiveDocument(new.version, ("board",))
    assert await house.find("returns days") == []
    del house.record.live[new.id]
    assert await house.find("returns days", Principal(groups=frozenset({"board"}))) == []


async def test_the_record_is_asked_once_what_is_live_until_that_changes(house: House) -> None:
    first = await house.add("terms", "returns within ten days")
    for _ in range(3):
        assert await house.find("returns days") == ["terms"]
    assert house.record.asked == 1
    del house.record.live[first.id]
    assert await house.find("returns days") == []
    assert await house.find("returns days") == []
    assert house.record.asked == 2


async def test_what_is_remembered_of_a_document_still_asks_who_reads(house: House) -> None:
    await house.add("board", "salary table of the board", acl=("board",))
    board = Principal(groups=frozenset({"board"}))
    assert await house.find("salary table", board) == ["board"]
    assert await house.find("salary table") == []
    assert await house.find("salary table", board) == ["board"]


async def test_many_old_versions_do_not_hide_a_live_one(house: House) -> None:
    for number in range(120):
        await house.add("terms", f"opened headphones opened headphones {number}", live=False)
    await house.add("live", "something about headphones and a good deal of other things besides")
    assert await house.find("opened headphones") == ["live"]


async def test_a_passage_that_is_not_live_leads_nowhere(house: House) -> None:
    await house.add("film", "Northern Light is a film directed by Ada Lund.", live=False)
    await house.add("other", "Northern Light is a film.")
    await house.add("director", "Ada Lund grew up beside the sea at Bergen.")
    for number in range(60):
        await house.add(f"noise{number}", f"The birthplace of guest {number} was noted in the register of the hotel.")
    question = "What is the birthplace of the person who directed Northern Light?"
    found = await house.retriever.search(question, principal=ME, collection=INDEX, limit=50)
    assert found[0].uri == "other"
    assert [source.uri for source in found if "hop" in source.scores] == []


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.parametrize("call", ["near", "payloads"])
async def test_points_that_go_while_a_search_is_under_way_do_not_break_it(call: str) -> None:
    """Nor do they hide the version that took their place, on a server where others write meanwhile."""

    class Cleaned(QdrantServerStore):
        """Old points are removed after they were found."""

        async def near(self, index: str, ids: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
            await self.clean("near", index)
            return await super().near(index, ids, weights)

        async def payloads(self, index: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
            await self.clean("payloads", index)
            return await super().payloads(index, ids)

        async def clean(self, during: str, index: str) -> None:
            if during == call:
                await self.delete(index, points_of(old.tenant, [{"document_id": old.id, "version": old.version}]))

    store = Cleaned(AsyncQdrantClient(":memory:"))
    try:
        await store.create(INDEX, IndexSpec(dimension=32, language="english"))
        house = House(store)
        old = await house.add("terms", "returns within ten days", live=False)
        await house.add("terms", "returns within thirty days")
        await house.add("parcel", "returns by parcel")
        found = await house.retriever.search("returns within days", principal=ME, collection=INDEX)
        assert [source.text for source in found] == ["returns within thirty days", "returns by parcel"]
    finally:
        await store.aclose()


async def test_a_search_goes_to_the_index_that_the_record_names_now(house: House) -> None:
    """Though the retriever remembers another from the search before, which still has all of its points."""
    await house.add("terms", "returns within ten days")
    assert await house.find("returns") == ["terms"]
    await house.store.create("next", IndexSpec(dimension=32, language="english"))
    await house.add("news", "returns by parcel", index="next")
    house.record.indexes = ["next"]
    assert await house.find("returns") == ["news"]


async def test_a_search_in_the_instant_of_a_switch_goes_on_in_the_new_index(house: House) -> None:
    """The record named the old index when it was asked, and it was dropped before it could be searched."""
    await house.store.create("next", IndexSpec(dimension=32, language="english"))
    await house.add("news", "returns by parcel", index="next")
    await house.store.drop(INDEX)
    house.record.indexes = [INDEX, INDEX, "next"]
    assert await house.find("returns") == ["news"]


async def test_an_index_that_is_missing_though_the_record_names_it_is_reported(house: House) -> None:
    await house.store.drop(INDEX)
    with pytest.raises(CollectionNotFound, match="no index 'handbook'"):
        await house.find("returns")


async def test_a_model_that_no_longer_suits_the_collection_is_refused_though_it_did_before(house: House) -> None:
    await house.add("terms", "returns within ten days")
    assert await house.find("returns") == ["terms"]
    house.record.embedder = "other-model"
    with pytest.raises(EmbedderMismatch):
        await house.find("returns")


async def test_metadata_narrows_a_search(house: House) -> None:
    for year in (2022, 2023, 2024):
        await house.add(f"y{year}", f"annual report {year}", metadata={"year": year, "kind": "report"})
    assert await house.find("annual report", filters={"year": 2023}) == ["y2023"]
    assert set(await house.find("annual report", filters={"year": [2022, 2024]})) == {"y2022", "y2024"}
    assert await house.find("annual report", filters={"kind": "letter"}) == []


async def test_neighbouring_chunks_become_one_passage_with_the_text_between_them(house: House) -> None:
    text = "Returns are free.\n\nReturns take ten days.\n\nUnrelated words about penguins."
    spans = [(0, 17), (19, 41), (43, len(text))]
    given = await house.add("terms", text, spans=spans)
    sources = await house.retriever.search("returns", principal=ME, collection=INDEX, mode="bm25")
    assert [(source.start, source.end, source.text) for source in sources] == [(0, 41, text[:41])]

    del house.record.texts[given.id, given.version]
    (alone,) = await house.retriever.search("returns", principal=ME, collection=INDEX, mode="bm25")
    assert alone.text == text[alone.start : alone.end]


async def test_a_second_hop_finds_what_the_question_does_not_name(house: House) -> None:
    await house.add("film", "Northern Light is a film directed by Ada Lund.")
    await house.add("director", "Ada Lund grew up beside the sea at Bergen.")
    for number in range(60):
        await house.add(f"noise{number}", f"The birthplace of guest {number} was noted in the register of the hotel.")
    found = await house.find("What is the birthplace of the person who directed Northern Light?", limit=3)
    assert found[0] == "film"
    assert "director" in found


async def test_what_a_hop_finds_is_followed_once_more(house: House) -> None:
    await house.add("film", "Northern Light is a film directed by Ada Lund.")
    await house.add("director", "Ada Lund grew up beside the sea at Bergen.")
    await house.add("town", "Bergen became a municipality in 1838.")
    for number in range(3):
        await house.add(f"home{number}", f"home number {number} has a population")
    for number in range(60):
        await house.add(f"noise{number}", f"Guest {number} wrote in the register.")
    question = "Which population has the home of whoever directed Northern Light?"
    found = await house.retriever.search(question, principal=ME, collection=INDEX, limit=50)
    assert found[0].uri == "film"
    assert {"director", "town"} <= {source.uri for source in found if "hop" in source.scores}


async def test_the_limit_is_kept(house: House) -> None:
    for number in range(12):
        await house.add(f"d{number}", f"headphones number {number}")
    assert len(await house.find("headphones", limit=5)) == 5
    assert await house.find("headphones", limit=0) == []


async def test_another_embedder_is_refused_with_a_way_out(house: House) -> None:
    house.record.embedder = "other-model"
    with pytest.raises(EmbedderMismatch, match="cairn reindex handbook"):
        await house.find("anything")
    assert house.embedder.calls == []


async def test_an_unknown_collection_is_named(house: House) -> None:
    with pytest.raises(CollectionNotFound, match="nowhere"):
        await house.retriever.search("x", principal=ME, collection="nowhere")


async def test_what_stands_above_a_table_names_where_to_go_on(house: House) -> None:
    await house.add("films", "| Northern Light | 1978 |", table_head="| Films of Ada Lund | Year |\n| --- | --- |")
    await house.add("director", "Ada Lund grew up beside the sea at Bergen.")
    for number in range(60):
        await house.add(f"noise{number}", f"The birthplace of guest {number} was noted in the register of the hotel.")
    question = "What is the birthplace of the person who directed Northern Light?"
    found = await house.retriever.search(question, principal=ME, collection=INDEX, limit=3)
    assert found[0].uri == "films"
    assert "director" in [source.uri for source in found if "hop" in source.scores]


class Shortest:
    """A reranker that likes short passages."""

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        del question
        return [-float(len(passage)) for passage in passages]

    async def aclose(self) -> None:
        """Nothing to free."""


async def test_a_reranker_reads_rows_below_the_head_of_their_table(house: House) -> None:
    await house.add("table", "| Bee | 5 h |", table_head="| Model | Battery |\n| --- | --- |")
    reranked = Retriever(embedder=house.embedder, store=house.store, record=house.record, reranker=Shortest())
    (found,) = await reranked.search("Bee", principal=ME, collection=INDEX)
    assert -found.score == len("| Model | Battery |\n| --- | --- |\n| Bee | 5 h |") == len(found.readable)


async def test_a_reranker_has_the_last_word(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add("long", "headphones and returns and headphones")
        await house.add("short", "headphones")
        reranked = Retriever(embedder=house.embedder, store=house.store, record=house.record, reranker=Shortest())
        first, second = await reranked.search("headphones returns", principal=ME, collection=INDEX)
        assert (first.uri, second.uri) == ("short", "long")
        assert first.score == first.scores["rerank"] == -10.0
