"""What the cache of answers promises, over an embedded record and index and over those that services share."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
import pytest_asyncio
from qdrant_client import AsyncQdrantClient
from sqlalchemy import delete, func, select

from records.schema import cache_entries, cache_gone, cache_sources, documents
from retrieval.cache.answers import MAX_ANSWER, MAX_QUESTION
from retrieval.cache.experience import Experience
from retrieval.cache.learning import Lesson
from retrieval.embedding.port import Vectors
from retrieval.errors import EmbedderUnavailable, StoreUnavailable
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import VectorStore
from retrieval.vectors.server import QdrantServerStore
from retrieval.vectors.tenanted import TenantedStore, of_tenant
from tests.support.answers import SETTINGS, CacheHouse, Searcher
from tests.support.embedder import HashEmbedder
from tests.support.memory import ConnectionDied, Databases, Mortal

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
]

ASKED = "How long may I return shoes?"
ALIKE = "how long may i return my shoes please"
TEXT = "Shoes may be returned within 30 days. [1]"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with Databases(tmp_path_factory.mktemp("databases")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["alone", "at scale"])
async def parts(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Mortal, VectorStore]]:
    folder = tmp_path_factory.mktemp("parts")
    alone = request.param == "alone"
    database = await Mortal.open(await databases.url("sqlite" if alone else "postgresql", folder))
    store = await EdgeStore.open(folder / "vectors") if alone else QdrantServerStore(AsyncQdrantClient(":memory:"))
    yield cast("Mortal", database), store
    await store.aclose()
    await database.aclose()


@pytest.fixture
def house(parts: tuple[Mortal, VectorStore]) -> CacheHouse:
    """One of its own for each test, all with the same record and index."""
    return CacheHouse(*parts)


@pytest.fixture
def mortal(house: CacheHouse) -> Mortal:
    return cast("Mortal", house.database)


async def lesson(house: CacheHouse, asked: str = ALIKE) -> Lesson:
    """That what is kept near a question is its answer."""
    considered = (await house.ask(asked)).considered
    assert considered is not None
    assert considered.best is not None
    right = {each.nearest.answer: True for each in considered.found}
    return lambda experience: experience.compared(considered, asked, right)


async def teach(house: CacheHouse, asked: str = ALIKE, times: int = 400) -> None:
    """Teach the cache a lesson so often that it gives the answer, or as often as it is said."""
    learnt = await lesson(house, asked)
    for _ in range(times):
        house.cache._learning.learn(house.tenant, learnt)


async def rows(house: CacheHouse, table: Any) -> int:
    async with house.database.read() as connection:
        query = select(func.count()).select_from(table).where(table.c.tenant == house.tenant)
        return int(await connection.scalar(query) or 0)


async def test_the_same_words_get_the_same_answer_with_all_its_sources_in_their_order(house: CacheHouse) -> None:
    await house.put("shoes", "terms", "zebra")
    first = await house.keep(ASKED, TEXT, "zebra", "shoes", "terms")
    assert (first.answer, first.reason) == (None, "empty")
    for repeat in (ASKED, "  how long MAY i return shoes", "How long may I return shoes"):
        again = await house.ask(repeat)
        assert again.answer is not None
        assert (again.decided_by, again.score, again.check, again.reason) == ("exact", 1.0, False, "")
        assert (again.answer.text, again.answer.question, again.answer.query) == (TEXT, ASKED, "query")
        assert again.answer.sources == tuple(map(house.source, ("zebra", "shoes", "terms")))
        assert again.answer.created_at == house.hands()
    assert (await house.ask("How long may I return boots?")).answer is None
    assert (await house.ask("How long may I return shoes? Not at all?")).answer is None


async def test_what_is_near_is_given_once_enough_was_compared_and_never_against_a_rule(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    assert (await house.ask(ALIKE)).reason == "learning"
    await teach(house)
    found = await house.ask(ALIKE)
    assert found.answer is not None
    assert (found.decided_by, found.answer.question, found.reason) == ("near", ASKED, "")
    assert found.score >= found.threshold > 0.5
    assert [ASKED in step for step in found.decision] == [False, False, True, False]
    await house.cache.passed(found)
    assert (await house.ask("how long may i not return my shoes please")).reason == "refused"
    assert (await house.ask("What does a tram cost in Porto?")).reason == "unsure"
    counts = (await house.cache.stats(house.tenant)).counts
    assert {"near": 1, "missed": 5, "stored": 1}.items() <= counts.items()


@pytest.mark.parametrize("change", ["commit", "remove"])
async def test_a_document_that_changes_takes_its_answers_along_however_the_change_ends(
    house: CacheHouse, mortal: Mortal, change: str
) -> None:
    """Cut off before any of its statements, a change has happened wholly or not at all: no answer is ever stale."""
    await house.put("shoes", "terms")
    for before in (*range(12), None):
        await house.keep(ASKED, TEXT, "terms", "shoes")
        await house.keep(ALIKE, TEXT, "terms")
        assert (await house.ask(ASKED)).answer is not None
        mortal.dies_before = before
        died = False
        try:
            await (house.put("shoes", text=f"New {before}.") if change == "commit" else house.remove("shoes"))
        except ConnectionDied:
            died = True
        finally:
            mortal.dies_before = None
        async with house.database.read() as connection:
            live = await connection.scalar(
                select(documents.c.version).where(documents.c.tenant == house.tenant, documents.c.uri == "shoes")
            )
        answer = (await house.ask(ASKED, Searcher(house.source("terms")))).answer
        assert (answer is not None) == died
        assert answer is None or answer.sources[1].version == live
        assert (await house.ask(ALIKE, Searcher(house.source("terms")))).answer is not None
    assert not died


async def test_a_version_that_is_written_again_as_it_is_leaves_its_answers(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    await house.put("shoes")
    search = Searcher(house.source("shoes"))
    assert (await house.ask(ASKED, search)).answer is not None
    assert search.asked == 1


async def test_new_documents_make_an_answer_stale_where_they_would_take_its_places(house: CacheHouse) -> None:
    await house.put("shoes", "terms", "more")
    await house.keep(ASKED, TEXT, "shoes", "terms")
    search = Searcher()
    assert (await house.ask(ASKED, search)).answer is not None
    assert search.asked == 0
    await house.put("sandals")
    # It cites the first place alone; what comes below does not matter.
    below = Searcher(house.source("shoes"), house.source("sandals"))
    assert (await house.ask(ASKED, below)).answer is not None
    assert (await house.ask(ASKED, below)).answer is not None
    assert below.asked == 1
    await house.put("boots")
    above = Searcher(house.source("boots"), house.source("shoes"))
    gone = await house.ask(ASKED, above)
    assert (gone.answer, gone.reason) == (None, "empty")
    assert (await house.ask(ASKED, below)).answer is None
    assert (await house.cache.stats(house.tenant)).counts["stale"] == 1


async def test_an_answer_that_cites_nothing_is_stale_as_soon_as_anything_else_is_found(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, "The documents do not say.", "shoes")
    await house.put("sandals")
    found = Searcher(house.source("shoes"), house.source("sandals"))
    assert (await house.ask(ASKED, found)).answer is None


async def test_for_a_question_near_it_only_what_is_new_makes_an_answer_stale(house: CacheHouse) -> None:
    await house.put("shoes", "terms", "old")
    await house.keep(ASKED, TEXT, "shoes")
    await teach(house)
    await house.put("sandals")
    # Another question finds other documents, but they were there when the answer was made.
    others = Searcher(house.source("old"), house.source("shoes"))
    assert (await house.ask(ALIKE, others)).answer is not None
    assert (await house.ask(ALIKE, others)).answer is not None
    assert others.asked == 1
    exact = Searcher(house.source("shoes"))
    assert (await house.ask(ASKED, exact)).answer is not None
    assert exact.asked == 1
    await house.put("boots")
    newer = await house.ask(ALIKE, Searcher(house.source("boots")))
    assert (newer.answer, newer.reason) == (None, "stale")
    assert (await house.ask(ASKED, exact)).answer is None


async def test_an_answer_from_documents_that_have_changed_since_is_not_kept(house: CacheHouse) -> None:
    await house.put("shoes", "terms")
    fresh = await house.fresh(TEXT, "shoes", "terms")
    consulted = await house.ask(ASKED)
    await house.put("terms", text="New.")
    await house.cache.keep(consulted, fresh)
    assert (await house.ask(ASKED)).answer is None
    await house.remove("terms")
    await house.cache.keep(consulted, fresh)
    elsewhere = replace(house.source("shoes"), collection="another")
    await house.cache.keep(consulted, replace(fresh, sources=(elsewhere,)))
    assert await rows(house, cache_entries) == await rows(house, cache_sources) == 0


async def test_keeping_changing_and_tending_at_once_leave_no_stale_answer(house: CacheHouse) -> None:
    house.cache = house.another(settings=replace(SETTINGS, max_entries=4))
    other = house.another(settings=replace(SETTINGS, max_entries=4))
    await house.put("shoes")
    for turn in range(6):
        fresh = [await house.fresh(TEXT, "shoes") for _ in range(3)]
        consulted = [await house.ask(f"{ASKED} {turn} {place}") for place in range(3)]
        async with asyncio.TaskGroup() as group:
            for each, answer in zip(consulted, fresh, strict=True):
                group.create_task(house.cache.keep(each, answer))
            group.create_task(house.put("shoes", text=f"Text {turn}."))
            for cache in (house.cache, other):
                group.create_task(cache.tend())
        async with house.database.read() as connection:
            versions = select(cache_sources.c.version).where(cache_sources.c.tenant == house.tenant)
            assert set(await connection.scalars(versions)) <= {f"Text {turn}."}


async def test_equal_questions_that_are_answered_at_once_leave_one_answer(house: CacheHouse) -> None:
    await house.put("shoes")
    caches = [house.cache, house.another()]
    consulted = [await house.ask(ASKED) for _ in range(8)]
    fresh = await house.fresh(TEXT, "shoes")
    await asyncio.gather(*(caches[n % 2].keep(each, fresh) for n, each in enumerate(consulted)))
    assert await rows(house, cache_entries) == await rows(house, cache_sources) == 1


@pytest.mark.parametrize(
    ("question", "change"),
    [
        pytest.param(ASKED, {"text": "x" * (MAX_ANSWER + 1)}, id="an answer too long"),
        pytest.param(ASKED, {"text": " \n"}, id="an empty answer"),
        pytest.param(ASKED, {"finish_reason": "length"}, id="an answer cut off"),
        pytest.param("x" * (MAX_QUESTION + 1), {}, id="a question too long"),
        pytest.param(" ?! ", {}, id="a blank question"),
    ],
)
async def test_what_is_no_answer_to_a_question_is_not_kept(
    house: CacheHouse, question: str, change: dict[str, Any]
) -> None:
    await house.put("shoes")
    await house.keep(question, TEXT, "shoes")
    await house.cache.purge(house.tenant)
    await house.cache.keep(await house.ask(question), replace(await house.fresh(TEXT, "shoes"), **change))
    assert await rows(house, cache_entries) == 0


async def test_an_answer_from_an_untrusted_source_is_kept_only_where_the_operator_says_so(house: CacheHouse) -> None:
    await house.put("shoes", "wiki")
    untrusted = (house.source("shoes"), house.source("wiki", trust="untrusted"))
    fresh = await house.fresh(TEXT, sources=untrusted)
    await house.cache.keep(await house.ask(ASKED), fresh)
    assert (await house.ask(ASKED)).answer is None
    house.cache = house.another(settings=replace(SETTINGS, trusted_only=False))
    await house.cache.keep(await house.ask(ASKED), fresh)
    assert (await house.ask(ASKED)).answer is not None


async def test_hostile_text_goes_in_and_comes_out_as_it_is(house: CacheHouse) -> None:
    await house.put("shoes")
    question, text = "'; DROP TABLE cache_entries; -- 🎉 \u202e 日本", 'Ünï "x" {0} %s \\ \u2028 [1]'
    await house.keep(question, text, "shoes")
    again = (await house.ask(question)).answer
    assert again is not None
    assert (again.question, again.text) == (question, text)
    for unkeepable in ("What is \x00?", "What is \ud800?"):  # by some databases, or by all
        await house.keep(unkeepable, TEXT, "shoes")
        await house.cache.explain(house.scope(), unkeepable)
        assert (await house.ask("What is it?")).reason == "learning"


async def test_an_answer_that_is_too_old_is_not_given_and_goes(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    house.hands.move(days=29)
    assert (await house.ask(ASKED)).answer is not None
    house.hands.move(days=2)
    assert (await house.ask(ASKED)).answer is None
    await house.keep(ASKED, "Within 31 days. [1]", "shoes")
    renewed = (await house.ask(ASKED)).answer
    assert renewed is not None
    assert renewed.text == "Within 31 days. [1]"
    house.hands.move(days=31)
    await house.cache.tend()
    assert await rows(house, cache_entries) == await rows(house, cache_sources) == await rows(house, cache_gone) == 0


async def test_what_is_worth_least_makes_room(house: CacheHouse) -> None:
    """Worth is how often and how lately: what was given often outlives what was given once, until it is forgotten."""
    await house.put("shoes")
    settings = replace(SETTINGS, max_entries=8, ttl=timedelta(days=365))
    house.cache = house.another(settings=settings)
    await house.keep("Which is the favourite?", TEXT, "shoes")
    favourite = await house.ask("Which is the favourite?")
    for _ in range(30):
        await house.cache.passed(favourite)
    await house.cache.tend()
    for number in range(12):
        house.hands.move(minutes=1)
        await house.keep(f"Question number {number}?", TEXT, "shoes")
        assert await rows(house, cache_entries) <= 8
    answered = [(await house.ask(f"Question number {number}?")).answer is not None for number in range(12)]
    assert answered == sorted(answered)  # the latest are there
    assert any(answered)
    assert (await house.ask("Which is the favourite?")).answer is not None
    house.hands.move(days=60)
    for number in range(12, 21):
        await house.keep(f"Question number {number}?", TEXT, "shoes")
    assert (await house.ask("Which is the favourite?")).answer is None


class FickleEmbedder(HashEmbedder):
    """A model that cannot be asked while it is told to be away."""

    away = False

    async def embed(self, texts: Any) -> Vectors:
        if self.away:
            raise EmbedderUnavailable("it is away")
        return await super().embed(texts)


class FickleStore(TenantedStore):
    """A store that cannot be reached while it is told to be away."""

    away = False

    async def search(self, *arguments: Any, **options: Any) -> Any:
        self._check()
        return await super().search(*arguments, **options)

    async def upsert(self, *arguments: Any) -> None:
        self._check()
        await super().upsert(*arguments)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("it is away")


async def test_with_the_model_or_the_index_away_repeats_are_given_and_all_else_is_a_miss(house: CacheHouse) -> None:
    await house.put("shoes")
    embedder, store = FickleEmbedder(), FickleStore(house.store)
    house.cache = house.another(embedder=embedder, store=store)
    await house.keep(ASKED, TEXT, "shoes")
    await house.cache.tend()
    for part in (embedder, store):
        part.away = True
        assert (await house.ask(ASKED)).answer is not None
        missed = await house.keep(f"{ALIKE} {part.__class__.__name__}", TEXT, "shoes")
        assert (missed.answer, missed.reason) == (None, "unavailable")
        await house.cache.tend()
        part.away = False
    assert (await house.cache.stats(house.tenant)).unindexed == 2
    await house.cache.tend()
    assert (await house.cache.stats(house.tenant)).unindexed == 0
    found = (await house.cache.explain(house.scope(), f"{ALIKE} FickleStoreX")).neighbours
    assert [each.question for each in found] == [f"{ALIKE} FickleStore"]  # all three have the same answer


async def test_a_search_that_fails_is_a_miss_and_costs_no_answer(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    await house.put("sandals")

    async def fails() -> Any:
        raise StoreUnavailable("it is away")

    assert (await house.ask(ASKED, fails)).reason == "unavailable"
    assert (await house.ask(ASKED, Searcher(house.source("shoes")))).answer is not None


async def test_an_index_that_was_lost_is_made_anew_and_one_that_knows_too_much_forgets(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    await house.cache.tend()
    [index] = [name for name in await house.store.indexes() if await _count(house, name)]
    await house.store.drop(index)
    assert (await house.ask(ALIKE)).reason == "unavailable"
    for _ in range(2):
        await house.ask(ALIKE)
        await house.cache.tend()
    assert (await house.ask(ALIKE)).reason == "learning"
    # As if it had been killed between the record and the index.
    async with house.database.write() as connection:
        await connection.execute(delete(cache_entries).where(cache_entries.c.tenant == house.tenant))
    assert (await house.ask(ALIKE)).reason == "empty"
    await house.cache.tend()
    assert await _count(house, index) == 0


async def _count(house: CacheHouse, index: str) -> int:
    return await TenantedStore(house.store).count(index, of_tenant(house.tenant)) if "answers-" in index else 0


async def test_the_index_itself_proposes_nothing_of_another_scope(house: CacheHouse) -> None:
    """Before anything is compared, and before SQL is asked: what is just kept as well as what is written."""
    await house.put("shoes")
    scope, index = house.scope(), house.cache._index
    await house.keep(ASKED, TEXT, "shoes")
    vector = await index.vector(ASKED)
    others = (house.scope(language="de"), house.scope(groups=frozenset({"staff"})), house.scope(config="2"))
    for _ in range(2):
        assert len(await index.nearest(house.tenant, scope.key, vector, 5)) == 1
        for other in others:
            assert await index.nearest(house.tenant, other.key, vector, 5) == {}
        assert await index.nearest("another", scope.key, vector, 5) == {}
        await house.cache.tend()


async def test_points_of_what_is_deleted_follow(house: CacheHouse) -> None:
    await house.put("shoes", "terms")
    await house.keep(ASKED, TEXT, "shoes")
    await house.keep("When do you open?", "At nine. [1]", "terms")
    await house.cache.tend()
    [index] = [name for name in await house.store.indexes() if await _count(house, name)]
    assert await _count(house, index) == 2
    await house.put("shoes", text="New.")
    await house.cache.tend()
    assert await _count(house, index) == 1
    assert await house.cache.purge(house.tenant) == 1
    await house.cache.tend()
    assert (await _count(house, index), await rows(house, cache_gone)) == (0, 0)


async def test_a_checked_answer_that_is_right_stays_and_one_that_is_wrong_is_replaced(house: CacheHouse) -> None:
    house.draw = lambda: 0.0
    house.cache = house.another(settings=replace(SETTINGS, shadow=0.5))
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    drawn = await house.ask(ASKED)
    assert (drawn.check, drawn.answer is not None) == (True, True)
    await house.cache.keep(drawn, await house.fresh(TEXT, "shoes"))
    kept = (await house.ask(ASKED)).answer
    assert kept == drawn.answer
    await house.cache.keep(await house.ask(ASKED), await house.fresh("Shoes cannot be returned. [1]", "shoes"))
    replaced = (await house.ask(ASKED)).answer
    assert replaced is not None
    assert replaced.text == "Shoes cannot be returned. [1]"
    counts = (await house.cache.stats(house.tenant)).counts
    assert (counts["checked"], counts["wrong"]) == (2, 1)
    # Nobody drew this one: somebody wanted a fresh answer.
    await house.cache.keep(replace(await house.ask(ASKED), check=False), await house.fresh(TEXT, "shoes"))
    again = (await house.ask(ASKED)).answer
    assert again is not None
    assert again.text == TEXT
    assert (await house.cache.stats(house.tenant)).counts["checked"] == 2


async def test_an_entry_that_was_wrong_for_a_question_is_held_to_a_higher_score(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    await teach(house)
    hit = await house.ask(ALIKE)
    assert hit.answer is not None
    await house.cache.complain(house.tenant, hit.answer.id, question=ALIKE, score=hit.score)
    again = await house.ask(ALIKE)
    assert again.answer is None or again.score > hit.score
    assert (await house.ask(ASKED)).answer is not None
    await house.cache.complain("another", hit.answer.id)
    assert (await house.ask(ASKED)).answer is not None
    await house.cache.complain(house.tenant, hit.answer.id, question=ASKED.upper())
    assert (await house.ask(ASKED)).answer is None
    await house.cache.complain(house.tenant, hit.answer.id)
    assert (await house.cache.stats(house.tenant)).counts["complaints"] == 3


async def test_what_was_learnt_outlives_the_process_and_what_two_have_learnt_adds_up(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    await house.cache.tend()
    alone, needed = Experience(SETTINGS.max_error, 0.0), 0
    learnt = await lesson(house)
    while alone.threshold > 1:
        learnt(alone)
        needed += 1
    first, second = house.cache, house.another()
    await teach(house, times=2 * needed // 3)
    house.cache = second
    await teach(house, times=2 * needed // 3)
    thresholds = [(await cache.stats(house.tenant)).threshold for cache in (first, second)]
    assert min(thresholds) > 1  # neither has seen enough by itself
    await asyncio.gather(first.aclose(), second.aclose())
    house.cache = house.another()
    assert (await house.cache.stats(house.tenant)).threshold < 1
    hit = await house.ask(ALIKE)
    assert hit.answer is not None
    counts = (await house.cache.stats(house.tenant)).counts
    assert (counts["stored"], counts["missed"]) == (1, 4)


async def test_what_could_not_be_written_is_written_later_and_once(house: CacheHouse, mortal: Mortal) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    await teach(house, times=300)
    mortal.dies_before = 0
    await house.cache.aclose()
    mortal.dies_before = None
    await house.ask(ASKED)
    await house.cache.aclose()
    stats = await house.another().stats(house.tenant)
    assert stats.threshold < 1
    assert stats.counts["exact"] == 1


async def test_it_can_be_asked_what_it_holds_and_why_it_decides_and_be_emptied(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.put("shoes", collection="more")
    await house.keep(ASKED, TEXT, "shoes")
    await house.keep("When do you open?", "At nine. [1]", "shoes")
    more = house.scope(collection="more")
    await house.keep(ASKED, TEXT, scope=more, sources=(house.source("shoes", "more"),))
    before = await house.cache.stats(house.tenant)
    assert (before.entries, before.collections) == (3, {"docs": 2, "more": 1})
    explained = await house.cache.explain(house.scope(), "how long may i not return my shoes please")
    assert (explained.consulted.reason, explained.neighbours[0].question) == ("refused", ASKED)
    assert explained.neighbours[0].disagreements == ("negation",)
    assert "negation" in explained.consulted.decision[-1]
    assert (await house.cache.stats(house.tenant)).counts == before.counts
    entry = (await house.ask(ASKED)).answer
    assert entry is not None
    assert await house.cache.purge("another", entry_id=entry.id) == 0
    assert await house.cache.purge(house.tenant, entry_id=entry.id) == 1
    assert await house.cache.purge(house.tenant, "more") == 1
    assert await house.cache.purge(house.tenant) == 1
    assert (await house.cache.stats(house.tenant)).entries == 0


async def test_a_cache_that_is_off_gives_and_keeps_nothing(house: CacheHouse) -> None:
    await house.put("shoes")
    await house.keep(ASKED, TEXT, "shoes")
    on, house.cache = house.cache, house.another(settings=replace(SETTINGS, enabled=False))
    assert (await house.keep(ASKED, TEXT, "shoes")).reason == "disabled"
    assert (await house.cache.stats(house.tenant)).counts == {}
    house.cache = on
    assert (await house.ask(ASKED)).answer is not None
