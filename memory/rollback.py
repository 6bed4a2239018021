"""Taking back what was written: by new versions, so that this can be taken back as well."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select

from memory.access import may_change
from memory.errors import MemoryRefused
from memory.ledger import Operation, following, operation
from memory.reading import snapshot_seq
from memory.records import MemoryVersion
from memory.rows import every, heads
from memory.store import MemoryStore
from records.principal import Principal
from records.schema import memory_records as records
from records.schema import memory_sources as sources
from records.schema import memory_versions as versions

SHOWN = 1000
"""Records that are told of one by one, at most."""

_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """The versions that are to be taken back: those for which all that is given holds.

    Attributes:
        source: What they, or what they came from, were taken from.
        run: The run that they, or what they say, came from.
        author: Whose words they are, or who made them.
        since: Written then or later; alone, everything goes back to what stood before.
        until: Written before then.
        snapshot: Written after it was taken; alone, everything goes back to it.
        operation: Written at once; takes back a rollback, too.
    """

    source: str | None = None
    run: str | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    snapshot: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """What becomes of one record.

    Attributes:
        head: What stands, or stood.
        target: The version that it goes back to; None: there was none, and it is retracted.
    """

    head: MemoryVersion
    target: MemoryVersion | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What a rollback came to, or would come to.

    Attributes:
        operation: With ``Undo(operation=…)`` it can be taken back itself; None where nothing was written.
        count: How many records it concerns.
        reversals: The first ``SHOWN`` of them, the oldest record first.
    """

    operation: str | None
    count: int
    reversals: Sequence[Reversal]


async def roll_back(store: MemoryStore, principal: Principal, undo: Undo, *, dry_run: bool = False) -> Rollback:
    """Let every record whose head is among the versions go back to the last version before that is not.

    Only what the principal may change goes back. What was forgotten stays so.

    Args:
        dry_run: Only say what would change.

    Raises:
        MemoryRefused: Nothing is given that says which versions.
        SnapshotNotFound: There is no such snapshot.
    """
    if undo == Undo() or "" in (undo.source, undo.run, undo.author, undo.snapshot, undo.operation):
        raise MemoryRefused("say what to take back: a source, a run, an author, a time, a snapshot or an operation")
    count, shown = 0, list[Reversal]()
    async with operation(store.database, principal.tenant, store.clock) as work:
        undone = await _undone(work, undo)
        async for some in _plan(work, principal, undone):
            count += len(some)
            shown += some[: SHOWN - len(shown)]
            if not dry_run:
                await _apply(work, principal, some)
    return Rollback(operation=work.id if count and not dry_run else None, count=count, reversals=shown)


async def roll_back_record(
    store: MemoryStore,
    principal: Principal,
    record_id: str,
    to_version: int,
    *,
    expected_version: int | None = None,
    dry_run: bool = False,
) -> Rollback:
    """Let one record go back to one of its versions.

    Raises:
        MemoryNotFound: The principal may read no such record.
        MemoryForbidden: It may not change it.
        MemoryConflict: ``expected_version`` does not stand any more.
        MemoryRefused: It has no such version.
    """
    async with operation(store.database, principal.tenant, store.clock) as work:
        head = await store.seen(work, principal, record_id, expected_version)
        target = versions.c.version == to_version
        found = await work.read(every(work.tenant).where(records.c.id == record_id, target))
        if not found:
            raise MemoryRefused(f"the record has no version {to_version}; its last is {head.version}")
        reversals = [each for each in [Reversal(head=head, target=found[0])] if _changes(each)]
        if reversals and not dry_run:
            await _apply(work, principal, reversals)
    done = work.id if reversals and not dry_run else None
    return Rollback(operation=done, count=len(reversals), reversals=reversals)


async def _undone(work: Operation, undo: Undo) -> ColumnElement[bool]:
    """The condition for the versions that are taken back. It is never unknown, so that it can be turned round."""
    columns = versions.c
    wanted: list[ColumnElement[bool]] = []
    if undo.source is not None:
        wanted.append(_owes(work.tenant, undo.source))
    if undo.run is not None:
        ran = (func.coalesce(column, "") == undo.run for column in (columns.run_id, columns.changed_run))
        wanted.append(or_(*ran))
    if undo.author is not None:
        wanted.append(or_(columns.author == undo.author, columns.changed_by == undo.author))
    if undo.since is not None:
        wanted.append(columns.created_at >= undo.since)
    if undo.until is not None:
        wanted.append(columns.created_at < undo.until)
    if undo.snapshot is not None:
        wanted.append(columns.seq > await snapshot_seq(work.connection, work.tenant, undo.snapshot))
    if undo.operation is not None:
        wanted.append(columns.operation == undo.operation)
    return and_(*wanted)


def _owes(tenant: str, source: str) -> ColumnElement[bool]:
    mine = (sources.c.tenant == tenant, sources.c.source == source)
    this = (sources.c.record_id == versions.c.record_id, sources.c.version == versions.c.version)
    return exists().where(*mine, *this).correlate(versions)


async def _plan(work: Operation, principal: Principal, undone: ColumnElement[bool]) -> AsyncIterator[list[Reversal]]:
    """What becomes of each record, the oldest first, some at a time."""
    query = heads(work.tenant).where(undone).order_by(records.c.id).with_only_columns(records.c.id)
    ids = iter((await work.execute(query)).scalars().all())
    while some := list(islice(ids, _AT_ONCE)):
        standing, targets = await work.heads(some), await _targets(work, some, undone)
        reversals = [Reversal(head=standing[each], target=targets.get(each)) for each in some]
        if meant := [each for each in reversals if _changes(each) and _may_change(principal, each.head)]:
            yield meant


def _may_change(principal: Principal, head: MemoryVersion) -> bool:
    return may_change(principal, head.subject, head.kind, head.content.acl)


async def _targets(work: Operation, ids: Sequence[str], undone: ColumnElement[bool]) -> dict[str, MemoryVersion]:
    """The last version of each record that is not taken back, where there is one."""
    among = (versions.c.tenant == work.tenant, versions.c.record_id.in_(ids))
    last = select(func.max(versions.c.seq)).where(*among, not_(undone)).group_by(versions.c.record_id)
    seqs = (await work.execute(last)).scalars().all()
    return {version.id: version for version in await work.read(every(work.tenant).where(versions.c.seq.in_(seqs)))}


def _changes(reversal: Reversal) -> bool:
    if reversal.target is None:
        return reversal.head.status != "retracted"
    return not reversal.head.says_as(reversal.target)


async def _apply(work: Operation, principal: Principal, reversals: Sequence[Reversal]) -> None:
    ids = [reversal.head.id for reversal in reversals]
    owed = select(sources).where(sources.c.tenant == work.tenant, sources.c.record_id.in_(ids))
    owes: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in await work.execute(owed):
        owes[row.record_id, row.version].append(row.source)
    # What the version owed beside its content, it owes again: that something else took its place.
    await work.follow_all(
        [
            (_reversed(each, principal), owes[each.head.id, each.target.version if each.target else 0])
            for each in reversals
        ]
    )


def _reversed(reversal: Reversal, principal: Principal) -> MemoryVersion:
    head, target = reversal.head, reversal.target
    return following(
        head,
        status="retracted" if target is None else target.status,
        content=head.content if target is None else target.content,
        change="rolled_back",
        changed_by=principal.id,
        restores=0 if target is None else target.version,
        superseded_by=None if target is None else target.superseded_by,
    )
