"""Runs: what one came to, its events from any point on, and stopping it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sse_starlette import EventSourceResponse

from agent.failures import DEAD
from agent.journal.record import RunRecord, RunStatus
from agent.log.outcome import outcome
from records.principal import Principal
from service.idempotency import IdempotentRoute
from service.openapi import EVENT_STREAM, problems
from service.problems import ProblemError
from service.routes.context import (
    Cursor,
    LastEventId,
    Limit,
    PrincipalDep,
    ServicesDep,
    decode_cursor,
    encode_cursor,
    needs,
)
from service.schemas.feedback import feedback_body
from service.schemas.runs import CancelRequest, RunBody, RunErrorBody, RunList, RunSummary
from service.services import Services
from service.sse import event_stream

_GOES_ON: frozenset[RunStatus] = frozenset({"queued", "running"})

router = APIRouter(prefix="/v1/runs", route_class=IdempotentRoute, tags=["runs"], dependencies=[needs("chat")])


@router.get("", responses=problems(400))
async def list_runs(
    services: ServicesDep,
    principal: PrincipalDep,
    status: RunStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    *,
    dead: Annotated[bool, Query(description="Those that were given up, because whoever took them up died.")] = False,
) -> RunList:
    """Your runs, the newest first; with `status` only those that stand so, and a page may have fewer then."""
    before = None if cursor is None else decode_cursor(cursor, 1)[0]
    statuses = _GOES_ON if status in _GOES_ON else {status} if status else ()
    found = await services.run_store.list(
        principal, statuses=statuses, codes=DEAD if dead else (), limit=limit + 1, before=before
    )
    page = [(record, await status_now(services, record)) for record in found[:limit]]
    items = [_summary(record, stands) for record, stands in page if status in {None, stands}]
    return RunList(items=items, next_cursor=encode_cursor(found[limit - 1].id) if len(found) > limit else None)


async def status_now(services: Services, record: RunRecord) -> RunStatus:
    """How a run stands. That it was begun is in its log before it is in its record."""
    begun = record.status == "queued" and await services.events.read(record.id)
    return "running" if begun else record.status


@router.get("/{run_id}", responses=problems(404))
async def get_run(run_id: str, services: ServicesDep, principal: PrincipalDep) -> RunBody:
    """A run and what it has come to so far."""
    record = await services.run_store.get(principal, run_id)
    folded = outcome(await services.events.read(run_id))
    said = await services.feedback.of(principal, run_id)
    return RunBody(
        run_id=run_id,
        session_id=record.session_id,
        model=record.model,
        created_at=record.created_at,
        retry_of=record.request.get("retry_of"),
        feedback=None if said is None else feedback_body(said),
        **folded,
    )


@router.get("/{run_id}/events", response_class=EventSourceResponse, responses={**EVENT_STREAM, **problems(400, 404)})
async def follow_run(
    run_id: str, services: ServicesDep, principal: PrincipalDep, after: LastEventId
) -> EventSourceResponse:
    """The run's events after `Last-Event-ID` (all of them without it): those that were, then those to come."""
    await services.run_store.get(principal, run_id)
    return event_stream(
        services.runs.follow(run_id, after), heartbeat=services.settings.http.heartbeat_seconds, run_id=run_id
    )


@router.post("/{run_id}/cancel", status_code=202, response_class=Response, responses=problems(404, 409))
async def cancel_run(
    run_id: str, services: ServicesDep, principal: PrincipalDep, body: CancelRequest | None = None
) -> Response:
    """Stop the run. Its stream ends with `run.cancelled`."""
    await cancel(services, principal, run_id, (body or CancelRequest()).reason)
    return Response(status_code=202)


async def cancel(services: Services, principal: Principal, run_id: str, reason: str) -> None:
    """As ``cancel_run``, in whatever way it was asked for."""
    record = await services.runs.cancel(principal, run_id, reason)
    if record.status in {"completed", "failed"}:
        raise ProblemError(409, "run_ended", f"the run has {record.status} already")


def _summary(record: RunRecord, status: RunStatus) -> RunSummary:
    return RunSummary(
        run_id=record.id,
        session_id=record.session_id,
        status=status,
        lane=record.lane,
        model=record.model,
        message=record.message[:200],
        error=RunErrorBody.model_validate(record.result) if record.status == "failed" else None,
        retry_of=record.request.get("retry_of"),
        created_at=record.created_at,
        ended_at=record.ended_at,
    )
