"""What every vector store promises, checked against each of them."""

import asyncio
import math
import os
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from qdrant_client import AsyncQdrantClient, models

from retrieval.errors import CollectionNotFound, InvalidVector, RetrievalError, StoreUnavailable
from retrieval.searching import Found, Question
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.move import move
from retrieval.vectors.port import Bm25Query, DenseQuery, IndexSpec, Point, VectorStore
from retrieval.vectors.server import QdrantServerStore

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
]

STORES = ["edge", "memory", *(["server"] if os.environ.get("QDRANT_URL") else [])]

SPEC = IndexSpec(dimension=4, language="english")
INDEX = "papers"
EVERYTHING = models.Filter()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VectorStore]:
    store = await EdgeStore.open(tmp_path_factory.mktemp("edge") / "vectors")
    yield store
    await store.aclose()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def memory() -> AsyncIterator[VectorStore]:
    store = QdrantServerStore(AsyncQdrantClient(":memory:"))
    yield store
    await store.aclose()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[VectorStore]:
    client = AsyncQdrantClient(url=os.environ["QDRANT_URL"], api_key=os.environ.get("QDRANT_API_KEY"))
    store = QdrantServerStore(client, prefix=f"test-{uuid.uuid4().hex}-")
    yield store
    await store.aclose()


@pytest.fixture(params=STORES)
def empty(request: pytest.FixtureRequest) -> VectorStore:
    store: VectorStore = request.getfixturevalue(request.param)
    return store


@pytest_asyncio.fixture(loop_scope="module")
async def store(empty: VectorStore) -> AsyncIterator[VectorStore]:
    await empty.create(INDEX, SPEC)
    yield empty
    await clear(empty)


@pytest_asyncio.fixture(loop_scope="module")
async def pair(edge: VectorStore, memory: VectorStore) -> AsyncIterator[tuple[VectorStore, VectorStore]]:
    """Two stores of different kinds, the first with an index."""
    await edge.create(INDEX, SPEC)
    yield edge, memory
    await clear(edge)
    await clear(memory)


async def clear(store: VectorStore) -> None:
    for index in await store.indexes():
        await store.drop(index)


def point_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def point(number: int, text: str = "a stone", vector: Any = None, **payload: Any) -> Point:
    return Point(
        id=point_id(number),
        vector=[1.0, number, 0.0, 0.0] if vector is None else vector,
        text=text,
        payload={"tenant": "acme", "text": text, **payload},
    )


def field(key: str, **test: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, **test)


def tenant(name: str) -> models.Filter:
    return models.Filter(must=[field("tenant", match=models.MatchValue(value=name))])


async def test_a_point_reads_back_as_it_was_written(store: VectorStore) -> None:
    """Text that BM25 indexes and payload are kept apart even when they differ, in any script."""
    written = Point(
        id=point_id(7),
        vector=[0.6, 0.8, 0.0, 0.0],
        text="Title › Überschrift\nGrüße 日本語 🎉 \u200f",
        payload={
            "tenant": "ünï",
            "text": "Grüße 日本語 🎉",
            "page": None,
            "acl": ["a", "b"],
            "metadata": {"n": 1, "f": 0.5, "deep": {"yes": True}},
            "empty": "",
        },
    )
    await store.upsert(INDEX, [written])

    points, after = await store.scroll(INDEX, tenant("ünï"), 10)

    assert after is None
    assert [(p.id, p.text, p.payload) for p in points] == [(written.id, written.text, written.payload)]
    assert points[0].vector == pytest.approx(written.vector)


async def test_hits_carry_the_payload_as_it_was_given(store: VectorStore) -> None:
    await store.upsert(INDEX, [Point(id=point_id(1), vector=[1, 0, 0, 0], text="indexed", payload={"text": "shown"})])

    [[hit]] = await store.search(INDEX, [Bm25Query(text="indexed", limit=5)], EVERYTHING)

    assert hit.payload == {"text": "shown"}


async def test_payloads_are_left_out_of_a_search_that_wants_none(store: VectorStore) -> None:
    await store.upsert(INDEX, [point(1, "a stone"), point(2, "some moss")])
    queries = (DenseQuery(vector=[1, 1, 0, 0], limit=2), Bm25Query(text="stone", limit=2))

    lean = await store.search(INDEX, queries, EVERYTHING, payloads=False)
    whole = await store.search(INDEX, queries, EVERYTHING)

    assert [[(hit.id, hit.score) for hit in hits] for hits in lean] == [[(h.id, h.score) for h in hs] for hs in whole]
    assert {len(hit.payload) for hits in lean for hit in hits} == {0}
    assert {hit.id: hit.payload["text"] for hits in whole for hit in hits} == {
        point_id(1): "a stone",
        point_id(2): "some moss",
    }


async def test_payloads_are_read_by_id_as_they_were_given(store: VectorStore) -> None:
    indexed = Point(id=point_id(1), vector=[1, 0, 0, 0], text="indexed", payload={"text": "shown", "pages": [1, 2]})
    await store.upsert(INDEX, [indexed, point(2)])

    read = await store.payloads(INDEX, [point_id(1), point_id(9)])

    assert read == {point_id(1): {"text": "shown", "pages": [1, 2]}}
    assert await store.payloads(INDEX, []) == {}


async def test_nearness_is_the_cosine_with_the_weighted_middle_of_points(store: VectorStore) -> None:
    east, north, up = [2.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0]
    await store.upsert(INDEX, [point(n, vector=vector) for n, vector in enumerate((east, north, up), start=1)])

    near = await store.near(INDEX, [point_id(n) for n in (1, 2, 3, 9)], {point_id(1): 0.3, point_id(2): 0.4})

    assert near == {point_id(n): pytest.approx(cosine, abs=1e-6) for n, cosine in ((1, 0.6), (2, 0.8), (3, 0.0))}


async def test_nothing_is_near_a_middle_of_points_that_are_gone_or_count_nothing(store: VectorStore) -> None:
    await store.upsert(INDEX, [point(1), point(2)])

    assert await store.near(INDEX, [point_id(1)], {point_id(1): 1.0, point_id(9): 1.0}) == {}
    assert set((await store.near(INDEX, [point_id(1), point_id(2)], {point_id(1): 0.0})).values()) == {0.0}


QUESTION = Question(
    text="Who directed Northern Light?",
    parts=["Who directed Northern Light?"],
    vectors=[[1.0, 0.0, 0.0, 0.0]],
    mode="hybrid",
    limit=1,
    depth=3,
)


def passage(number: int, text: str, vector: list[float], tenant: str = "acme") -> Point:
    whole = {"title": "", "start": 0, "end": len(text), "ordinal": 0, "document_id": f"d{number}", "version": "v1"}
    return point(number, text, vector, **{**whole, "tenant": tenant})


async def test_a_question_finds_the_best_chunks_and_what_they_lead_to(store: VectorStore) -> None:
    """What led there counts among the versions used, whether it is one of the best or not."""
    film = passage(1, "Northern Light is a film by Ada Lund.", [1, 0, 0, 0])
    director = passage(2, "Ada Lund grew up at Bergen.", [0, 1, 0, 0])
    others = [passage(n, f"Guest {n} wrote in the register.", [0.9, 0, n, 0]) for n in range(3, 9)]
    theirs = passage(9, "Northern Light by Ada Lund", [1, 0, 0, 0], tenant="other")
    await store.upsert(INDEX, [film, director, *others, theirs])

    found = await store.find(INDEX, QUESTION, tenant("acme"))

    first, second = found.chunks
    assert (first.payload, set(first.scores)) == (film.payload, {"dense", "bm25", "hop"})
    assert (second.payload, set(second.scores)) == (director.payload, {"hop"})
    assert found.versions > {("d1", "v1"), ("d2", "v1")}
    assert ("d9", "v1") not in found.versions


async def test_a_question_that_finds_nothing_has_no_chunks(store: VectorStore) -> None:
    assert await store.find(INDEX, QUESTION, tenant("nobody")) == Found([], set())


async def test_the_same_id_replaces_the_point(store: VectorStore) -> None:
    await store.upsert(INDEX, [point(1, "old moss", old=True), point(2)])
    await store.upsert(INDEX, [point(1, "new lichen", [0, 0, 1, 0])])

    dense, old, new = await store.search(
        INDEX,
        [DenseQuery(vector=[0, 0, 1, 0], limit=1), Bm25Query(text="moss", limit=9), Bm25Query(text="lichen", limit=9)],
        EVERYTHING,
    )

    assert await store.count(INDEX) == 2
    assert [hit.id for hit in dense] == [point_id(1)]
    assert dense[0].score == pytest.approx(1.0)
    assert old == []
    assert [dict(hit.payload) for hit in new] == [{"tenant": "acme", "text": "new lichen"}]


@pytest.mark.parametrize(
    "vector",
    [
        [1.0, 2.0, 3.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [],
        [[1.0, 2.0, 3.0, 4.0]],
        [1.0, math.nan, 0.0, 0.0],
        [1.0, math.inf, 0.0, 0.0],
        [1.0, 1e300, 0.0, 0.0],
        [1.0, "x", 0.0, 0.0],
    ],
    ids=["short", "long", "empty", "nested", "nan", "infinite", "too large for single precision", "no number"],
)
async def test_one_bad_vector_keeps_the_whole_batch_out(store: VectorStore, vector: Any) -> None:
    points = [point(number) for number in range(600)] + [point(600, vector=vector)]

    with pytest.raises(InvalidVector):
        await store.upsert(INDEX, points)

    assert await store.count(INDEX) == 0


@pytest.mark.parametrize(
    "payload", [{"a": b"bytes"}, {"a": "\ud800"}, {"a": object()}], ids=["bytes", "a lone surrogate", "an object"]
)
async def test_a_payload_that_is_no_json_keeps_the_whole_batch_out(store: VectorStore, payload: dict[str, Any]) -> None:
    with pytest.raises(RetrievalError):
        await store.upsert(INDEX, [*(point(number) for number in range(600)), point(600, **payload)])

    assert await store.count(INDEX) == 0


async def test_an_id_that_is_no_uuid_keeps_the_whole_batch_out(store: VectorStore) -> None:
    with pytest.raises(RetrievalError, match="UUID"):
        await store.upsert(INDEX, [point(1), Point(id="x", vector=[1, 0, 0, 0], text="", payload={})])

    assert await store.count(INDEX) == 0


@pytest.mark.parametrize("vector", [[1.0], [math.nan] * 4], ids=["dimension", "nan"])
async def test_a_bad_query_vector_is_refused(store: VectorStore, vector: list[float]) -> None:
    with pytest.raises(InvalidVector):
        await store.search(INDEX, [DenseQuery(vector=vector, limit=1)], EVERYTHING)


FILTERS: dict[str, tuple[models.Filter, set[int]]] = {
    "everything": (models.Filter(), {1, 2, 3, 4}),
    "value": (models.Filter(must=[field("collection", match=models.MatchValue(value="blue"))]), {1, 2}),
    "integer": (models.Filter(must=[field("page", match=models.MatchValue(value=2))]), {2}),
    "boolean": (models.Filter(must=[field("draft", match=models.MatchValue(value=True))]), {1}),
    "false": (models.Filter(must=[field("draft", match=models.MatchValue(value=False))]), {2}),
    "in a list": (models.Filter(must=[field("acl", match=models.MatchValue(value="staff"))]), {2, 3}),
    "any": (models.Filter(must=[field("acl", match=models.MatchAny(any=["public", "staff"]))]), {1, 2, 3}),
    "any of none": (models.Filter(must=[field("acl", match=models.MatchAny(any=[]))]), set()),
    "except": (models.Filter(must=[field("collection", match=models.MatchExcept(**{"except": ["blue"]}))]), {3}),
    "range": (models.Filter(must=[field("price", range=models.Range(gt=1.5, lte=9))]), {2, 3}),
    "dates": (models.Filter(must=[field("made", range=models.DatetimeRange(gte="2024-02-01T00:00:00Z"))]), {2, 3}),
    "ids": (models.Filter(must=[models.HasIdCondition(has_id=[point_id(2), point_id(99)])]), {2}),
    "empty": (models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="acl"))]), {4}),
    "null": (models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="page"))]), {3}),
    "should": (
        models.Filter(
            should=[
                field("page", match=models.MatchValue(value=1)),
                field("page", match=models.MatchValue(value=2)),
            ]
        ),
        {1, 2},
    ),
    "must not": (models.Filter(must_not=[field("collection", match=models.MatchValue(value="blue"))]), {3, 4}),
    "one condition": (models.Filter(must=field("collection", match=models.MatchValue(value="red"))), {3}),
    "filter in filter": (
        models.Filter(
            must=[field("collection", match=models.MatchValue(value="blue"))],
            must_not=[models.Filter(must=[field("page", match=models.MatchValue(value=1))])],
        ),
        {2},
    ),
    "dotted key": (models.Filter(must=[field("metadata.maker", match=models.MatchValue(value="Ann"))]), {1}),
    "metadata number": (models.Filter(must=[field("metadata.year", range=models.Range(lt=2001.5))]), {1, 2}),
    "metadata integer": (models.Filter(must=[field("metadata.year", match=models.MatchValue(value=2001))]), {2}),
    "metadata list": (models.Filter(must=[field("metadata.tags", match=models.MatchValue(value="y"))]), {1, 2}),
    "metadata boolean": (
        models.Filter(must_not=[field("metadata.old", match=models.MatchValue(value=True))]),
        {2, 3, 4},
    ),
    "metadata with a dot": (models.Filter(must=[field('metadata."a.b"', match=models.MatchValue(value="c"))]), {2}),
    "metadata empty": (
        models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="metadata.year"))]),
        {4},
    ),
    "nested": (
        models.Filter(
            must=[
                models.NestedCondition(
                    nested=models.Nested(
                        key="parts",
                        filter=models.Filter(
                            must=[
                                field("name", match=models.MatchValue(value="cap")),
                                field("count", range=models.Range(gte=2)),
                            ]
                        ),
                    )
                )
            ]
        ),
        {2},
    ),
    "nothing": (tenant("nobody"), set()),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_means_the_same_in_every_call(store: VectorStore, name: str) -> None:
    await store.upsert(
        INDEX,
        [
            point(
                1,
                collection="blue",
                page=1,
                draft=True,
                price=1.5,
                acl=["public"],
                made="2024-01-31T10:00:00Z",
                metadata={"maker": "Ann", "year": 1999.5, "tags": ["x", "y"], "old": True},
                parts=[{"name": "cap", "count": 1}, {"name": "base", "count": 5}],
            ),
            point(
                2,
                collection="blue",
                page=2,
                draft=False,
                price=2,
                acl=["staff", "board"],
                made="2024-02-01T00:00:00Z",
                metadata={"maker": "Bo", "year": 2001, "tags": "y", "old": False, "a.b": "c"},
                parts=[{"name": "cap", "count": 2}],
            ),
            point(
                3,
                collection="red",
                page=None,
                price=9.0,
                acl=["staff"],
                made="2024-03-01T00:00:00+01:00",
                metadata={"year": 2002},
            ),
            point(4, acl=[]),
        ],
    )
    where, expected = FILTERS[name]
    ids = {point_id(number) for number in expected}

    dense, bm25 = await store.search(
        INDEX, [DenseQuery(vector=[1, 0, 0, 0], limit=9), Bm25Query(text="stone", limit=9)], where
    )
    scrolled, _ = await store.scroll(INDEX, where, 9)

    assert {hit.id for hit in dense} == ids
    assert {hit.id for hit in bm25} == ids
    assert {each.id for each in scrolled} == ids
    assert await store.count(INDEX, where) == len(ids)
    await store.delete(INDEX, where)
    assert await store.count(INDEX, where) == 0
    assert await store.count(INDEX) == 4 - len(ids)


async def test_a_tenant_finds_only_its_own_points(store: VectorStore) -> None:
    """However close the other tenant's points are."""
    await store.upsert(INDEX, [point(1, tenant="acme"), point(2, vector=[0, 0, 0, 1], tenant="globex")])

    dense, bm25 = await store.search(
        INDEX, [DenseQuery(vector=[0, 0, 0, 1], limit=9), Bm25Query(text="stone", limit=9)], tenant("acme")
    )

    assert [hit.id for hit in dense] == [point_id(1)]
    assert [hit.id for hit in bm25] == [point_id(1)]


async def test_hits_come_best_first_with_cosine_and_bm25_scores(store: VectorStore) -> None:
    await store.upsert(
        INDEX,
        [
            point(1, "moss moss moss", [1, 0, 0, 0]),
            point(2, "moss and lichen", [2, 2, 0, 0]),
            point(3, "granite", [0, 3, 0, 0]),
        ],
    )

    dense, bm25 = await store.search(
        INDEX, [DenseQuery(vector=[5, 0, 0, 0], limit=2), Bm25Query(text="MOSS?", limit=9)], EVERYTHING
    )

    assert [hit.id for hit in dense] == [point_id(1), point_id(2)]
    assert [hit.score for hit in dense] == pytest.approx([1.0, math.sqrt(0.5)], abs=1e-5)
    assert [hit.id for hit in bm25] == [point_id(1), point_id(2)]
    assert bm25[0].score > bm25[1].score > 0


async def test_each_query_has_its_own_list_in_order(store: VectorStore) -> None:
    await store.upsert(INDEX, [point(number, f"word{number}") for number in range(20)])

    queries = [Bm25Query(text=f"word{number}", limit=3) for number in (5, 3, 11)]
    found = await store.search(INDEX, [*queries, DenseQuery(vector=[1, 0, 0, 0], limit=4)], EVERYTHING)

    assert [[hit.id for hit in hits] for hits in found[:3]] == [[point_id(5)], [point_id(3)], [point_id(11)]]
    assert [hit.id for hit in found[3]] == [point_id(number) for number in range(4)]


async def test_empty_input_is_answered_with_nothing(store: VectorStore) -> None:
    await store.upsert(INDEX, [])
    assert await store.count(INDEX) == 0
    assert await store.scroll(INDEX, None, 5) == ([], None)
    await store.upsert(INDEX, [point(1, "")])

    assert await store.search(INDEX, [], EVERYTHING) == []
    assert await store.search(
        INDEX, [Bm25Query(text="", limit=5), Bm25Query(text=" ?! the of ", limit=5)], EVERYTHING
    ) == [[], []]
    assert [p.text for p in (await store.scroll(INDEX, None, 5))[0]] == [""]


@pytest.mark.parametrize("where", [None, tenant("acme")], ids=["all", "filtered"])
async def test_scrolling_sees_every_point_once(store: VectorStore, where: models.Filter | None) -> None:
    numbers = random.Random(1).sample(range(10_000), 101)
    await store.upsert(INDEX, [point(number) for number in numbers])

    seen: list[str] = []
    after: str | None = None
    while True:
        page, after = await store.scroll(INDEX, where, 10, after)
        assert 0 < len(page) <= 10
        seen += [each.id for each in page]
        if after is None:
            break

    assert sorted(seen) == sorted(point_id(number) for number in numbers)


async def test_indexes_come_and_go(store: VectorStore) -> None:
    await store.create("b.2_x", IndexSpec(dimension=2, language="german"))
    await store.create("b.2_x", IndexSpec(dimension=2, language="german"))
    assert await store.indexes() == ["b.2_x", INDEX]
    assert await store.spec("b.2_x") == IndexSpec(dimension=2, language="german")
    await store.upsert("b.2_x", [Point(id=point_id(1), vector=[1, 0], text="die Häuser", payload={})])
    assert len((await store.search("b.2_x", [Bm25Query(text="Haus", limit=1)], EVERYTHING))[0]) == 1

    await store.drop("b.2_x")
    await store.drop("b.2_x")

    assert await store.indexes() == [INDEX]
    await store.create("b.2_x", IndexSpec(dimension=3, language="english"))
    assert await store.count("b.2_x") == 0
    await store.upsert("b.2_x", [Point(id=point_id(1), vector=[1, 0, 0], text="", payload={})])
    assert await store.count("b.2_x") == 1


async def test_an_index_keeps_the_layout_it_was_made_with(store: VectorStore) -> None:
    with pytest.raises(RetrievalError, match="there already"):
        await store.create(INDEX, IndexSpec(dimension=5, language="english"))
    with pytest.raises(RetrievalError, match="there already"):
        await store.create(INDEX, IndexSpec(dimension=4, language="german"))

    assert await store.spec(INDEX) == SPEC


async def test_a_language_that_bm25_does_not_know_is_refused(store: VectorStore) -> None:
    with pytest.raises(RetrievalError, match="klingon"):
        await store.create("other", IndexSpec(dimension=4, language="klingon"))

    assert await store.indexes() == [INDEX]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a" * 200, "a b", "ä", "a\n"])
async def test_a_name_that_could_leave_the_store_is_refused(store: VectorStore, name: str) -> None:
    with pytest.raises(RetrievalError, match="name"):
        await store.create(name, SPEC)

    assert await store.indexes() == [INDEX]


async def test_an_unknown_index_is_not_found(store: VectorStore) -> None:
    calls = [
        store.upsert("none", [point(1)]),
        store.delete("none", tenant("acme")),
        store.search("none", [Bm25Query(text="x", limit=1)], EVERYTHING),
        store.find("none", QUESTION, EVERYTHING),
        store.payloads("none", [point_id(1)]),
        store.near("none", [point_id(1)], {point_id(1): 1.0}),
        store.scroll("none", None, 1),
        store.count("none"),
        store.spec("none"),
    ]

    raised = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(each) for each in raised] == [CollectionNotFound] * len(calls)


async def test_searches_during_writes_see_whole_points(store: VectorStore) -> None:
    """Each hit is one that was written, and what was acknowledged is found."""

    async def write(start: int) -> None:
        await store.upsert(INDEX, [point(number, f"w{number}") for number in range(start, start + 400)])
        [[hit]] = await store.search(INDEX, [Bm25Query(text=f"w{start + 399}", limit=3)], EVERYTHING)
        assert hit.id == point_id(start + 399)

    async def search() -> None:
        [hits] = await store.search(INDEX, [DenseQuery(vector=[1, 3, 0, 0], limit=10)], tenant("acme"))
        for hit in hits:
            assert hit.payload["text"] == f"w{uuid.UUID(hit.id).int}"

    async with asyncio.TaskGroup() as group:
        for start in (0, 400, 800):
            group.create_task(write(start))
        for _ in range(30):
            group.create_task(search())

    assert await store.count(INDEX) == 1200


async def test_both_stores_rank_and_score_alike(pair: tuple[VectorStore, VectorStore]) -> None:
    """Dense and BM25 scores of the same points agree, after replacing some."""
    rng = np.random.default_rng(3)
    words = [
        f"{stem}{ending}" for stem in ("walk", "stone", "build", "mark") for ending in ("s", "ing", "ed", "er", "")
    ]
    vectors = rng.standard_normal((400, 4))
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 40))) for _ in range(400)]
    queries: list[DenseQuery | Bm25Query] = [
        *(DenseQuery(vector=vector, limit=25) for vector in rng.standard_normal((5, 4))),
        *(Bm25Query(text=" ".join(rng.choice(words, size=3)), limit=400) for _ in range(5)),
    ]
    answers = []
    for store in pair:
        await store.create(INDEX, SPEC)
        await store.upsert(INDEX, [point(n, t, v) for n, (t, v) in enumerate(zip(texts, vectors, strict=True))])
        await store.upsert(INDEX, [point(n, texts[n + 1], vectors[n + 1]) for n in range(0, 50, 2)])
        answers.append(await store.search(INDEX, queries, tenant("acme")))

    for edge, memory in zip(*answers, strict=True):
        assert [hit.score for hit in edge] == pytest.approx([hit.score for hit in memory], abs=1e-4)
        assert {hit.id: pytest.approx(hit.score, abs=1e-4) for hit in edge[:20]} == {
            hit.id: hit.score for hit in memory if hit.id in {each.id for each in edge[:20]}
        }


async def test_an_index_moves_between_stores_with_its_text(pair: tuple[VectorStore, VectorStore]) -> None:
    source, target = pair
    await source.upsert(INDEX, [point(n, f"w{n} Grüße", rank=n) for n in range(600)])
    steps: list[tuple[int, int]] = []

    assert await move(INDEX, source, target, SPEC, lambda done, total: steps.append((done, total))) == 600

    assert steps == [(256, 600), (512, 600), (600, 600)]
    queries: list[DenseQuery | Bm25Query] = [Bm25Query(text="w17", limit=3), DenseQuery(vector=[1, 40, 0, 0], limit=5)]
    for before, after in zip(
        await source.search(INDEX, queries, tenant("acme")),
        await target.search(INDEX, queries, tenant("acme")),
        strict=True,
    ):
        assert [(hit.id, dict(hit.payload)) for hit in before] == [(hit.id, dict(hit.payload)) for hit in after]


async def test_a_move_that_was_cut_off_is_completed_by_the_next(pair: tuple[VectorStore, VectorStore]) -> None:
    source, target = pair
    await source.upsert(INDEX, [point(n) for n in range(600)])

    def cut(_done: int, _total: int) -> None:
        raise StoreUnavailable("cut")

    with pytest.raises(StoreUnavailable):
        await move(INDEX, source, target, progress=cut)
    assert 0 < await target.count(INDEX) < 600

    assert await move(INDEX, source, target) == 600
    assert await move(INDEX, source, target) == 600


async def test_a_move_into_other_points_is_reported(pair: tuple[VectorStore, VectorStore]) -> None:
    source, target = pair
    await source.upsert(INDEX, [point(1)])
    await target.create(INDEX, SPEC)
    await target.upsert(INDEX, [point(2)])

    with pytest.raises(RetrievalError, match="target 2"):
        await move(INDEX, source, target)


async def test_a_real_server_is_held_to_the_same_promises() -> None:
    if "server" not in STORES:
        pytest.skip("QDRANT_URL names no Qdrant server to test against")
