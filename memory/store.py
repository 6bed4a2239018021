"""Long-term memory in the database: versions are added, never changed, and every write says what it saw."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import select

from memory import reading
from memory.access import may_change
from memory.drafting import Schemas, content_of, fingerprint, memory_source, subject_of
from memory.erasing import Eraser, Erasures
from memory.errors import MemoryConflict, MemoryForbidden, MemoryForgotten, MemoryNotFound, MemoryRefused
from memory.ledger import Clock, Operation, operation
from memory.records import Content, Draft, Kind, MemoryVersion, SourceRef, Status, Subject
from memory.rows import heads
from memory.trust import at_least, least
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal
from records.schema import memory_records as records
from records.schema import memory_versions as versions

Outcome = Literal["written", "merged", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write came to: a new record, a new version of one that says the same, or nothing."""

    version: MemoryVersion
    outcome: Outcome


class MemoryStore:
    """Writes records. What was written is read with ``memory.reading``, and taken back with ``memory.rollback``.

    Args:
        schemas: What the values of a kind must look like.
        erasers: What erases elsewhere what is forgotten.
    """

    def __init__(
        self,
        database: Database,
        *,
        schemas: Schemas | None = None,
        clock: Clock = now,
        erasers: Sequence[Eraser] = (),
    ) -> None:
        self.database = database
        self.clock = clock
        self.erasures = Erasures(database, erasers)
        self._schemas: Schemas = schemas or {}

    async def write(
        self, principal: Principal, draft: Draft, *, proposed: bool = False, record_id: str | None = None
    ) -> Written:
        """Remember something.

        What is remembered already becomes a version of the record that says so, unless it is believed more. What takes
        the slot of another record supersedes it, unless that is believed more: then it is only proposed, as is a rule
        for others by whoever is no administrator.

        Args:
            proposed: Keep it for a person to decide; until then it is not recalled.
            record_id: The id of the record, if it becomes one. A draft that was written under this id, or in its run,
                is not written again, whatever has become of it.

        Raises:
            MemoryRefused: It is not allowed to be remembered.
            MemoryForbidden: It is about another user.
            MemoryNotFound: It is derived from a record that is not there.
            MemoryForgotten: It was written under this id, and was forgotten.
        """
        subject = subject_of(draft)
        if subject.type == "user" and not may_change(principal, subject, draft.kind, ()):
            raise MemoryForbidden("what is about another user is not yours to write")
        async with operation(self.database, principal.tenant, self.clock) as work:
            lineage = await self._lineage(work, principal, draft)
            content = content_of(draft, principal, work.moment, lineage, self._schemas)
            proposed = proposed or not may_change(principal, subject, draft.kind, content.acl)
            status: Status = "proposed" if proposed else "active"
            if record_id is not None:
                before = await self._before(
                    work, principal, record_id, fingerprint(subject, draft.kind, content), draft
                )
                if before is not None:
                    return Written(version=before, outcome="unchanged")
            same = await self._same(work, subject, draft.kind, content, status)
            if same is not None:
                return await self._merge(work, same, content, status)
            rivals = await self._rivals(work, subject, draft.kind, content) if status == "active" else []
            if not all(at_least(content.trust, rival.content.trust) for rival in rivals):
                status, rivals = "proposed", []
            version = MemoryVersion(
                id=record_id or new_id(),
                version=1,
                seq=0,
                subject=subject,
                kind=draft.kind,
                status=status,
                content=content,
                change="written",
                changed_by=content.author,
                changed_run=content.run_id,
                operation=work.id,
                supersedes=tuple(rival.id for rival in rivals),
                created_at=work.moment,
            )
            written = await work.begin(version)
            await self._supersede(work, written, rivals)
        return Written(version=written, outcome="written")

    async def edit(self, principal: Principal, record_id: str, draft: Draft, *, expected_version: int) -> MemoryVersion:
        """Let a record say something else. Whom and what kind of thing it is about stays.

        Raises:
            MemoryNotFound: The principal may read no such record.
            MemoryForbidden: It may not change it.
            MemoryConflict: ``expected_version`` does not stand any more.
            MemoryRefused: As for ``write``, or it would be another kind of thing, or about somebody else.
        """
        async with operation(self.database, principal.tenant, self.clock) as work:
            head = await self.seen(work, principal, record_id, expected_version)
            if (subject_of(draft), draft.kind) != (head.subject, head.kind):
                raise MemoryRefused("a record keeps its subject and its kind; write another one")
            lineage = await self._lineage(work, principal, draft)
            content = content_of(draft, principal, work.moment, lineage, self._schemas)
            if (content.text, content.value) == (head.content.text, head.content.value):
                content = _not_anew(content, head.content)
            if not may_change(principal, head.subject, head.kind, content.acl):
                raise MemoryForbidden("you could not change it any more")
            rivals = await self._rivals(work, head.subject, head.kind, content, but=head.id)
            edited = await work.follow(
                head,
                status="active",
                content=content,
                change="edited",
                changed_by=principal.id,
                changed_run=draft.run_id,
                supersedes=tuple(rival.id for rival in rivals),
            )
            await self._supersede(work, edited, rivals)
        return edited

    async def settle(
        self, principal: Principal, record_id: str, *, accept: bool, expected_version: int
    ) -> MemoryVersion:
        """Decide what was proposed. What a person accepts supersedes what has its slot, whatever that is believed.

        Raises:
            MemoryNotFound, MemoryForbidden, MemoryConflict: As for ``edit``.
            MemoryRefused: It is not proposed.
        """
        async with operation(self.database, principal.tenant, self.clock) as work:
            head = await self.seen(work, principal, record_id, expected_version)
            if head.status != "proposed":
                raise MemoryRefused(f"it is {head.status}; only what is proposed can be decided")
            found = await self._rivals(work, head.subject, head.kind, head.content, but=head.id) if accept else []
            settled = await work.follow(
                head,
                status="active" if accept else "rejected",
                content=head.content,
                change="accepted" if accept else "rejected",
                changed_by=principal.id,
                supersedes=tuple(rival.id for rival in found),
            )
            await self._supersede(work, settled, found)
        return settled

    async def overrule(
        self,
        principal: Principal,
        record_id: str,
        by: SourceRef,
        *,
        expected_version: int | None = None,
        run_id: str | None = None,
    ) -> MemoryVersion:
        """Mark a record as superseded by what a system of record says. Rolling back that source brings it back.

        Raises:
            MemoryNotFound, MemoryForbidden, MemoryConflict: As for ``edit``.
            MemoryRefused: The source is not to be believed, or the record does not stand.
        """
        if by.trust == "untrusted":
            raise MemoryRefused("what is untrusted does not overrule a memory")
        async with operation(self.database, principal.tenant, self.clock) as work:
            head = await self.seen(work, principal, record_id, expected_version)
            if head.status != "active":
                raise MemoryRefused(f"it is {head.status} already")
            return await work.follow(
                head,
                status="superseded",
                content=head.content,
                change="superseded",
                changed_by=principal.id,
                changed_run=run_id,
                superseded_by=by.id,
                owes=[by.id],
            )

    async def seen(
        self, work: Operation, principal: Principal, record_id: str, expected_version: int | None
    ) -> MemoryVersion:
        """The head of a record that the principal may change, if it is the one that it has seen.

        Raises:
            MemoryNotFound, MemoryForbidden, MemoryConflict: As for ``edit``.
        """
        head = await reading.get_from(work.connection, principal, record_id)
        if not may_change(principal, head.subject, head.kind, head.content.acl):
            raise MemoryForbidden("you may read this record, but not change it")
        if expected_version is not None and head.version != expected_version:
            raise MemoryConflict(head)
        return head

    async def _lineage(self, work: Operation, principal: Principal, draft: Draft) -> Sequence[MemoryVersion]:
        return [await reading.get_from(work.connection, principal, each) for each in dict.fromkeys(draft.derived_from)]

    async def _before(
        self, work: Operation, principal: Principal, record_id: str, mark: str, draft: Draft
    ) -> MemoryVersion | None:
        """What an earlier attempt at a write has left: its record, or the one that it became a version of."""
        try:
            return await reading.get_from(work.connection, principal, record_id)
        except MemoryForgotten:
            raise
        except MemoryNotFound:
            is_it = (
                versions.c.tenant == work.tenant,
                versions.c.fingerprint == mark,
                versions.c.run_id == draft.run_id,
            )
            found = await work.execute(select(versions.c.record_id).where(*is_it).limit(1))
            merged = found.scalar() if draft.run_id is not None else None
        return None if merged is None else await reading.get_from(work.connection, principal, merged)

    async def _same(
        self, work: Operation, subject: Subject, kind: Kind, content: Content, status: Status
    ) -> MemoryVersion | None:
        """A record that says the same: one that stands, else one that is proposed, else one that was rejected."""
        mark = fingerprint(subject, kind, content)
        found = await work.read(
            heads(work.tenant).where(versions.c.fingerprint == mark).order_by(versions.c.seq.desc())
        )
        ranks = ("active", "proposed", "rejected") if status == "proposed" else ("active", "proposed")
        matching = [each for each in found if each.status in ranks]
        return min(matching, key=lambda each: ranks.index(each.status), default=None)

    async def _merge(self, work: Operation, same: MemoryVersion, content: Content, status: Status) -> Written:
        """Let a record that says the same stand on the newer evidence, if it is no worse."""
        if status == "proposed" and same.status != "proposed":
            return Written(version=same, outcome="unchanged")
        rises = status == "active" and same.status == "proposed"
        kept = not rises and (same.is_live(work.moment) or status == "proposed")
        if kept and not at_least(content.trust, same.content.trust):
            return Written(version=same, outcome="unchanged")
        if not rises and same.content == content:
            return Written(version=same, outcome="unchanged")
        rivals = await self._rivals(work, same.subject, same.kind, content, but=same.id) if status == "active" else []
        if not all(at_least(content.trust, rival.content.trust) for rival in rivals):
            return Written(version=same, outcome="unchanged")
        merged = await work.follow(
            same,
            status=status,
            content=content,
            change="merged",
            changed_by=content.author,
            changed_run=content.run_id,
            supersedes=tuple(rival.id for rival in rivals),
        )
        await self._supersede(work, merged, rivals)
        return Written(version=merged, outcome="merged")

    async def _rivals(
        self, work: Operation, subject: Subject, kind: Kind, content: Content, but: str | None = None
    ) -> list[MemoryVersion]:
        """The live records whose slot this content takes."""
        if content.slot is None:
            return []
        about = (records.c.subject_type == subject.type, records.c.subject == subject.id, records.c.kind == kind)
        query = heads(work.tenant).where(*about, versions.c.slot == content.slot, versions.c.status == "active")
        found = await work.read(query.order_by(versions.c.seq))
        return [
            each for each in found if each.id != but and each.content.acl == content.acl and each.is_live(work.moment)
        ]

    async def _supersede(self, work: Operation, by: MemoryVersion, rivals: Sequence[MemoryVersion]) -> None:
        for rival in rivals:
            await work.follow(
                rival,
                status="superseded",
                content=rival.content,
                change="superseded",
                changed_by=by.changed_by,
                changed_run=by.changed_run,
                superseded_by=by.id,
                # Whoever takes back what this came from gets the rival back as well.
                owes=[memory_source(by.id), *(source.id for source in by.content.sources)],
            )


def _not_anew(content: Content, old: Content) -> Content:
    """The content as of whoever said it first: to change an ACL or a time is not to say it, nor to vouch for it."""
    return replace(
        content,
        trust=least(content.trust, [old.trust]),
        sources=tuple(dict.fromkeys([*old.sources, *content.sources])),
        author=old.author,
        run_id=old.run_id,
        message_id=old.message_id,
    )
