"""What long-term memory is to do, in the simplest way: lists in memory, every rule a loop over all of them.

Records are named ``#0``, ``#1`` … in the order in which they were begun; a failure is the name of its class.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

TRUST = ["stated", "inferred", "imported", "untrusted"]
Source = tuple[str, str, str | None]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refusal(Exception):
    """The name of the failure that is expected."""


@dataclass(frozen=True)
class Who:
    """A principal."""

    id: str
    groups: frozenset[str] = frozenset()
    admin: bool = False


@dataclass(frozen=True)
class Said:
    """A draft. A source is an id, a trust and, for a record, its version."""

    subject: tuple[str, str]
    kind: str
    text: str
    slot: str | None = None
    trust: str = "stated"
    sources: tuple[Source, ...] = ()
    derived_from: tuple[str, ...] = ()
    run: str | None = None
    author: str | None = None
    ttl: timedelta | None = None
    valid_until: datetime | None = None
    acl: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Content:
    text: str
    slot: str | None
    trust: str
    sources: tuple[Source, ...]
    author: str
    run: str | None
    valid_until: datetime | None
    expires_at: datetime | None
    acl: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    record: str
    version: int
    seq: int
    moment: datetime
    status: str
    content: Content
    change: str
    changed_by: str
    changed_run: str | None = None
    restores: int | None = None
    supersedes: tuple[str, ...] = ()
    superseded_by: str | None = None
    owes: frozenset[str] = field(default=frozenset(), compare=False)
    operation: int = field(default=0, compare=False)


@dataclass
class Record:
    subject: tuple[str, str]
    kind: str
    versions: list[Version]
    forgotten: bool = False

    @property
    def head(self) -> Version:
        return self.versions[-1]


class Model:
    """A tenant's memory."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.snapshots: dict[str, int] = {}
        self.seq = 0
        self.last = EPOCH
        self.operations = 0

    def once(self, now: datetime, act: Callable[["Model", datetime], Any]) -> Any:
        """Carry out an operation: all of it, or when it fails nothing."""
        work = deepcopy(self)
        work.operations += 1
        moment = max(now, self.last + timedelta(microseconds=1))
        given = act(work, moment)
        if work.seq > self.seq:
            work.last = moment
        self.__dict__.update(work.__dict__)
        return given

    def put(self, moment: datetime, record: str, **values: Any) -> Version:
        self.seq += 1
        versions = self.records[record].versions
        content, owes = values["content"], values.pop("owes", ())
        version = Version(
            record=record,
            version=len(versions) + 1,
            seq=self.seq,
            moment=moment,
            owes=frozenset(owes) | {source for source, _, _ in content.sources},
            operation=self.operations,
            **values,
        )
        versions.append(version)
        return version

    # Who may do what

    def reads(self, who: Who, record: Record) -> bool:
        own = record.subject == ("user", who.id)
        return not record.forgotten and (who.admin or own or bool({*who.groups, "public"} & {*record.head.content.acl}))

    def changes(self, who: Who, subject: tuple[str, str], kind: str, acl: Iterable[str]) -> bool:
        if who.admin:
            return True
        if subject[0] == "user":
            return subject[1] == who.id
        return kind != "rule" and bool({*who.groups, "public"} & {*acl})

    def get(self, who: Who, name: str) -> Record:
        record = self.records.get(name)
        if record is not None and record.forgotten:
            raise Refusal("MemoryForgotten")
        if record is None or not self.reads(who, record):
            raise Refusal("MemoryNotFound")
        return record

    def seen(self, who: Who, name: str, expected: int | None) -> Record:
        record = self.get(who, name)
        if not self.changes(who, record.subject, record.kind, record.head.content.acl):
            raise Refusal("MemoryForbidden")
        if expected is not None and expected != record.head.version:
            raise Refusal("MemoryConflict")
        return record

    def live(self, version: Version, moment: datetime) -> bool:
        ends = [version.content.valid_until, version.content.expires_at]
        return version.status == "active" and all(end is None or moment < end for end in ends)

    # What is said

    def content(self, who: Who, said: Said, moment: datetime) -> Content:
        sources, trust = list(said.sources), said.trust
        for name in dict.fromkeys(said.derived_from):
            head = self.get(who, name).head
            sources += [(f"memory:{name}", head.content.trust, str(head.version)), *head.content.sources]
        for _, each, _ in sources:
            trust = max(trust, each, key=TRUST.index)
        if said.kind == "rule" and trust == "untrusted":
            raise Refusal("MemoryRefused")
        acl = said.acl
        if acl is None:
            acl = () if said.subject[0] == "user" else ("public",)
        if not who.admin and not {*acl} <= {*who.groups, "public"}:
            raise Refusal("MemoryRefused")
        return Content(
            text=said.text,
            slot=said.slot,
            trust=trust,
            sources=tuple(dict.fromkeys(sources)),
            author=said.author or who.id,
            run=said.run,
            valid_until=said.valid_until,
            expires_at=moment + said.ttl if said.ttl else None,
            acl=acl,
        )

    def rivals(self, subject: tuple[str, str], kind: str, content: Content, moment: datetime, but: str) -> list[str]:
        found = []
        for name, record in self.records.items():
            if record.forgotten or name == but or content.slot is None:
                continue
            head = record.head
            alike = (record.subject, record.kind, head.content.slot) == (subject, kind, content.slot)
            if alike and head.content.acl == content.acl and self.live(head, moment):
                found.append(name)
        return sorted(found, key=lambda name: self.records[name].head.seq)

    def supersede(self, moment: datetime, by: Version, rivals: list[str]) -> None:
        for name in rivals:
            self.put(
                moment,
                name,
                status="superseded",
                content=self.records[name].head.content,
                change="superseded",
                changed_by=by.changed_by,
                changed_run=by.changed_run,
                superseded_by=by.record,
                owes={f"memory:{by.record}", *(source for source, _, _ in by.content.sources)},
            )

    def write(self, who: Who, said: Said, moment: datetime, *, proposed: bool) -> tuple[Version, str]:
        if said.subject[0] == "user" and not self.changes(who, said.subject, said.kind, ()):
            raise Refusal("MemoryForbidden")
        content = self.content(who, said, moment)
        proposed = proposed or not self.changes(who, said.subject, said.kind, content.acl)
        for wanted in ("active", "proposed", *(["rejected"] if proposed else [])):
            heads = [(name, record.head) for name, record in self.records.items() if not record.forgotten]
            same = [
                head
                for name, head in heads
                if head.status == wanted
                and (self.records[name].subject, self.records[name].kind) == (said.subject, said.kind)
                and (head.content.text, head.content.slot, head.content.acl) == (said.text, said.slot, content.acl)
            ]
            if same:
                return self.merge(max(same, key=lambda head: head.seq), said, content, moment, proposed=proposed)
        rivals = [] if proposed else self.rivals(said.subject, said.kind, content, moment, "")
        if any(self.more(self.records[name].head.content.trust, content.trust) for name in rivals):
            proposed, rivals = True, []
        name = f"#{len(self.records)}"
        self.records[name] = Record(said.subject, said.kind, [])
        version = self.put(
            moment,
            name,
            status="proposed" if proposed else "active",
            content=content,
            change="written",
            changed_by=content.author,
            changed_run=content.run,
            supersedes=tuple(rivals),
        )
        self.supersede(moment, version, rivals)
        return version, "written"

    def merge(
        self, head: Version, said: Said, content: Content, moment: datetime, *, proposed: bool
    ) -> tuple[Version, str]:
        unchanged = head, "unchanged"
        if proposed and head.status != "proposed":
            return unchanged
        settles = not proposed and head.status == "proposed"
        if not settles:
            stands = proposed or self.live(head, moment)
            if head.content == content or (stands and self.more(head.content.trust, content.trust)):
                return unchanged
        rivals = [] if proposed else self.rivals(said.subject, said.kind, content, moment, head.record)
        if any(self.more(self.records[name].head.content.trust, content.trust) for name in rivals):
            return unchanged
        version = self.put(
            moment,
            head.record,
            status="proposed" if proposed else "active",
            content=content,
            change="merged",
            changed_by=content.author,
            changed_run=content.run,
            supersedes=tuple(rivals),
        )
        self.supersede(moment, version, rivals)
        return version, "merged"

    def more(self, one: str, other: str) -> bool:
        return TRUST.index(one) < TRUST.index(other)

    def edit(self, who: Who, name: str, said: Said, expected: int, moment: datetime) -> Version:
        record = self.seen(who, name, expected)
        if (said.subject, said.kind) != (record.subject, record.kind):
            raise Refusal("MemoryRefused")
        content = self.content(who, said, moment)
        old = record.head.content
        if content.text == old.text:
            content = replace(
                content,
                trust=max(content.trust, old.trust, key=TRUST.index),
                sources=tuple(dict.fromkeys([*old.sources, *content.sources])),
                author=old.author,
                run=old.run,
            )
        if not self.changes(who, record.subject, record.kind, content.acl):
            raise Refusal("MemoryForbidden")
        rivals = self.rivals(record.subject, record.kind, content, moment, name)
        version = self.put(
            moment,
            name,
            status="active",
            content=content,
            change="edited",
            changed_by=who.id,
            changed_run=said.run,
            supersedes=tuple(rivals),
        )
        self.supersede(moment, version, rivals)
        return version

    def settle(self, who: Who, name: str, expected: int, moment: datetime, *, accept: bool) -> Version:
        record = self.seen(who, name, expected)
        if record.head.status != "proposed":
            raise Refusal("MemoryRefused")
        content = record.head.content
        rivals = self.rivals(record.subject, record.kind, content, moment, name) if accept else []
        version = self.put(
            moment,
            name,
            status="active" if accept else "rejected",
            content=content,
            change="accepted" if accept else "rejected",
            changed_by=who.id,
            supersedes=tuple(rivals),
        )
        self.supersede(moment, version, rivals)
        return version

    # What is taken back

    def restore(self, who: Who, name: str, target: Version | None, moment: datetime) -> bool:
        head = self.records[name].head
        if target is None:
            if head.status == "retracted":
                return False
            state: dict[str, Any] = {"status": "retracted", "content": head.content, "restores": 0}
        else:
            state = {"status": target.status, "content": target.content, "superseded_by": target.superseded_by}
            if all(getattr(head, field) == value for field, value in state.items()):
                return False
            state |= {"restores": target.version, "owes": target.owes}
        self.put(moment, name, change="rolled_back", changed_by=who.id, **state)
        return True

    def roll_back(self, who: Who, undone: Callable[[Version], bool], moment: datetime) -> list[str]:
        done = []
        for name, record in self.records.items():
            if record.forgotten or not undone(record.head):
                continue
            if not self.changes(who, record.subject, record.kind, record.head.content.acl):
                continue
            before = [version for version in record.versions if not undone(version)]
            if self.restore(who, name, before[-1] if before else None, moment):
                done.append(name)
        return done

    def roll_back_record(self, who: Who, name: str, to: int, expected: int | None, moment: datetime) -> list[str]:
        record = self.seen(who, name, expected)
        if not 0 < to <= len(record.versions):
            raise Refusal("MemoryRefused")
        return [name] if self.restore(who, name, record.versions[to - 1], moment) else []

    def forget(self, who: Who, name: str, expected: int | None) -> str:
        record = self.seen(who, name, expected)
        record.versions = []
        record.forgotten = True
        return name

    # What is read

    def at(self, who: Who, until: Callable[[Version], bool]) -> list[Version]:
        found = []
        for record in self.records.values():
            stood = [version for version in record.versions if until(version)]
            if stood and self.reads(who, record):
                found.append(stood[-1])
        return found[::-1]
