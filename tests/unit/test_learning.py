"""What a user says of himself is remembered, once, and only what he says, and only of himself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from memory.errors import MemoryNotFound
from memory.extraction import Extractor
from memory.index import MemoryIndex
from memory.learning import remember
from memory.memory import Memory
from memory.reading import Filter
from memory.records import Draft, MemoryVersion, Subject
from memory.rollback import Undo, roll_back
from memory.store import Written
from records.database import Database
from records.principal import Principal
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.tenanted import TenantedStore
from tests.support.conversation import Conversation
from tests.support.embedder import HashEmbedder

ALICE = Principal(tenant="acme", id="alice")
BOB = Principal(tenant="acme", id="bob")
EXTRACTOR = Extractor()


class Talk(Conversation):
    """A conversation from which is learnt."""

    memory: Memory

    async def learn(self, message: str, **more: Any) -> Sequence[Written]:
        call = await self.say(message)
        return await self.again(call.run_id, message, **more)

    async def again(self, run_id: str, message: str, **more: Any) -> Sequence[Written]:
        given = {"answer": "Noted.", "run_id": run_id, "session_id": self.session_id, **more}
        return await remember(self.memory, EXTRACTOR, self.principal, message=message, **given)

    async def known(self, **where: Any) -> list[MemoryVersion]:
        return list(await self.memory.reader.list(self.principal, 100, where=Filter(**where)))


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    database = await Database.open(f"sqlite:///{tmp_path}/cairn.db")
    store = TenantedStore(await EdgeStore.open(tmp_path / "vectors"))
    yield Memory.over(database, MemoryIndex(database, store, HashEmbedder(dimension=64)))
    await store.aclose()
    await database.aclose()


@pytest.fixture
def talk(memory: Memory) -> Talk:
    made = Talk(memory.store.database, ALICE)
    made.memory = memory
    return made


async def test_something_is_remembered_then_contradicted_and_each_names_the_other(talk: Talk) -> None:
    [first] = await talk.learn("I live in Leeds.")
    assert (first.version.status, first.version.content.trust, first.version.content.slot) == (
        "active",
        "stated",
        "city",
    )
    [second] = await talk.learn("Actually, I've moved to Potsdam.")
    assert second.version.supersedes == (first.version.id,)
    old = await talk.memory.reader.get(ALICE, first.version.id)
    assert (old.status, old.superseded_by) == ("superseded", second.version.id)
    await roll_back(talk.memory.store, ALICE, Undo(run=second.version.content.run_id))
    assert [each.content.text for each in await talk.known(status="active")] == ["I live in Leeds."]
