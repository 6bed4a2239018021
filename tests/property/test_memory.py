"""Long-term memory against a model of it: whatever happens, in whatever order, both have the same history.

A history is drawn from its number: writers who know what stands and writers who do not, duplicates and contradictions,
edits, decisions, rollbacks of everything and of rollbacks, snapshots, expiries, erasures, and connections that die in
the middle of any of them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from memory.errors import MemoryStoreError
from memory.forgetting import forget
from memory.reading import Filter, MemoryReader
from memory.records import Draft, MemoryVersion, SourceRef, Subject
from memory.rollback import Undo, roll_back, roll_back_record
from memory.store import MemoryStore
from records.principal import Principal
from tests.support.memory import ConnectionDied, Databases, Hands, Mortal
from tests.support.memory_model import Content, Model, Refusal, Said, Version, Who

QUICK, ALL = 12, 500
STEPS = 30
PEOPLE = (Who("alice"), Who("bob", frozenset({"staff"})), Who("root", admin=True))
SOURCES = (("page", "untrusted", None), ("handbook", "imported", None), ("crm", "stated", None))
Step = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with Databases(tmp_path_factory.mktemp("databases")) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Mortal]:
    opened = await Mortal.open(await databases.url(request.param, tmp_path))
    yield cast("Mortal", opened)
    await opened.aclose()


class History:
    """One history, of one tenant: what is drawn is done to the memory and to its model."""

    def __init__(self, database: Mortal, seed: int) -> None:
        self.random = Random(seed)
        self.database = database
        self.tenant = f"t{seed}"
        self.hands = Hands()
        self.store = MemoryStore(database, clock=self.hands)
        self.reader = MemoryReader(database, self.hands)
        self.model = Model()
        self.ids: list[str] = []
        self.operations: list[tuple[str, int]] = []
        self.seen: set[str] = set()

    async def unfold(self) -> None:
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (10, self.write),
            (6, self.edit),
            (3, self.settle),
            (4, self.take_back),
            (2, self.go_back),
            (1, self.forget),
            (1, self.snapshot),
            (3, self.move),
        ]
        for _ in range(STEPS):
            [step] = self.random.choices([step for _, step in steps], [weight for weight, _ in steps])
            await step()
        await self.compare()

    # What is drawn

    def who(self) -> Who:
        return self.random.choice([PEOPLE[0], *PEOPLE])

    def principal(self, who: Who) -> Principal:
        scopes: Any = frozenset({"admin"} if who.admin else ())
        return Principal(tenant=self.tenant, id=who.id, groups=who.groups, scopes=scopes)

    def name(self) -> str:
        """A record; now and then one that is not there."""
        known = [*self.model.records, "#99"] if self.random.random() < 0.05 else list(self.model.records)
        return self.random.choice(known or ["#99"])

    def said(self, **fixed: Any) -> Said:
        draw = self.random
        given: dict[str, Any] = {
            # Drawn so that many say the same, or something else for the same slot.
            "subject": draw.choice([*[("user", "alice")] * 3, ("user", "bob"), ("tenant", ""), ("entity", "order-1")]),
            "kind": draw.choice(["fact", "fact", "fact", "preference", "rule"]),
            "text": draw.choice(["likes tea", "likes coffee", "never call"]),
            "slot": draw.choice([None, "drink", "drink"]),
            "trust": draw.choice(["stated", "stated", "stated", "inferred", "imported", "untrusted"]),
            "sources": tuple(draw.sample(SOURCES, draw.choice([0, 0, 0, 1, 2]))),
            "derived_from": (self.name(),) if draw.random() < 0.15 else (),
            "run": draw.choice([None, "r1", "r2"]),
            "author": draw.choice([None, None, "agent"]),
            "ttl": draw.choice([None, None, None, timedelta(hours=2)]),
            "valid_until": draw.choice([None, None, None, self.hands.moment + timedelta(hours=3)]),
            "acl": draw.choice([None, None, None, None, ("public",), ("staff",)]),
        }
        return Said(**(given | fixed))

    def draft(self, said: Said) -> Draft:
        return Draft(
            subject=Subject(cast("Any", said.subject[0]), said.subject[1]),
            kind=cast("Any", said.kind),
            text=said.text,
            slot=said.slot,
            trust=cast("Any", said.trust),
            sources=tuple(SourceRef(id=source, trust=cast("Any", trust)) for source, trust, _ in said.sources),
            derived_from=tuple(self.real(name) for name in said.derived_from),
            run_id=said.run,
            author=said.author,
            ttl=said.ttl,
            valid_until=said.valid_until,
            acl=said.acl,
        )

    def expected(self, name: str) -> int:
        """The version that stands; now and then another."""
        record = self.model.records.get(name)
        standing = record.versions[-1].version if record is not None and record.versions else 1
        return max(1, standing - 1) if self.random.random() < 0.2 else standing

    # What is done

    async def both(self, real: Callable[[], Awaitable[Any]], model: Callable[[Model, Any], Any]) -> Any:
        """Do it to both, after a connection or two has died over it; they must come to the same."""
        try:
            wanted = self.model.once(self.hands.moment, model)
        except Refusal as refusal:
            wanted = str(refusal)
        while self.random.random() < 0.1:
            self.database.dies_before = self.random.randrange(12)
            with pytest.raises((ConnectionDied, MemoryStoreError)):
                await real()
            self.database.dies_before = None
            self.seen.add("died")
        try:
            given = await real()
        except MemoryStoreError as error:
            given = type(error).__name__
        if isinstance(wanted, str) or isinstance(given, str):
            assert given == wanted
            self.seen.add(wanted)
            return None
        self.seen.add("done")
        return given, wanted

    async def write(self) -> None:
        who, said, proposed = self.who(), self.said(), self.random.random() < 0.25
        came = await self.both(
            lambda: self.store.write(self.principal(who), self.draft(said), proposed=proposed),
            lambda model, moment: model.write(who, said, moment, proposed=proposed),
        )
        if came is None:
            return
        given, (version, outcome) = came
        if outcome == "written":
            self.ids.append(given.version.id)
        assert given.outcome == outcome
        assert self.plain(given.version) == version
        self.seen.add(outcome)

    async def edit(self) -> None:
        who, name = self.who(), self.name()
        record, expected = self.model.records.get(name), self.expected(name)
        fixed = {} if record is None or self.random.random() < 0.1 else {"subject": record.subject, "kind": record.kind}
        said = self.said(**fixed)
        came = await self.both(
            lambda: self.store.edit(self.principal(who), self.real(name), self.draft(said), expected_version=expected),
            lambda model, moment: model.edit(who, name, said, expected, moment),
        )
        if came is not None:
            assert self.plain(came[0]) == came[1]

    async def settle(self) -> None:
        proposed = [n for n, r in self.model.records.items() if r.versions and r.head.status == "proposed"]
        who, name = self.who(), self.random.choice(proposed) if proposed else self.name()
        expected, accept = self.expected(name), self.random.random() < 0.6
        came = await self.both(
            lambda: self.store.settle(self.principal(who), self.real(name), accept=accept, expected_version=expected),
            lambda model, moment: model.settle(who, name, expected, moment, accept=accept),
        )
        if came is not None:
            assert self.plain(came[0]) == came[1]
            self.seen.add("settled")

    async def take_back(self) -> None:
        who, (undo, undone) = self.who(), self.undo()
        principal = self.principal(who)
        planned = await roll_back(self.store, principal, undo, dry_run=True)
        came = await self.both(
            lambda: roll_back(self.store, principal, undo),
            lambda model, moment: (model.roll_back(who, undone, moment), model.operations),
        )
        given, (names, number) = came
        assert given.reversals == planned.reversals
        assert [self.names[each.head.id] for each in given.reversals] == names
        assert (given.count, given.operation is None) == (len(names), not names)
        if given.operation is not None:
            self.operations.append((given.operation, number))
            self.seen.add("taken back")

    def undo(self) -> tuple[Undo, Callable[[Version], bool]]:
        draw = self.random
        source, run, author = draw.choice(SOURCES)[0], draw.choice(["r1", "r2"]), draw.choice(["agent", "alice"])
        since = self.hands.moment - timedelta(minutes=draw.randrange(240))
        until = since + timedelta(minutes=draw.randrange(240))
        choices: list[tuple[Undo, Callable[[Version], bool]]] = [
            (Undo(source=source), lambda v: source in v.owes),
            (Undo(run=run), lambda v: run in (v.content.run, v.changed_run)),
            (Undo(author=author), lambda v: author in (v.content.author, v.changed_by)),
            (Undo(since=since), lambda v: v.moment >= since),
            (Undo(since=since, until=until), lambda v: since <= v.moment < until),
            (
                Undo(author=author, since=since),
                lambda v: author in (v.content.author, v.changed_by) and v.moment >= since,
            ),
        ]
        if self.model.snapshots:
            name = draw.choice(sorted(self.model.snapshots))
            choices.append((Undo(snapshot=name), lambda v: v.seq > self.model.snapshots[name]))
        if self.operations:
            operation, number = draw.choice(self.operations)
            choices += [(Undo(operation=operation), lambda v: v.operation == number)] * 2
        return draw.choice(choices)

    async def go_back(self) -> None:
        who, name = self.who(), self.name()
        expected = self.random.choice([None, self.expected(name)])
        to = self.random.randint(1, self.expected(name) + 1)
        came = await self.both(
            lambda: roll_back_record(self.store, self.principal(who), self.real(name), to, expected_version=expected),
            lambda model, moment: model.roll_back_record(who, name, to, expected, moment),
        )
        if came is not None:
            assert came[0].count == len(came[1])

    async def forget(self) -> None:
        who, name = self.who(), self.name()
        expected = self.expected(name)
        came = await self.both(
            lambda: forget(self.store, self.principal(who), self.real(name), expected_version=expected),
            lambda model, _: [model.forget(who, name, expected)],
        )
        self.seen |= {"forgotten"} if came is not None else set()

    async def snapshot(self) -> None:
        name = f"s{len(self.model.snapshots)}"
        taken = await self.reader.snapshot(self.principal(self.who()), name)
        assert taken.seq == self.model.seq
        self.model.snapshots[name] = taken.seq

    async def move(self) -> None:
        # Now and then the clock of whoever writes is behind.
        self.hands.move(minutes=self.random.choice([1, 30, 90, -10]))

    # What is compared

    @property
    def names(self) -> dict[str, str]:
        return {real: f"#{number}" for number, real in enumerate(self.ids)}

    def real(self, name: str) -> str:
        number = int(name[1:])
        return self.ids[number] if number < len(self.ids) else "nothing"

    def plain(self, version: MemoryVersion) -> Version:
        """A version as the model has it."""
        names, content = self.names, version.content

        def named(source: str) -> str:
            kind, _, record = source.rpartition(":")
            return f"{kind}:{names[record]}" if kind else source

        return Version(
            record=names[version.id],
            version=version.version,
            seq=version.seq,
            moment=version.created_at,
            status=version.status,
            content=Content(
                text=content.text,
                slot=content.slot,
                trust=content.trust,
                sources=tuple((named(source.id), source.trust, source.version) for source in content.sources),
                author=content.author,
                run=content.run_id,
                valid_until=content.valid_until,
                expires_at=content.expires_at,
                acl=content.acl,
            ),
            change=version.change,
            changed_by=version.changed_by,
            changed_run=version.changed_run,
            restores=version.restores,
            supersedes=tuple(names[each] for each in version.supersedes),
            superseded_by=names.get(version.superseded_by or "", version.superseded_by),
        )

    async def compare(self) -> None:
        """Everything that can be read is what the model has."""
        for who in PEOPLE:
            principal = self.principal(who)
            readable = {name: r for name, r in self.model.records.items() if self.model.reads(who, r)}
            found = [self.plain(each) for each in await self.reader.list(principal, 100)]
            assert found == [record.head for record in readable.values()][::-1]
            lived = await self.reader.list(principal, 100, where=Filter(live_at=self.hands.moment))
            assert [self.plain(each) for each in lived] == [
                head for head in found if self.model.live(head, self.hands.moment)
            ]
            await self.compare_past(who)
        for name, record in self.model.records.items():
            if not record.forgotten:
                history = await self.reader.history(self.principal(PEOPLE[-1]), self.real(name))
                assert [self.plain(each) for each in history] == record.versions[::-1]
            self.seen |= {"supersedes" for version in record.versions if version.supersedes}

    async def compare_past(self, who: Who) -> None:
        seq = self.random.randint(0, self.model.seq)
        moment = self.hands.moment - timedelta(minutes=self.random.randrange(300))
        points: list[tuple[Any, Callable[[Version], bool]]] = [
            (seq, lambda v: v.seq <= seq),
            (moment, lambda v: v.moment <= moment),
            *((name, lambda v, last=last: v.seq <= last) for name, last in list(self.model.snapshots.items())[:1]),
        ]
        for point, until in points:
            stood = await self.reader.at(self.principal(who), point, 100)
            assert [self.plain(each) for each in stood] == self.model.at(who, until)


async def unfold(database: Mortal, seeds: range) -> set[str]:
    seen: set[str] = set()
    for seed in seeds:
        history = History(database, seed)
        try:
            await history.unfold()
        except AssertionError as error:
            error.add_note(f"history {seed}")
            raise
        seen |= history.seen
    return seen


async def test_memory_has_the_history_that_its_model_has(database: Mortal) -> None:
    seen = await unfold(database, range(QUICK))
    # What no history has come to has not been compared.
    failures = {"MemoryConflict", "MemoryForbidden", "MemoryForgotten", "MemoryNotFound", "MemoryRefused"}
    outcomes = {"written", "merged", "unchanged", "supersedes", "settled", "taken back", "forgotten", "died", "done"}
    assert seen == failures | outcomes


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_memory_has_the_history_that_its_model_has_500_times(database: Mortal) -> None:
    await unfold(database, range(QUICK, ALL))


async def test_of_writers_at_once_each_is_in_one_place_of_one_history(database: Mortal) -> None:
    """What came of concurrent edits is what comes of the same edits one after the other, in the order they tell."""
    store, reader, principal = MemoryStore(database), MemoryReader(database), Principal(tenant="crowd", id="alice")
    draft = Draft(subject=Subject("user", "alice"), kind="fact", text="0")
    first = (await store.write(principal, draft)).version

    async def count() -> int:
        conflicts = 0
        for _ in range(5):
            while True:
                head = await reader.get(principal, first.id)
                more = Draft(subject=first.subject, kind="fact", text=str(int(head.content.text) + 1))
                try:
                    await store.edit(principal, first.id, more, expected_version=head.version)
                except MemoryStoreError:
                    conflicts += 1
                else:
                    break
        return conflicts

    conflicts = await asyncio.gather(*(count() for _ in range(6)))
    history = await reader.history(principal, first.id)
    assert [(each.version, each.seq, each.content.text) for each in history] == [
        (number, number, str(number - 1)) for number in range(31, 0, -1)
    ]
    assert sum(conflicts) > 0
