"""Long-term memory on every database: nothing is overwritten, and all can be taken back but what is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from memory.comparing import differences
from memory.errors import (
    MemoryConflict,
    MemoryForbidden,
    MemoryForgotten,
    MemoryNotFound,
    MemoryRefused,
    SnapshotExists,
    SnapshotNotFound,
)
from memory.forgetting import forget, forget_subject
from memory.reading import Filter, MemoryReader
from memory.records import Draft, MemoryVersion, SourceRef, Subject
from memory.rollback import Undo, roll_back, roll_back_record
from memory.store import MemoryStore
from records.database import Database
from records.principal import Principal
from records.schema import idempotency, memory_records, memory_sources, memory_versions
from tests.support.memory import ConnectionDied, Databases, Hands, Mortal

ALICE = Principal(tenant="acme", id="alice")
BOB = Principal(tenant="acme", id="bob", groups=frozenset({"staff"}))
ADMIN = Principal(tenant="acme", id="root", scopes=frozenset({"admin"}))
OTHER = Principal(tenant="other", id="alice", scopes=frozenset({"admin"}))
ME = Subject("user", "alice")
US = Subject("tenant")


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with Databases(tmp_path_factory.mktemp("databases")) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Mortal]:
    opened = await Mortal.open(await databases.url(request.param, tmp_path))
    yield cast("Mortal", opened)
    await opened.aclose()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def store(database: Mortal, hands: Hands) -> MemoryStore:
    return MemoryStore(database, clock=hands)


@pytest.fixture
def reader(database: Mortal, hands: Hands) -> MemoryReader:
    return MemoryReader(database, hands)


def likes(text: str = "likes tea", **more: Any) -> Draft:
    return Draft(**{"subject": ME, "kind": "preference", "text": text, **more})


async def put(store: MemoryStore, draft: Draft, principal: Principal = ALICE) -> MemoryVersion:
    return (await store.write(principal, draft)).version


async def change(store: MemoryStore, head: MemoryVersion, **more: Any) -> MemoryVersion:
    return await store.edit(ALICE, head.id, likes(**more), expected_version=head.version)


def texts(found: Any) -> list[str]:
    return [version.content.text for version in found]


async def test_a_record_keeps_every_version_that_it_had(store: MemoryStore, reader: MemoryReader) -> None:
    first = await put(store, likes("likes tea", value={"drink": "tea"}, run_id="r1", message_id="7"))
    second = await change(store, first, text="likes coffee", ttl=timedelta(days=1))
    assert (first.version, second.version) == (1, 2)
    assert await reader.history(ALICE, first.id) == [second, first]
    assert await reader.get(ALICE, first.id) == second
    assert await reader.version(ALICE, first.id, 1) == first
    assert (first.content.author, first.content.run_id, first.content.message_id) == ("alice", "r1", "7")
    with pytest.raises(MemoryNotFound, match="no version 3"):
        await reader.version(ALICE, first.id, 3)


async def test_a_stale_write_conflicts_and_says_what_stands(store: MemoryStore, reader: MemoryReader) -> None:
    first = await put(store, likes())
    second = await change(store, first, text="likes coffee")
    with pytest.raises(MemoryConflict, match="at version 2") as raised:
        await change(store, first, text="likes water")
    assert raised.value.current == second
    with pytest.raises(MemoryConflict):
        await forget(store, ALICE, first.id, expected_version=1)
    with pytest.raises(MemoryConflict):
        await roll_back_record(store, ALICE, first.id, 1, expected_version=1)
    assert await reader.get(ALICE, first.id) == second


async def test_of_writers_at_once_who_saw_the_same_one_is_believed(store: MemoryStore, reader: MemoryReader) -> None:
    first = await put(store, likes())
    writes = [change(store, first, text=f"likes {number}") for number in range(8)]
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["MemoryConflict"] * 7 + ["MemoryVersion"]
    assert len(await reader.history(ALICE, first.id)) == 2


async def test_of_writers_at_once_who_say_the_same_one_record_comes(store: MemoryStore, reader: MemoryReader) -> None:
    written = await asyncio.gather(*(store.write(ALICE, likes(run_id=f"r{n}")) for n in range(6)))
    assert len({each.version.id for each in written}) == 1
    assert sorted(each.outcome for each in written) == ["merged"] * 5 + ["written"]
    seqs = [each.seq for each in await reader.history(ALICE, written[0].version.id)]
    assert seqs == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("spelling", ["Likes  Tea", " likes tea ", "likes\u00a0tea"])
async def test_what_says_the_same_is_one_record(store: MemoryStore, spelling: str) -> None:
    first = await put(store, likes("likes tea"))
    again = await store.write(ALICE, likes(spelling, run_id="r2"))
    assert (again.version.id, again.outcome) == (first.id, "merged")
    assert (await store.write(ALICE, likes(spelling, run_id="r2"))).outcome == "unchanged"


async def test_what_says_the_same_to_others_or_of_others_is_another_record(store: MemoryStore) -> None:
    drafts = [
        likes(),
        likes(kind="fact"),
        likes(acl=("public",)),
        likes(value={"drink": "tea"}),
        likes(slot="drink"),
        likes(subject=US),
        likes(subject=Subject("entity", "order-1")),
    ]
    assert len({(await put(store, draft)).id for draft in drafts}) == len(drafts)
    assert len({(await put(store, likes(), ADMIN)).id, (await put(store, likes(), OTHER)).id}) == 2


async def test_worse_evidence_changes_nothing_and_better_is_taken(store: MemoryStore) -> None:
    guessed = await put(store, likes(trust="inferred"))
    said = await store.write(ALICE, likes(trust="stated"))
    assert (said.outcome, said.version.id, said.version.content.trust) == ("merged", guessed.id, "stated")
    for worse in (likes(trust="inferred"), likes(sources=(SourceRef(id="https://evil.example"),))):
        assert await store.write(ALICE, worse) == type(said)(version=said.version, outcome="unchanged")
    assert (await roll_back_record(store, ALICE, guessed.id, 1)).reversals[0].target == guessed


async def test_a_new_statement_takes_the_slot_of_the_old_with_a_link(store: MemoryStore, reader: MemoryReader) -> None:
    seattle = await put(store, likes("lives in Seattle", slot="city"))
    portland = await put(store, likes("lives in Portland", slot="city"))
    await put(store, likes("born in Rome", slot="birthplace"))
    old = await reader.get(ALICE, seattle.id)
    assert (old.status, old.superseded_by, portland.supersedes) == ("superseded", portland.id, (seattle.id,))
    found = await reader.list(ALICE, 10, where=Filter(live_at=store.clock()))
    assert texts(found) == ["born in Rome", "lives in Portland"]


async def test_what_is_believed_less_does_not_take_a_slot(store: MemoryStore, reader: MemoryReader) -> None:
    said = await put(store, likes("lives in Seattle", slot="city"))
    guess = await put(store, likes("lives in Rome", slot="city", trust="inferred"))
    assert (guess.status, await reader.get(ALICE, said.id)) == ("proposed", said)
    taken = await store.settle(ALICE, guess.id, accept=True, expected_version=1)
    assert (taken.status, taken.content.trust, taken.supersedes) == ("active", "inferred", (said.id,))
    assert (await reader.get(ALICE, said.id)).superseded_by == guess.id


async def test_what_is_over_holds_no_slot(store: MemoryStore, reader: MemoryReader, hands: Hands) -> None:
    over = await put(store, likes("in Rome this week", slot="city", ttl=timedelta(days=7)))
    hands.move(days=8)
    guess = await put(store, likes("lives in Oslo", slot="city", trust="inferred"))
    assert (guess.status, guess.supersedes, await reader.get(ALICE, over.id)) == ("active", (), over)


async def test_a_whole_tenant_goes_back_in_one_operation_or_not_at_all(
    database: Mortal, store: MemoryStore, reader: MemoryReader
) -> None:
    await reader.snapshot(ADMIN, "empty")
    for number in range(450):
        await put(store, likes(f"fact {number}", sources=(SourceRef(id=f"s{number}"),)))
    before = await reader.list(ALICE, 500)
    for statements in (8, 12, 16):
        database.dies_before = statements
        with pytest.raises(ConnectionDied):
            await roll_back(store, ADMIN, Undo(snapshot="empty"))
        assert await reader.list(ALICE, 500) == before
    database.dies_before = None
    done = await roll_back(store, ADMIN, Undo(snapshot="empty"))
    assert (done.count, len(done.reversals)) == (450, 450)
    after = await reader.list(ALICE, 500)
    assert {each.status for each in after} == {"retracted"}
    assert [each.content for each in after] == [each.content for each in before]
    assert {each.operation for each in after} == {done.operation}
    assert sorted(each.seq for each in after) == list(range(451, 901))


async def test_a_proposal_is_nothing_until_it_is_accepted_and_does_not_come_again_when_rejected(
    store: MemoryStore, reader: MemoryReader
) -> None:
    offered = (await store.write(ALICE, likes(trust="inferred"), proposed=True)).version
    assert not offered.is_live(store.clock())
    rejected = await store.settle(ALICE, offered.id, accept=False, expected_version=1)
    again = await store.write(ALICE, likes(trust="inferred"), proposed=True)
    assert (rejected.status, again.outcome, again.version) == ("rejected", "unchanged", rejected)
    with pytest.raises(MemoryRefused, match="it is rejected"):
        await store.settle(ALICE, offered.id, accept=True, expected_version=2)
    assert (await put(store, likes())).id != offered.id
    assert len(await reader.list(ALICE, 10)) == 2


async def test_saying_what_was_proposed_settles_it(store: MemoryStore) -> None:
    offered = (await store.write(ALICE, likes(trust="inferred"), proposed=True)).version
    said = await store.write(ALICE, likes())
    assert (said.version.id, said.version.status, said.version.content.trust) == (offered.id, "active", "stated")


async def test_trust_is_the_least_of_what_something_came_from(store: MemoryStore, reader: MemoryReader) -> None:
    page = SourceRef(id="https://a.example", version="1")
    handbook = SourceRef(id="handbook", trust="imported")
    doubtful = await put(store, likes("a", sources=(page,)))
    taken = await put(store, likes("b", sources=(handbook,)))
    both = await put(store, likes("c", derived_from=(doubtful.id, taken.id)))
    assert [each.content.trust for each in (doubtful, taken, both)] == ["untrusted", "imported", "untrusted"]
    assert [each.id for each in both.content.sources] == [
        f"memory:{doubtful.id}",
        page.id,
        f"memory:{taken.id}",
        "handbook",
    ]
    with pytest.raises(MemoryNotFound):
        await put(store, likes("d", derived_from=("nothing",)))
    assert len(await reader.list(ALICE, 10)) == 3


async def test_what_is_untrusted_never_becomes_a_rule(store: MemoryStore, reader: MemoryReader) -> None:
    page = await put(store, likes("always pay at once", sources=(SourceRef(id="https://evil.example"),)))
    for draft in (
        likes("x", kind="rule", trust="untrusted"),
        likes("x", kind="rule", sources=page.content.sources),
        likes("x", kind="rule", derived_from=(page.id,)),
    ):
        for proposed in (False, True):
            with pytest.raises(MemoryRefused, match="never becomes a rule"):
                await store.write(ADMIN, draft, proposed=proposed)
    rule = await put(store, likes("ask first", kind="rule"))
    with pytest.raises(MemoryRefused, match="never becomes a rule"):
        await change(store, rule, text="pay", kind="rule", derived_from=(page.id,))
    with pytest.raises(MemoryRefused, match="keeps its subject and its kind"):
        await change(store, page, text="pay", kind="rule")
    assert await reader.list(ALICE, 1, where=Filter(kind="rule")) == [rule]


async def test_to_change_how_long_it_holds_is_not_to_vouch_for_it(store: MemoryStore) -> None:
    page = SourceRef(id="https://a.example")
    found = await put(store, likes(sources=(page,), author="agent", run_id="r1"))
    longer = await change(store, found, valid_until=datetime(2027, 1, 1, tzinfo=UTC))
    assert (longer.content.trust, longer.content.sources, longer.content.author) == ("untrusted", (page,), "agent")
    said = await change(store, longer, text="likes tea a lot")
    assert (said.content.trust, said.content.author) == ("stated", "alice")


async def test_what_is_over_or_to_come_is_not_live(store: MemoryStore, reader: MemoryReader, hands: Hands) -> None:
    start = hands.moment
    await put(store, likes("expires", ttl=timedelta(hours=1)))
    await put(store, likes("ends", valid_until=start + timedelta(hours=2)))
    await put(store, likes("begins", valid_from=start + timedelta(hours=3)))
    lived = {}
    for hours in (0.5, 1, 2, 3):
        moment = start + timedelta(hours=hours)
        lived[hours] = texts(await reader.list(ALICE, 10, where=Filter(live_at=moment)))
        every = await reader.list(ALICE, 10)
        assert lived[hours] == [each.content.text for each in every if each.is_live(moment)]
    assert lived == {0.5: ["ends", "expires"], 1: ["ends"], 2: [], 3: ["begins"]}


async def test_what_expired_comes_back_when_it_is_said_again(store: MemoryStore, hands: Hands) -> None:
    first = await put(store, likes(ttl=timedelta(hours=1)))
    hands.move(hours=2)
    again = await store.write(ALICE, likes(ttl=timedelta(hours=1), trust="inferred"))
    assert (again.version.id, again.outcome, again.version.is_live(hands.moment)) == (first.id, "merged", True)


async def test_what_stood_at_a_time_a_version_or_a_snapshot_can_be_read(
    store: MemoryStore, reader: MemoryReader, hands: Hands
) -> None:
    first = await put(store, likes("one"))
    hands.move(hours=1)
    taken = await reader.snapshot(ALICE, "before the fair")
    hands.move(hours=1)
    second = await change(store, first, text="two")
    other = await put(store, likes("three"))
    for point in (hands.moment - timedelta(hours=1), "before the fair", first.seq, taken.seq):
        assert await reader.at(ALICE, point, 10) == [first]
    assert await reader.at(ALICE, second.seq, 10) == [second]
    assert await reader.at(ALICE, hands.moment + timedelta(seconds=1), 10) == [other, second]
    assert await reader.at(ALICE, hands.moment - timedelta(days=1), 10) == []
    assert await reader.at(ALICE, other.seq, 1, before=other.id) == [second]
    assert await reader.at(ALICE, other.seq, 10, record_id=first.id) == [second]
    assert [each.name for each in await reader.snapshots(ALICE)] == ["before the fair"]
    with pytest.raises(SnapshotNotFound):
        await reader.at(ALICE, "never", 10)
    with pytest.raises(SnapshotExists):
        await reader.snapshot(ALICE, "before the fair")
    assert await reader.snapshots(OTHER) == []


async def test_a_clock_that_goes_back_does_not_mix_up_what_stood_when(
    store: MemoryStore, reader: MemoryReader, hands: Hands
) -> None:
    first = await put(store, likes("one"))
    hands.move(days=-1)
    second = await change(store, first, text="two")
    assert second.created_at > first.created_at
    assert await reader.at(ALICE, first.created_at, 10) == [first]


async def test_a_diff_names_what_differs(store: MemoryStore) -> None:
    first = await put(store, likes("one", slot="a"))
    second = await change(store, first, text="two", slot="a", acl=("public",))
    assert differences(first, second) == {"text": ("one", "two"), "acl": ((), ("public",))}
    assert differences(first, first) == {}


Selector = Callable[[MemoryVersion], Undo]


@pytest.mark.parametrize(
    "selector",
    [
        lambda _: Undo(source="https://evil.example"),
        lambda _: Undo(run="r9"),
        lambda _: Undo(author="mallory"),
        lambda bad: Undo(since=bad.created_at),
        lambda bad: Undo(since=bad.created_at, until=bad.created_at + timedelta(hours=3)),
        lambda _: Undo(snapshot="good"),
    ],
    ids=["source", "run", "author", "since", "span", "snapshot"],
)
async def test_everything_that_came_from_somewhere_is_taken_back_and_given_back(
    store: MemoryStore, reader: MemoryReader, hands: Hands, selector: Selector
) -> None:
    origin: dict[str, Any] = {"sources": (SourceRef(id="https://evil.example", trust="stated"),)}
    origin |= {"author": "mallory", "run_id": "r9"}
    kept = await put(store, likes("untouched"))
    changed = await put(store, likes("changed"))
    city = await put(store, likes("lives in Seattle", slot="city"))
    await reader.snapshot(ALICE, "good")
    hands.move(hours=1)
    bad = await change(store, changed, text="poisoned", **origin)
    new = await put(store, likes("new poison", **origin))
    await put(store, likes("lives in Rome", slot="city", **origin))
    derived = await put(store, likes("concluded", derived_from=(new.id,), author="mallory", run_id="r9"))
    before = {each.id: each.content for each in await reader.list(ALICE, 10, where=Filter(status="active"))}
    hands.move(hours=1)

    planned = await roll_back(store, ALICE, selector(bad), dry_run=True)
    assert (planned.count, planned.operation) == (5, None)
    assert (await reader.get(ALICE, derived.id)).version == 1
    done = await roll_back(store, ALICE, selector(bad))
    assert (done.count, done.reversals) == (5, planned.reversals)
    active = await reader.list(ALICE, 10, where=Filter(status="active"))
    assert {each.id: each.content for each in active} == {each.id: each.content for each in (kept, changed, city)}
    back = await reader.get(ALICE, changed.id)
    assert (back.version, back.change, back.restores, back.changed_by) == (3, "rolled_back", 1, "alice")
    assert (await reader.get(ALICE, new.id)).status == "retracted"
    # Nothing was lost on the way, and to ask twice is to ask once.
    assert texts(await reader.history(ALICE, changed.id)) == ["changed", "poisoned", "changed"]
    if selector(bad).since is None or selector(bad).until is not None:
        again = await roll_back(store, ALICE, selector(bad))
        assert (again.count, again.operation) == (0, None)

    undone = await roll_back(store, ALICE, Undo(operation=done.operation))
    assert undone.count == 5
    active = await reader.list(ALICE, 10, where=Filter(status="active"))
    assert {each.id: each.content for each in active} == before


async def test_a_rollback_leaves_what_its_asker_may_not_change(store: MemoryStore, reader: MemoryReader) -> None:
    mine = await put(store, likes("mine", run_id="r"))
    hers = await put(store, likes("hers", subject=Subject("user", "bob"), run_id="r"), BOB)
    rule = await put(store, likes("ours", subject=US, kind="rule", run_id="r"), ADMIN)
    theirs = await put(store, likes("theirs", run_id="r"), OTHER)
    assert [each.head.id for each in (await roll_back(store, ALICE, Undo(run="r"))).reversals] == [mine.id]
    assert (await roll_back(store, ADMIN, Undo(run="r"))).count == 2
    for record_id in (hers.id, rule.id):
        assert (await reader.get(ADMIN, record_id)).status == "retracted"
    assert (await reader.get(OTHER, theirs.id)).status == "active"


@pytest.mark.parametrize("undo", [Undo(), Undo(source=""), Undo(run="", author="a")])
async def test_a_rollback_says_of_what(store: MemoryStore, undo: Undo) -> None:
    with pytest.raises(MemoryRefused, match="say what to take back"):
        await roll_back(store, ALICE, undo)


async def test_the_system_of_record_overrules_a_memory_until_it_is_rolled_back(
    store: MemoryStore, reader: MemoryReader
) -> None:
    said = await put(store, likes("my address is Elm Street", kind="fact"))
    crm = SourceRef(id="tool:get_customer", trust="stated")
    gone = await store.overrule(ALICE, said.id, crm, run_id="r1")
    assert (gone.status, gone.superseded_by, gone.changed_run) == ("superseded", crm.id, "r1")
    with pytest.raises(MemoryRefused, match="does not overrule"):
        await store.overrule(ALICE, said.id, SourceRef(id="https://evil.example"))
    await roll_back(store, ALICE, Undo(source=crm.id))
    assert (await reader.get(ALICE, said.id)).status == "active"


async def test_what_was_superseded_again_by_a_rollback_still_owes_it_to_its_source(
    store: MemoryStore, reader: MemoryReader
) -> None:
    said = await put(store, likes("my address is Elm Street", kind="fact"))
    await store.overrule(ALICE, said.id, SourceRef(id="crm", trust="stated"))
    back = await roll_back(store, ALICE, Undo(source="crm"))
    await roll_back(store, ALICE, Undo(operation=back.operation))
    assert (await reader.get(ALICE, said.id)).status == "superseded"
    await roll_back(store, ALICE, Undo(source="crm"))
    assert (await reader.get(ALICE, said.id)).status == "active"


async def test_forgetting_leaves_a_tombstone_and_nothing_of_what_was_said(
    database: Mortal, store: MemoryStore, reader: MemoryReader
) -> None:
    first = await put(store, likes("xyzzy-one", value={"k": "xyzzy-two"}, sources=(SourceRef(id="xyzzy-three"),)))
    await change(store, first, text="xyzzy-four")
    await reader.snapshot(ALICE, "s")
    kept = {"tenant": "acme", "principal": "alice", "route": "/v1/memory", "key": "k", "digest": "d"}
    answer = {"status": 200, "media_type": None, "body": f'{{"id":"{first.id}","text":"xyzzy-one"}}'}
    await database.write_at_once([idempotency.insert().values(**kept, response=answer, created_at=store.clock())])
    gone = await forget(store, ALICE, first.id, expected_version=2)
    assert (gone.id, gone.forgotten_by) == (first.id, "alice")

    for read in (reader.get(ALICE, first.id), reader.history(ADMIN, first.id), reader.version(ALICE, first.id, 1)):
        with pytest.raises(MemoryForgotten):
            await read
    with pytest.raises(MemoryNotFound) as raised:
        await reader.get(OTHER, first.id)
    assert not isinstance(raised.value, MemoryForgotten)
    for point in ("s", first.seq):
        assert await reader.at(ALICE, point, 10) == []
    assert (await roll_back(store, ADMIN, Undo(snapshot="s"))).count == 0
    async with database.read() as connection:
        for table in (memory_versions, memory_sources, memory_records, idempotency):
            rows = (await connection.execute(select(table).where(table.c.tenant == "acme"))).all()
            assert "xyzzy" not in repr(rows)
            assert len(rows) == (1 if table is memory_records else 0)
            assert all(row.subject == "" for row in rows)


async def test_what_is_forgotten_is_not_in_the_files_either(tmp_path: Any) -> None:
    """SQLite leaves what it moves and deletes in its pages and its log, unless it is told otherwise."""
    database = await Database.open(f"sqlite:///{tmp_path}/cairn.db")
    store = MemoryStore(database)
    for number in range(60):
        await put(store, likes(f"filler {number} " + "lorem ipsum " * 20))
        if number % 10 == 0:
            secret = await put(store, likes(f"xyzzy {number}"))
            await change(store, secret, text=f"plugh {number} " + "dolor " * 200)
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert any(b"xyzzy" in path.read_bytes() for path in files)
    for version in await MemoryReader(database).list(ALICE, 100):
        if "plugh" in version.content.text:
            await forget(store, ALICE, version.id)
    found = [path.name for path in tmp_path.iterdir() for word in (b"xyzzy", b"plugh") if word in path.read_bytes()]
    await database.aclose()
    assert found == []


async def test_all_that_is_known_of_somebody_is_forgotten_at_once(store: MemoryStore, reader: MemoryReader) -> None:
    for number in range(3):
        await put(store, likes(f"mine {number}"))
    hers = await put(store, likes("hers", subject=Subject("user", "bob")), BOB)
    assert len(await forget_subject(store, ALICE, ME)) == 3
    with pytest.raises(MemoryForbidden):
        await forget_subject(store, ALICE, Subject("user", "bob"))
    assert await reader.list(ADMIN, 10) == [hers]
    assert await forget_subject(store, ALICE, ME) == []


async def test_nobody_reads_or_changes_what_is_not_for_him(store: MemoryStore, reader: MemoryReader) -> None:
    mine = await put(store, likes("mine"))
    shared = await put(store, likes("shared", acl=("public",)))
    for_staff = await put(store, likes("staff", subject=US, acl=("staff",)), BOB)
    rule = await put(store, likes("rule", subject=US, kind="rule"), ADMIN)
    assert texts(await reader.list(ALICE, 10)) == ["rule", "shared", "mine"]
    assert texts(await reader.list(BOB, 10)) == ["rule", "staff", "shared"]
    assert texts(await reader.list(ADMIN, 10)) == ["rule", "staff", "shared", "mine"]
    assert texts(await reader.at(BOB, rule.seq, 10)) == ["rule", "staff", "shared"]
    assert await reader.list(OTHER, 10) == []
    for principal, record in ((BOB, mine), (ALICE, for_staff), (OTHER, shared)):
        with pytest.raises(MemoryNotFound):
            await reader.history(principal, record.id)
        with pytest.raises(MemoryNotFound):
            await forget(store, principal, record.id)
    for principal, record in ((BOB, shared), (ALICE, rule)):
        draft = Draft(subject=record.subject, kind=record.kind, text="mine now")
        with pytest.raises(MemoryForbidden):
            await store.edit(principal, record.id, draft, expected_version=1)
        with pytest.raises(MemoryForbidden):
            await forget(store, principal, record.id)
        with pytest.raises(MemoryForbidden):
            await roll_back_record(store, principal, record.id, 1)
    with pytest.raises(MemoryForbidden):
        await put(store, likes("about alice"), BOB)


async def test_a_rule_for_others_is_proposed_unless_an_administrator_writes_it(store: MemoryStore) -> None:
    rule = await put(store, likes("be rude", subject=US, kind="rule"))
    assert rule.status == "proposed"
    with pytest.raises(MemoryForbidden):
        await store.settle(ALICE, rule.id, accept=True, expected_version=1)
    assert (await store.settle(ADMIN, rule.id, accept=True, expected_version=1)).status == "active"


@pytest.mark.parametrize(("group", "asked"), [("Staff", "staff"), ("a%", "ab"), ("a_c", "abc"), ("ab", "b")])
async def test_a_group_is_its_very_name(store: MemoryStore, reader: MemoryReader, group: str, asked: str) -> None:
    record = await put(store, likes(acl=(group,), subject=US), ADMIN)
    for first, second in ((group, asked), (asked, group)):
        one = Principal(tenant="acme", id="p", groups=frozenset({first}))
        assert (await reader.list(one, 10) == [record]) == (first == group), second


async def test_an_old_version_is_read_by_whom_the_head_is_for(store: MemoryStore, reader: MemoryReader) -> None:
    first = await put(store, likes("open", acl=("public",)))
    await change(store, first, text="closed")
    assert await reader.at(BOB, first.seq, 10) == []
    with pytest.raises(MemoryNotFound):
        await reader.version(BOB, first.id, 1)


class Drink(BaseModel):
    drink: str
    cups: int = 1


async def test_a_value_is_what_its_kind_says(database: Mortal) -> None:
    store = MemoryStore(database, schemas={"preference": Drink})
    record = await put(store, likes(value={"drink": "tea"}))
    assert record.content.value == {"drink": "tea", "cups": 1}
    for wrong in ({"cups": 2}, None):
        with pytest.raises(MemoryRefused, match="drink: Field required"):
            await put(store, likes(value=wrong))
    assert (await put(store, likes(kind="fact", value={"any": [1, None]}))).content.value == {"any": [1, None]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"text": " \n"},
        {"text": "x" * 8001},
        {"text": "half \ud83d"},
        {"value": {"a": "x" * 40_000}},
        {"value": {"a": object()}},
        {"value": {"half": "\ud83d"}},
        {"slot": ""},
        {"slot": "x" * 129},
        {"subject": Subject("user", "")},
        {"sources": tuple(SourceRef(id=str(n)) for n in range(201))},
        {"sources": (SourceRef(id="x" * 501),)},
        {"acl": ("staff",)},
        {"acl": (), "subject": US},
        {"ttl": timedelta(0)},
        {"ttl": timedelta.max},
        {"valid_from": datetime(2026, 1, 2, tzinfo=UTC), "valid_until": datetime(2026, 1, 1, tzinfo=UTC)},
        {"valid_from": datetime(2026, 1, 2)},  # noqa: DTZ001 - that is what is wrong with it
    ],
    ids=", ".join,
)
async def test_what_cannot_be_kept_is_refused(store: MemoryStore, reader: MemoryReader, wrong: dict[str, Any]) -> None:
    with pytest.raises((MemoryRefused, MemoryForbidden)):
        await put(store, likes(**wrong))
    assert await reader.list(ADMIN, 10) == []


async def test_the_longest_that_may_be_kept_comes_back_as_it_was(store: MemoryStore, reader: MemoryReader) -> None:
    draft = likes(
        "😀" * 8000,
        value={"nul": "\0", "deep": [[[1.5, None, True]]]},
        slot="s" * 128,
        sources=tuple(SourceRef(id=f"{n:03}" + "ä" * 497, version="v" * 128) for n in range(200)),
        acl=tuple(f"{n:02}" + "ß" * 126 for n in range(100)),
    )
    record = await put(store, draft, ADMIN)
    assert await reader.get(ADMIN, record.id) == record
    assert (await put(store, likes("a\0b"))).content.text == "a\ufffdb"


async def test_a_transaction_that_dies_anywhere_leaves_nothing(database: Mortal, store: MemoryStore) -> None:
    seattle = await put(store, likes("lives in Seattle", slot="city"))
    reader = MemoryReader(database)
    for statements in range(20):
        database.dies_before = statements
        with pytest.raises(ConnectionDied):
            await put(store, likes("lives in Rome", slot="city", sources=(SourceRef(id="s", trust="stated"),)))
        assert await reader.history(ALICE, seattle.id) == await reader.list(ALICE, 10) == [seattle]
    database.dies_before = None
    assert (await put(store, likes("next"))).seq == seattle.seq + 1
