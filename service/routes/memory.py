"""Long-term memory: what is remembered, how it came about, taking it back and forgetting it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from memory.comparing import differences
from memory.errors import MemoryConflict
from memory.memory import Memory
from memory.reading import Filter
from memory.records import Kind, Status, Subject, SubjectType
from memory.rollback import Undo, roll_back, roll_back_record
from memory.transfer import export, take_over
from records.principal import Principal
from service.idempotency import IdempotentRoute
from service.openapi import problems
from service.problems import ProblemError
from service.routes.context import (
    Cursor,
    Limit,
    PrincipalDep,
    ServicesDep,
    decode_cursor,
    encode_cursor,
    forbidden,
    invalid_cursor,
    needs,
)
from service.schemas.memory import (
    DifferenceBody,
    ImportBody,
    ImportedBody,
    ImportRequest,
    MemoryBody,
    MemoryDecision,
    MemoryDiff,
    MemoryEdit,
    MemoryHistory,
    MemoryList,
    MemoryRequest,
    MemoryWritten,
    RecallBody,
    RecalledBody,
    RecallRequest,
    RecordRollbackRequest,
    RollbackBody,
    RollbackRequest,
    SnapshotBody,
    SnapshotList,
    SnapshotRequest,
    SubjectForgotten,
    Version,
    export_line,
    memory_body,
    rollback_body,
)

router = APIRouter(prefix="/v1/memory", route_class=IdempotentRoute, tags=["memory"])

_READ, _WRITE = [needs("memory:read")], [needs("memory:write")]
_MOST_DIGITS = 9
_NDJSON = "application/x-ndjson"


@router.post("", status_code=201, dependencies=_WRITE, responses=problems(403, 404, 422))
async def remember(body: MemoryRequest, services: ServicesDep, principal: PrincipalDep) -> MemoryWritten:
    """Remember something.

    What is remembered already is not written twice, what takes a `slot` supersedes what had it. What is believed less
    than that is only `proposed`, and so is a rule for others unless an administrator writes it.
    """
    written = await services.memory.store.write(principal, body.asked_by(principal))
    return MemoryWritten(**memory_body(written.version), outcome=written.outcome)


@router.get("", dependencies=_READ, responses=problems(400, 404, 422))
async def list_memory(
    services: ServicesDep,
    principal: PrincipalDep,
    subject_type: SubjectType | None = None,
    subject: Annotated[
        str, Query(max_length=128, description="With `subject_type`: its id; of a user the one who asks, if absent.")
    ] = "",
    kind: Kind | None = None,
    status: Status | None = None,
    at: Annotated[AwareDatetime | None, Query(description="What stood then.")] = None,
    snapshot: Annotated[str | None, Query(max_length=128, description="What stood when it was taken.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MemoryList:
    """What you may read, the newest first: as it stands, or as it stood."""
    if (subject and subject_type is None) or (at is not None and snapshot is not None):
        detail = "a subject has a subject_type, and what stood is asked for by a time or by a snapshot"
        raise ProblemError(422, "invalid_request", detail)
    whose = subject or (principal.id if subject_type == "user" else "")
    about = None if subject_type is None else Subject(subject_type, whose)
    where = Filter(subject=about, kind=kind, status=status)
    before = None if cursor is None else decode_cursor(cursor, 1)[0]
    reader, point = services.memory.reader, at or snapshot
    if point is None:
        found = await reader.list(principal, limit + 1, where=where, before=before)
    else:
        found = await reader.at(principal, point, limit + 1, where=where, before=before)
    items = [MemoryBody(**memory_body(version)) for version in found[:limit]]
    return MemoryList(items=items, next_cursor=encode_cursor(items[-1].id) if len(found) > limit else None)


@router.delete("", dependencies=_WRITE, responses=problems(403, 409, 422))
async def forget_subject(
    services: ServicesDep,
    principal: PrincipalDep,
    subject_type: SubjectType,
    subject: Annotated[str, Query(max_length=128, description="Its id; for `user` whoever asks, if absent.")] = "",
    sessions: Annotated[bool, Query(description="The user's sessions, too.")] = False,  # noqa: FBT002 - a query's
    cancel: Annotated[bool, Query(description="Stop what goes on in them first.")] = False,  # noqa: FBT002
) -> SubjectForgotten:
    """Forget for real all that is known about somebody or something, and that you may change."""
    user = subject_type == "user"
    about = Subject(subject_type, (subject or principal.id) if user else subject)
    if sessions and not user:
        raise ProblemError(422, "invalid_request", "only a user has sessions")
    if sessions and not principal.may("chat"):
        raise forbidden("chat")
    if user and about.id != principal.id and not principal.reads_all:
        raise ProblemError(403, "memory_forbidden", "what is known about another user is not yours to forget")
    # First: where one is in use, nothing is forgotten yet.
    deleted = await services.session_deletion.delete_all(principal, about.id, cancel=cancel) if sessions else 0
    forgotten = await services.memory.forget_subject(principal, about)
    return SubjectForgotten(records=len(forgotten), sessions=deleted)


@router.get("/snapshots", dependencies=_READ, responses=problems())
async def list_snapshots(services: ServicesDep, principal: PrincipalDep) -> SnapshotList:
    """The tenant's snapshots."""
    found = await services.memory.reader.snapshots(principal)
    return SnapshotList(
        items=[SnapshotBody(name=each.name, taken_by=each.taken_by, created_at=each.created_at) for each in found]
    )


@router.post("/snapshots", status_code=201, dependencies=_WRITE, responses=problems(409, 422))
async def take_snapshot(body: SnapshotRequest, services: ServicesDep, principal: PrincipalDep) -> SnapshotBody:
    """Give what the tenant remembers now a name, to read it or to go back to it later. It copies nothing."""
    taken = await services.memory.reader.snapshot(principal, body.name)
    return SnapshotBody(name=taken.name, taken_by=taken.taken_by, created_at=taken.created_at)


@router.get(
    "/export",
    dependencies=_READ,
    response_class=StreamingResponse,
    responses={200: {"content": {_NDJSON: {"schema": {"type": "string"}}}}, **problems()},
)
async def export_memory(services: ServicesDep, principal: PrincipalDep) -> StreamingResponse:
    """All that you may read and that stands, a line of JSON each, as an import takes it."""
    return StreamingResponse(_lines(services.memory, principal), media_type=_NDJSON)


@router.post("/recall", dependencies=_READ, responses=problems(422, 503))
async def recall_memory(body: RecallRequest, services: ServicesDep, principal: PrincipalDep) -> RecallBody:
    """What matters for a question, of what is remembered about you, your tenant and what your groups may read."""
    found = await services.memory.recall(principal, body.question, body.budget)
    return RecallBody(
        items=[
            RecalledBody(**memory_body(each.version), score=each.score, relevance=each.relevance, recency=each.recency)
            for each in found
        ]
    )


@router.post("/import", dependencies=_WRITE, responses=problems(422))
async def import_memory(body: ImportRequest, services: ServicesDep, principal: PrincipalDep) -> ImportBody:
    """Remember what was exported elsewhere, each by itself. Nothing of it is believed more than `imported`."""
    taken = await take_over(services.memory, principal, [item.asked_by(principal) for item in body.items])
    return ImportBody(items=[ImportedBody(outcome=each.outcome, id=each.id, reason=each.reason) for each in taken])


@router.post("/rollback", dependencies=_WRITE, responses=problems(404, 422))
async def roll_memory_back(body: RollbackRequest, services: ServicesDep, principal: PrincipalDep) -> RollbackBody:
    """Take back what came from a source, a run, an author or a time, or all since a snapshot, by new versions.

    Every record whose head is among it goes back to its last version that is not, or is retracted. It concerns what you
    may change; for the whole tenant it takes an administrator.
    """
    undo = Undo(**body.model_dump(exclude={"dry_run"}))
    done = await roll_back(services.memory.store, principal, undo, dry_run=body.dry_run)
    return rollback_body(done, dry_run=body.dry_run)


@router.get("/{memory_id}", dependencies=_READ, responses=problems(404, 410))
async def get_memory(
    memory_id: str, services: ServicesDep, principal: PrincipalDep, version: Version | None = None
) -> MemoryBody:
    """A record as it stands, or one of its versions."""
    reader = services.memory.reader
    if version is None:
        return MemoryBody(**memory_body(await reader.get(principal, memory_id)))
    return MemoryBody(**memory_body(await reader.version(principal, memory_id, version)))


@router.put("/{memory_id}", dependencies=_WRITE, responses=problems(403, 404, 409, 410, 422))
async def edit_memory(memory_id: str, body: MemoryEdit, services: ServicesDep, principal: PrincipalDep) -> MemoryBody:
    """Let a record say something else: all of it, by a new version.

    Whoever has not seen the version that stands is answered with 409 and that version, in `memory`.
    """
    head = await services.memory.reader.get(principal, memory_id)
    draft = body.draft(head.subject, head.kind)
    with _conflicts():
        store = services.memory.store
        edited = await store.edit(principal, memory_id, draft, expected_version=body.expected_version)
    return MemoryBody(**memory_body(edited))


@router.delete("/{memory_id}", status_code=204, dependencies=_WRITE, responses=problems(403, 404, 409, 410))
async def forget_memory(
    memory_id: str, services: ServicesDep, principal: PrincipalDep, expected_version: Version | None = None
) -> Response:
    """Forget a record for real: all its versions are erased. No rollback and no snapshot brings it back."""
    with _conflicts():
        await services.memory.forget(principal, memory_id, expected_version=expected_version)
    return Response(status_code=204)


@router.get("/{memory_id}/history", dependencies=_READ, responses=problems(400, 404, 410))
async def memory_history(
    memory_id: str, services: ServicesDep, principal: PrincipalDep, limit: Limit = 50, cursor: Cursor = None
) -> MemoryHistory:
    """The versions of a record, the newest first."""
    before = None if cursor is None else _version(decode_cursor(cursor, 1)[0])
    found = await services.memory.reader.history(principal, memory_id, limit + 1, before)
    items = [MemoryBody(**memory_body(version)) for version in found[:limit]]
    more = encode_cursor(str(items[-1].version)) if len(found) > limit else None
    return MemoryHistory(items=items, next_cursor=more)


@router.get("/{memory_id}/diff", dependencies=_READ, responses=problems(404, 410))
async def memory_diff(
    memory_id: str,
    services: ServicesDep,
    principal: PrincipalDep,
    from_version: Annotated[Version | None, Query(description="The one before, if absent.")] = None,
    to_version: Annotated[Version | None, Query(description="The one that stands, if absent.")] = None,
) -> MemoryDiff:
    """What differs between two versions of a record."""
    reader = services.memory.reader
    new = to_version or (await reader.get(principal, memory_id)).version
    old = from_version or max(1, new - 1)
    before, after = [await reader.version(principal, memory_id, each) for each in (old, new)]
    changes = {name: DifferenceBody(before=was, after=is_) for name, (was, is_) in differences(before, after).items()}
    return MemoryDiff(id=memory_id, from_version=old, to_version=new, changes=changes)


@router.post("/{memory_id}/rollback", dependencies=_WRITE, responses=problems(403, 404, 409, 410, 422))
async def roll_record_back(
    memory_id: str, body: RecordRollbackRequest, services: ServicesDep, principal: PrincipalDep
) -> RollbackBody:
    """Let a record say again what one of its versions said, by a new version."""
    with _conflicts():
        done = await roll_back_record(
            services.memory.store,
            principal,
            memory_id,
            body.to_version,
            expected_version=body.expected_version,
            dry_run=body.dry_run,
        )
    return rollback_body(done, dry_run=body.dry_run)


@router.post("/{memory_id}/decision", dependencies=_WRITE, responses=problems(403, 404, 409, 410, 422))
async def decide_memory(
    memory_id: str, body: MemoryDecision, services: ServicesDep, principal: PrincipalDep
) -> MemoryBody:
    """Accept or reject what was proposed."""
    accept = body.decision == "accept"
    with _conflicts():
        settled = await services.memory.store.settle(
            principal, memory_id, accept=accept, expected_version=body.expected_version
        )
    return MemoryBody(**memory_body(settled))


@contextmanager
def _conflicts() -> Iterator[None]:
    """Answer a stale write with what stands."""
    try:
        yield
    except MemoryConflict as error:
        current = MemoryBody(**memory_body(error.current)).model_dump(mode="json")
        raise ProblemError(409, "memory_conflict", str(error), memory=current) from error


async def _lines(memory: Memory, principal: Principal) -> AsyncIterator[bytes]:
    async for version in export(memory, principal, Filter(status="active")):
        yield orjson.dumps(export_line(version)) + b"\n"


def _version(given: str) -> int:
    if not given.isascii() or not given.isdigit() or len(given) > _MOST_DIGITS:
        raise invalid_cursor()
    return int(given)
