"""Nothing crosses a scope: neither what is given again, nor what is looked at for it, nor what is deleted with it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.database import Database
from retrieval.cache.scope import Scope
from retrieval.vectors.edge import EdgeStore
from tests.support.answers import CacheHouse

QUESTIONS = ("How long may I return shoes?", "how long may I return shoes please", "When do you open?")
TENANTS = ("acme", "acme2")
COLLECTIONS = ("docs", "more")

scopes = st.builds(
    Scope,
    tenant=st.sampled_from(TENANTS),
    groups=st.frozensets(st.sampled_from(("staff", "board"))),
    collection=st.sampled_from(COLLECTIONS),
    config=st.sampled_from(("1", "2")),
    language=st.sampled_from(("en", "de")),
    reads_all=st.booleans(),
)
changes = st.sampled_from(
    (
        {"tenant": "acme2"},
        {"groups": frozenset({"staff", "board", "more"})},
        {"collection": "more"},
        {"config": "3"},
        {"language": "fr"},
    )
)
STEPS = ("keep", "keep", "keep", "ask", "ask", "purge", "change", "tend")
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2), st.sampled_from(QUESTIONS)), max_size=10)
texts = st.text(st.characters(), max_size=6)
anything = st.builds(
    Scope,
    tenant=texts,
    groups=st.frozensets(texts, max_size=3),
    collection=texts,
    config=texts,
    language=texts,
    reads_all=st.booleans(),
)


@given(anything, anything)
def test_scopes_have_the_same_key_only_if_they_are_equal(one: Scope, other: Scope) -> None:
    assert (one.key == other.key) == (one == other)
    assert replace(one).key == one.key


@given(anything, st.sampled_from(("tenant", "collection", "config", "language")), texts)
def test_whatever_differs_is_another_scope(scope: Scope, name: str, value: str) -> None:
    changed: Scope = replace(scope, **{name: value})  # type: ignore[arg-type]
    assert (changed.key == scope.key) == (getattr(scope, name) == value)
    assert replace(scope, groups=scope.groups | {"", value + "x"}).key != replace(scope, groups=frozenset()).key
    assert replace(scope, reads_all=not scope.reads_all).key != scope.key


class World:
    """A cache for two tenants, and what is to be found in it."""

    def __init__(self, database: Database, store: EdgeStore) -> None:
        self.houses = {tenant: CacheHouse(database, store, tenant=tenant) for tenant in TENANTS}
        self.cache = self.houses[TENANTS[0]].cache
        self.expected: dict[tuple[Scope, str], str] = {}
        self.told = 0

    async def begin(self) -> None:
        for tenant, house in self.houses.items():
            for collection in COLLECTIONS:
                await house.put("shoes", text=f"Text {self.told}.", collection=collection)
            await self.cache.purge(tenant)
        self.expected = {}

    async def do(self, step: str, scope: Scope, question: str) -> None:
        if step == "tend":
            await self.cache.tend()
        elif step == "purge":
            await self.cache.purge(scope.tenant, scope.collection)
            self._forget(scope)
        elif step == "change":
            self.told += 1
            house = self.houses[scope.tenant]
            await house.put("shoes", text=f"Text {self.told}.", collection=scope.collection)
            self._forget(scope)
        else:
            await self._ask(scope, question, keep=step == "keep")

    async def _ask(self, scope: Scope, question: str, *, keep: bool) -> None:
        house = self.houses[scope.tenant]
        search = _Brings(house, scope)
        consulted = await self.cache.consult(scope, question, search=search)
        assert (consulted.answer.text if consulted.answer else None) == self.expected.get((scope, question))
        mine = {asked for where, asked in self.expected if where == scope}
        considered = consulted.considered.found if consulted.considered is not None else ()
        assert {each.nearest.question for each in considered} <= mine
        explained = await self.cache.explain(scope, f"{question} or not")
        assert {each.question for each in explained.neighbours} <= mine
        if keep and consulted.answer is None:
            self.told += 1
            text = f"Answer {self.told}. [1]"
            place = await house.catalog.collection(scope.tenant, scope.collection)
            source = house.source("shoes", scope.collection)
            fresh = replace(await house.fresh(text, sources=(source,)), revision=place.revision)
            await self.cache.keep(consulted, fresh)
            self.expected[scope, question] = text

    def _forget(self, scope: Scope) -> None:
        place = (scope.tenant, scope.collection)
        self.expected = {
            key: text for key, text in self.expected.items() if (key[0].tenant, key[0].collection) != place
        }


class _Brings:
    def __init__(self, house: CacheHouse, scope: Scope) -> None:
        self._source = house.source("shoes", scope.collection)

    async def __call__(self) -> Any:
        return (self._source,)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, World]]:
    folder: Path = tmp_path_factory.mktemp("world")
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(f"sqlite:///{folder}/cairn.db"))
        store = runner.run(EdgeStore.open(folder / "vectors"))
        made = World(database, store)
        yield runner, made
        runner.run(store.aclose())
        runner.run(database.aclose())


@settings(max_examples=25, deadline=None)
@given(scopes, changes, changes, steps)
def test_an_answer_is_found_within_its_scope_alone(
    world: tuple[asyncio.Runner, World],
    scope: Scope,
    one: dict[str, Any],
    other: dict[str, Any],
    steps: list[tuple[str, int, str]],
) -> None:
    """Among three scopes that differ in a single thing, or in two."""
    runner, made = world
    three = (scope, replace(scope, **one), replace(scope, **other))

    async def walk() -> None:
        await made.begin()
        for step, which, question in steps:
            await made.do(step, three[which], question)

    runner.run(walk())
