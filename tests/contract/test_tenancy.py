"""No statement that could reach another tenant's rows gets to either database, whichever way it is sent."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, exists, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.errors import RunTakenOver
from agent.events import TextDelta
from agent.journal.journal import Intent, Transition
from agent.journal.stores import open_journal, open_run_store
from agent.log.archive import SqlArchive
from agent.log.encoding import encode
from records.clauses import Unconfined
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import collections, documents, outbox, sessions, steps
from records.tenancy import Confined, Crossing, across_tenants
from retrieval.changes import Changes
from retrieval.documents import Document
from retrieval.outbox import Cleaner
from tests.support.everyones import everyones

MOMENT = now()


def row(tenant: str, identity: str = "s") -> dict[str, Any]:
    given = {"id": f"{tenant}-{identity}", "tenant": tenant, "principal": "p", "title": tenant}
    return {**given, "created_at": MOMENT, "updated_at": MOMENT}


@pytest.fixture
async def two(database: Database) -> Database:
    """A database with a session of two tenants each."""
    async with database.write() as connection:
        await connection.execute(insert(sessions), [row("acme"), row("other")])
    return database


async def titles(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.scalars(everyones(select(sessions.c.title)).order_by(sessions.c.title))).all())


Sent = Callable[[AsyncConnection], Awaitable[Any]]

LOOSE: dict[str, Sent] = {
    "a select": lambda c: c.execute(select(sessions).where(sessions.c.id == "other-s")),
    "a scalar": lambda c: c.scalar(select(func.count()).select_from(sessions)),
    "an update": lambda c: c.execute(update(sessions).values(title="taken")),
    "a deletion": lambda c: c.execute(delete(sessions).where(sessions.c.id == "other-s")),
    "one statement of many rows": lambda c: c.execute(
        update(sessions).where(sessions.c.id == bindparam("which")).values(title="taken"),
        [{"which": "acme-s"}, {"which": "other-s"}],
    ),
    "a subquery": lambda c: c.execute(
        select(sessions.c.id).where(sessions.c.tenant == "acme", exists().where(steps.c.kind == "tool"))
    ),
    "a join": lambda c: c.execute(
        select(documents.c.id)
        .join(collections, collections.c.name == documents.c.collection)
        .where(documents.c.tenant == "acme")
    ),
    "an outer join": lambda c: c.execute(
        select(sessions.c.id).outerjoin(steps, (steps.c.tenant == "acme") & (sessions.c.tenant == "acme"))
    ),
    "one condition of two": lambda c: c.execute(
        select(sessions).where((sessions.c.tenant == "acme") | (sessions.c.id == "other-s"))
    ),
    "every tenant but one": lambda c: c.execute(select(sessions).where(sessions.c.tenant != "acme")),
    "several tenants": lambda c: c.execute(select(sessions).where(sessions.c.tenant.in_(["acme", "other"]))),
    "a row given away": lambda c: c.execute(update(sessions).where(sessions.c.tenant == "acme").values(tenant="other")),
    "text": lambda c: c.execute(text("SELECT * FROM sessions")),
    "text in a statement": lambda c: c.execute(select(text("title FROM sessions"))),
    "the driver's own words": lambda c: c.exec_driver_sql("DELETE FROM sessions"),
    "the same without values": lambda c: c.exec_driver_sql(
        "DELETE FROM sessions", execution_options={"no_parameters": True}
    ),
    "the same for many rows": lambda c: c.exec_driver_sql(
        f"UPDATE sessions SET title = {'$1' if c.dialect.name == 'postgresql' else '?'}", [("taken",), ("taken",)]
    ),
    "a word that is no reason": lambda c: c.execute(
        select(sessions).execution_options(across_tenants="operator"),
    ),
    "a connection that was marked with a word": lambda c: c.execute(
        select(sessions), execution_options={"across_tenants": True}
    ),
}


@pytest.mark.parametrize("way", ["read", "write", "statement"])
async def test_a_statement_without_a_tenant_is_refused_and_changes_nothing(two: Database, way: str) -> None:
    for name, send in LOOSE.items():
        with pytest.raises(Unconfined, match="name the tenant"):
            async with getattr(two, way)() as connection:
                await send(connection)
                pytest.fail(f"{name} was let through")
    assert await titles(two) == ["acme", "other"]


async def test_nor_does_what_was_written_before_it_in_the_same_transaction_stay(two: Database) -> None:
    with pytest.raises(Unconfined):
        async with two.write() as connection:
            await connection.execute(insert(sessions).values(row("third")))
            await connection.execute(update(sessions).values(title="taken"))
    assert await titles(two) == ["acme", "other"]


async def test_an_upsert_leaves_the_row_of_another_tenant_as_it_is(two: Database) -> None:
    dialect: Any = postgresql if two.dialect == "postgresql" else sqlite
    mine = {**row("acme"), "id": "other-s", "title": "taken"}
    upsert = dialect.insert(sessions).values(mine)
    with pytest.raises(Unconfined, match="an upsert"):
        async with two.write() as connection:
            await connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_={"title": "taken"}))
    kept = upsert.on_conflict_do_update(
        index_elements=["id"], set_={"title": "taken"}, where=sessions.c.tenant == upsert.excluded.tenant
    )
    async with two.write() as connection:
        await connection.execute(kept)
    assert await titles(two) == ["acme", "other"]


async def test_a_statement_that_names_its_tenant_reaches_that_tenants_rows(two: Database) -> None:
    mine = sessions.c.tenant == "acme"
    async with two.write() as connection:
        assert (await connection.scalars(select(sessions.c.title).where(mine))).all() == ["acme"]
        assert (await connection.execute(update(sessions).where(mine).values(title="changed"))).rowcount == 1
        given = await connection.execute(
            insert(sessions).returning(sessions.c.id), [row("acme", str(n)) for n in range(3)]
        )
        assert len(given.all()) == 3
        assert (await connection.execute(delete(sessions).where(mine, sessions.c.id != "acme-s"))).rowcount == 3
        by_hand = text("SELECT title FROM sessions WHERE tenant = :tenant")
        assert (await connection.scalars(by_hand, {"tenant": "acme"})).all() == ["changed"]
    assert await titles(two) == ["changed", "other"]


async def test_a_marked_statement_reaches_every_tenants_rows(two: Database) -> None:
    query = select(sessions.c.title)
    for why in Crossing:
        async with two.read() as connection:
            assert len((await connection.scalars(across_tenants(query, why))).all()) == 2
            # That it was let through once says nothing for who sends it without the mark.
            with pytest.raises(Unconfined):
                await connection.scalars(query)


async def test_what_goes_straight_to_the_driver_is_refused_likewise(two: Database) -> None:
    def work(connection: Confined) -> None:
        connection.execute("UPDATE sessions SET title = ? WHERE tenant = ?", ("taken", "acme"))
        connection.executemany("UPDATE sessions SET title = ? WHERE id = ?", [("taken", "other-s")])

    with pytest.raises(Unconfined):
        if two.dialect == "postgresql":
            await two.postgres("UPDATE sessions SET title = $1 WHERE id = $2", "taken", "other-s")
        else:
            await two.sqlite(work)
    assert await titles(two) == ["acme", "other"]


async def test_values_are_not_in_the_message(two: Database) -> None:
    with pytest.raises(Unconfined) as raised:
        async with two.read() as connection:
            await connection.execute(select(sessions).where(sessions.c.title == "a secret"))
    assert "a secret" not in str(raised.value)


async def test_a_claim_of_another_tenant_holds_nothing_of_a_run(database: Database) -> None:
    """Its id and its fence are right: the tenant alone is not."""
    store, journal = open_run_store(database, "worker"), open_journal(database)
    run = await store.accept(
        Principal(tenant="acme", id="p"), session_id=None, title="t", model="m", config_version="c", request={}
    )
    theirs = replace(run.claim, tenant="other")
    begun = Transition(begun=[Intent(seq=1, kind="model", key="k", intent={})])
    with pytest.raises(RunTakenOver):
        await journal.write(theirs, begun)
    with pytest.raises(RunTakenOver):
        await store.end(theirs, "completed", {"type": "run.completed"}, [])
    assert await journal.load(theirs) == []
    assert [step.seq for step in await journal.load(run.claim)] == [0]
    await journal.write(run.claim, begun)
    assert [step.seq for step in await journal.load(run.claim)] == [0, 1]


async def test_the_archive_of_a_run_is_put_anew_in_the_place_of_the_one_before(database: Database) -> None:
    archive = SqlArchive(database)
    first, second = (encode("a", seq, TextDelta(delta="x")) for seq in (1, 2))
    others = [encode("b", 1, TextDelta(delta="y"))]
    await archive.put("a", [first])
    await archive.put("b", others)
    await archive.put("a", [first, second])
    assert (await archive.get("a"), await archive.get("b")) == ([first, second], others)


class Deletions:
    """A vector store with one index, of which only the filters of deletions are looked at."""

    def __init__(self) -> None:
        self.where: list[Any] = []

    async def indexes(self) -> list[str]:
        return ["index"]

    async def delete(self, index: str, where: Any) -> None:
        self.where.append((index, where.must[0].match.value))


async def test_orders_of_several_tenants_are_carried_out_for_each_alone(database: Database) -> None:
    store: Any = Deletions()
    changes = Changes(database, store)
    for tenant in ("acme", "other", "acme"):
        document = Document(
            id=f"{tenant}-d",
            tenant=tenant,
            collection="c",
            uri="u",
            title="t",
            media_type="text/plain",
            version="1",
            acl=("public",),
            metadata={},
            trust="untrusted",
            size=1,
            chunk_count=1,
            created_at=MOMENT,
            updated_at=MOMENT,
        )
        await changes.begin("index", [document])
    if database.dialect == "postgresql":  # there others call a write dead after an hour only
        async with database.write() as connection:
            await connection.execute(everyones(update(outbox)).values(created_at=MOMENT - timedelta(hours=2)))
    assert await Cleaner(database, store).clean(frozenset()) == 3
    assert sorted(store.where) == [("index", "acme"), ("index", "other")]
