"""Asking: one answer as JSON, as a stream of events, or later."""

from fastapi import APIRouter, Response
from pydantic import SecretStr
from sse_starlette import EventSourceResponse

from agent.failures import status_of
from agent.idempotency import RequestKey
from agent.log.outcome import outcome
from agent.queue.lanes import Lane
from agent.runs import RunRequest
from rails.message import check_message
from records.principal import Principal
from service.idempotency import RequestKeyDep
from service.openapi import EVENT_STREAM, problems
from service.problems import ProblemError
from service.routes.context import PrincipalDep, ServicesDep, needs
from service.routes.runs import status_now
from service.schemas.runs import ChatRequest, RunAccepted, RunBody, RunRequestBody
from service.services import Services
from service.sse import event_stream
from service.subject import SubjectTokenDep

router = APIRouter(prefix="/v1", tags=["chat"], dependencies=[needs("chat")])


@router.post(
    "/chat",
    responses={
        202: {"model": RunBody, "description": "The run goes on: it waits for a person, or the service is stopping."},
        **problems(404, 422, 502, 503, 504),
    },
)
async def chat(
    body: ChatRequest,
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
    key: RequestKeyDep,
    token: SubjectTokenDep,
) -> RunBody:
    """Ask, and wait for the whole answer. The run goes on even when the connection does not."""
    run_id, _ = await _start(body, services, principal, key, token)
    async for _event in services.runs.follow(run_id):
        pass
    record = await services.run_store.get(principal, run_id)
    folded = outcome(await services.events.read(run_id))
    if folded["error"] is not None:
        error = folded["error"]
        raise ProblemError(
            status_of(error["code"]),
            error["code"],
            error["detail"],
            run_id=run_id,
            session_id=record.session_id,
        )
    if folded["status"] != "completed":
        response.status_code = 202
    return RunBody(
        run_id=run_id, session_id=record.session_id, model=record.model, created_at=record.created_at, **folded
    )


@router.post(
    "/chat/stream",
    response_class=EventSourceResponse,
    responses={**EVENT_STREAM, **problems(404, 422, 503)},
)
async def chat_stream(
    body: ChatRequest, services: ServicesDep, principal: PrincipalDep, key: RequestKeyDep, token: SubjectTokenDep
) -> EventSourceResponse:
    """Ask, and receive the run's events as they happen. A connection that is cut can be resumed at the run's events."""
    run_id, _ = await _start(body, services, principal, key, token)
    return event_stream(services.runs.follow(run_id), heartbeat=services.settings.http.heartbeat_seconds, run_id=run_id)


@router.post("/runs", status_code=202, responses=problems(404, 422, 503))
async def start_run(
    body: RunRequestBody,
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
    key: RequestKeyDep,
    token: SubjectTokenDep,
) -> RunAccepted:
    """Ask, and come back for the answer: at `Location`, or at the run's events, or be told of it at a `webhook`."""
    if body.webhook is not None and services.endpoints.find(principal.tenant, body.webhook) is None:
        detail = "the service tells no such URL of runs; its operator allows hosts with `for_runs` in [[webhooks]]"
        raise ProblemError(422, "webhook_not_allowed", detail)
    run_id, session_id = await _start(body, services, principal, key, token, body.lane)
    record = await services.run_store.get(principal, run_id)
    response.headers["Location"] = f"/v1/runs/{run_id}"
    return RunAccepted(run_id=run_id, session_id=session_id, status=await status_now(services, record))


async def _start(
    body: ChatRequest,
    services: Services,
    principal: Principal,
    key: RequestKey | None,
    token: SecretStr | None,
    lane: Lane | None = None,
) -> tuple[str, str]:
    """Start the run that is asked for: in this process, or in the background, in a ``lane``."""
    verdict = check_message(body.message, services.settings.http.max_message_chars)
    if verdict.decision == "block":
        raise ProblemError(422, "message_rejected", verdict.reason)
    if body.collection is not None:
        await services.catalog.collection(principal.tenant, body.collection)
    request = RunRequest(
        message=verdict.text,
        session_id=body.session_id,
        collection=body.collection or services.settings.collection,
        model=body.model,
        tools=None if body.tools is None else tuple(body.tools),
        retrieval=body.retrieval,
        cache=body.cache,
        metadata=body.metadata,
        webhook=body.webhook if isinstance(body, RunRequestBody) else None,
        lane=lane or "interactive",
    )
    return await services.starts.start(principal, request, key, queued=lane is not None, token=token)
