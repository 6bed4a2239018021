"""Recalling over a real record and a real index: what matters, for whoever asks, and nothing that does not stand."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from memory.index import MemoryIndex
from memory.memory import Memory
from memory.recall import Recalled
from memory.records import Draft, MemoryVersion, SourceRef, Subject
from memory.rollback import Undo, roll_back, roll_back_record
from records.database import Database
from records.principal import Principal
from records.schema import memory_records
from retrieval.errors import StoreUnavailable
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.tenanted import TenantedStore, of_tenant
from tests.support.embedder import HashEmbedder
from tests.support.memory import Hands

ALICE = Principal(tenant="acme", id="alice")
BOB = Principal(tenant="acme", id="bob", groups=frozenset({"staff"}))
ADMIN = Principal(tenant="acme", id="root", scopes=frozenset({"admin"}))
OTHER = Principal(tenant="other", id="alice")
ME = Subject("user", "alice")


class FickleStore(TenantedStore):
    """A store that cannot be reached while it is told to be away."""

    away = False

    async def upsert(self, index: str, points: Any) -> None:
        self._check()
        await super().upsert(index, points)

    async def delete(self, index: str, where: Any) -> None:
        self._check()
        await super().delete(index, where)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("it is away")


@dataclass
class House:
    database: Database
    store: FickleStore
    memory: Memory
    hands: Hands

    async def put(self, text: str, principal: Principal = ALICE, **more: Any) -> MemoryVersion:
        draft = Draft(**{"subject": Subject("user", principal.id), "kind": "fact", "text": text, **more})
        return (await self.memory.store.write(principal, draft)).version

    async def recall(self, question: str = "tea", principal: Principal = ALICE, budget: int = 1000) -> list[str]:
        return texts(await self.memory.recall(principal, question, budget))

    async def points(self, tenant: str = "acme") -> list[Any]:
        found: list[Any] = []
        for index in await self.store.indexes():
            found += (await self.store.scroll(index, of_tenant(tenant), 100))[0]
        return found


def texts(found: Any) -> list[str]:
    return [each.version.content.text for each in found]


def open_memory(database: Database, store: FickleStore, hands: Hands, embedder: HashEmbedder) -> Memory:
    return Memory.over(database, MemoryIndex(database, store, embedder, clock=hands), clock=hands)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = await Database.open(f"sqlite:///{tmp_path}/cairn.db")
    store, hands = FickleStore(await EdgeStore.open(tmp_path / "vectors")), Hands()
    yield House(database, store, open_memory(database, store, hands, HashEmbedder(dimension=256)), hands)
    await store.aclose()
    await database.aclose()


async def test_what_matters_comes_first_and_what_does_not_is_left_out(house: House) -> None:
    await house.put("my dog is called Rex")
    await house.put("I drink green tea in the morning")
    await house.put("tea")
    assert (await house.recall("do I drink green tea"))[0] == "I drink green tea in the morning"
    assert await house.recall("Rex dog") == ["my dog is called Rex"]
    assert await house.recall("zzz qqq") == []
    for nothing in ("", " \n"):
        assert await house.recall(nothing) == []


async def test_what_was_just_written_edited_or_taken_back_is_recalled_so(house: House) -> None:
    first = await house.put("I drink green tea")
    draft = Draft(subject=ME, kind="fact", text="I drink black coffee")
    await house.memory.store.edit(ALICE, first.id, draft, expected_version=1)
    assert await house.recall("green tea or black coffee") == ["I drink black coffee"]
    await roll_back_record(house.memory.store, ALICE, first.id, 1)
    assert await house.recall("green tea or black coffee") == ["I drink green tea"]
    await roll_back(house.memory.store, ALICE, Undo(author="alice"))
    assert await house.recall("green tea or black coffee") == []
    assert await house.points() == []


async def test_nobody_recalls_what_is_not_for_him_not_even_an_administrator(house: House) -> None:
    ours, entity = Subject("tenant"), Subject("entity", "order-1")
    await house.put("tea of alice")
    await house.put("tea of bob", BOB)
    await house.put("tea that bob shares", BOB, acl=("staff",))
    await house.put("tea of all", ADMIN, subject=ours)
    await house.put("tea of staff", ADMIN, subject=entity, acl=("staff",))
    await house.put("tea of others", OTHER)
    staff = Principal(tenant="acme", id="carol", groups=frozenset({"staff"}))
    assert {*await house.recall()} == {"tea of alice", "tea of all"}
    assert {*await house.recall(principal=BOB)} == {"tea of bob", "tea that bob shares", "tea of all", "tea of staff"}
    assert {*await house.recall(principal=staff)} == {"tea that bob shares", "tea of all", "tea of staff"}
    assert {*await house.recall(principal=ADMIN)} == {"tea of all"}
    assert {*await house.recall(principal=OTHER)} == {"tea of others"}


async def test_the_record_decides_whatever_the_index_has(house: House) -> None:
    tea = await house.put("I drink tea")
    await house.put("tea soon over", ttl=timedelta(hours=1))
    assert len(await house.recall()) == 2
    house.hands.move(hours=2)
    assert await house.recall() == ["I drink tea"]
    # The record says that the index has seen it: a point that nobody removed, of a record that is gone.
    await house.memory.store.overrule(ALICE, tea.id, SourceRef(id="crm", trust="stated"))
    async with house.database.write() as connection:
        mine = (memory_records.c.tenant == "acme", memory_records.c.id == tea.id)
        await connection.execute(update(memory_records).where(*mine).values(indexed=2))
    assert len(await house.points()) == 2
    assert await house.recall() == []


async def test_of_one_slot_the_last_is_recalled_even_if_it_matches_less(house: House) -> None:
    old = await house.put("I drink tea, tea and tea", slot="drink")
    await house.put("coffee, no tea any more", slot="drink")
    await roll_back_record(house.memory.store, ALICE, old.id, 1)
    assert await house.recall("tea tea") == ["I drink tea, tea and tea"]
    again = Draft(subject=ME, kind="fact", text="water", slot="drink")
    await house.memory.store.write(ALICE, again)
    assert await house.recall("tea tea") == []


async def test_old_and_doubtful_memories_rank_lower(house: House) -> None:
    await house.put("tea in the morning", sources=(SourceRef(id="page"),))
    await house.put("tea in the evening")
    doubtful, said = sorted(await judged(house, "tea"), key=lambda each: each.trust)
    assert (doubtful.trust, said.trust, said.recency) == (0.5, 1.0, 1.0)
    house.hands.move(days=90)
    await house.put("tea at noon")
    by_text = {each.version.content.text: each for each in await judged(house, "tea")}
    assert by_text["tea in the evening"].recency == pytest.approx(0.8)
    assert by_text["tea at noon"].recency == 1.0
    for each in by_text.values():
        assert 0 < each.score == each.relevance * each.recency * each.trust <= 1


async def judged(house: House, question: str) -> list[Recalled]:
    return list(await house.memory.recall(ALICE, question, 1000))


async def test_what_is_recalled_stays_within_the_budget(house: House) -> None:
    for number in range(6):
        await house.put(f"tea number {number} " + "and so on " * 10 * number)
    for budget in (0, 1, 20, 100, 300):
        found = await house.memory.recall(ALICE, "tea number", budget)
        assert sum(each.tokens for each in found) <= budget
        assert (found == []) == (budget < 6)
    # What does not fit makes room for what does.
    assert await house.recall("tea number 5 and so on", budget=8) == ["tea number 0"]


async def test_what_is_forgotten_is_gone_from_the_index_at_once(house: House) -> None:
    first = await house.put("I drink tea")
    await house.recall()
    assert len(await house.points()) == 1
    await house.memory.forget(ALICE, first.id)
    assert await house.points() == []


async def test_an_index_that_is_away_forgets_as_soon_as_it_is_back(house: House) -> None:
    first = await house.put("I drink tea")
    await house.recall()
    house.store.away = True
    await house.memory.forget(ALICE, first.id)
    await house.put("I drink water", OTHER)
    assert len(await house.points()) == 1
    await house.memory.index.tend()
    with pytest.raises(StoreUnavailable):
        await house.recall()
    house.store.away = False
    await house.memory.index.tend()
    assert (await house.points(), len(await house.points("other"))) == ([], 1)


async def test_a_question_does_not_wait_for_all_that_was_taken_over_and_what_was_forgotten_comes_first(
    house: House,
) -> None:
    first = await house.put("I drink tea")
    await house.recall()
    for number in range(250):
        await house.put(f"fact {number}")
    await house.memory.forget(ALICE, first.id)
    assert first.id not in {point.payload["document_id"] for point in await house.points()}
    assert (await house.recall("fact 249"))[0] == "fact 249"
    (index,) = await house.store.indexes()
    assert await house.store.count(index, of_tenant("acme")) == 199
    await house.memory.index.tend()
    assert await house.store.count(index, of_tenant("acme")) == 250


async def test_an_index_that_was_lost_or_is_of_another_model_is_made_anew(house: House) -> None:
    await house.put("I drink tea")
    await house.recall()
    (index,) = await house.store.indexes()
    await house.store.drop(index)
    for embedder in (HashEmbedder(dimension=256), HashEmbedder(name="other", dimension=48)):
        memory = open_memory(house.database, house.store, house.hands, embedder)
        assert texts(await memory.recall(ALICE, "tea", 100)) == ["I drink tea"]
        assert len(await house.store.indexes()) == 1


async def test_two_services_that_index_and_change_at_once_end_with_what_stands(house: House) -> None:
    first = await house.put("tea 0")
    others = [open_memory(house.database, house.store, house.hands, HashEmbedder(dimension=256)) for _ in range(2)]

    async def change() -> None:
        for number in range(1, 15):
            draft = Draft(subject=ME, kind="fact", text=f"tea {number}")
            await house.memory.store.edit(ALICE, first.id, draft, expected_version=number)

    async def index(memory: Memory) -> None:
        for _ in range(10):
            await memory.index.catch_up("acme")

    await asyncio.gather(change(), *(index(memory) for memory in others))
    await house.memory.index.catch_up("acme")
    (point,) = await house.points()
    assert (point.payload["version"], point.text) == ("15", ""), "what was said stands in the record alone"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, "active"),
        ({"kind": "preference"}, "active"),
        ({"kind": "rule"}, "proposed"),
        ({"trust": "inferred"}, "proposed"),
        ({"author": "agent"}, "proposed"),
        ({"sources": (SourceRef(id="handbook", trust="stated"),)}, "proposed"),
        ({"subject": Subject("tenant")}, "proposed"),
        ({"acl": ("public",)}, "proposed"),
    ],
)
async def test_only_what_a_user_says_of_himself_is_learnt_unasked(
    house: House, more: dict[str, Any], status: str
) -> None:
    draft = Draft(**{"subject": ME, "kind": "fact", "text": "I drink tea", **more})
    written = await house.memory.propose(ALICE, draft)
    assert written.version.status == status
    assert await house.recall() == (["I drink tea"] if status == "active" else [])
