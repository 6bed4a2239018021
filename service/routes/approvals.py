"""Approvals: what runs wait for, and what people say to it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from agent.approvals.approval import Approval, ApprovalDecided, ApprovalStatus, Decision
from models.messages import ToolCall
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
    needs,
)
from service.schemas.approvals import (
    ApprovalBody,
    ApprovalList,
    ApprovalSummary,
    DecisionRequest,
    summary_of,
)
from service.schemas.sources import SourceBody
from service.services import Services
from tools.results import ToolResult

router = APIRouter(
    prefix="/v1/approvals", route_class=IdempotentRoute, tags=["approvals"], dependencies=[needs("approvals")]
)


@router.get("", responses=problems(400))
async def list_approvals(
    services: ServicesDep,
    principal: PrincipalDep,
    status: ApprovalStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ApprovalList:
    """The tenant's approvals, the newest first; with `status` only those that stand so."""
    before = None if cursor is None else decode_cursor(cursor, 1)[0]
    found = await services.approvals.list(principal, status=status, limit=limit + 1, before=before)
    page = found[:limit]
    more = encode_cursor(page[-1].id) if len(found) > limit else None
    return ApprovalList(items=[ApprovalSummary(**summary_of(approval)) for approval in page], next_cursor=more)


@router.get("/{approval_id}", responses=problems(404))
async def get_approval(approval_id: str, services: ServicesDep, principal: PrincipalDep) -> ApprovalBody:
    """An approval with what led to it: the record that is to be changed, and the sources that the run had read."""
    return await _body(services, principal, await services.approvals.get(principal, approval_id))


@router.post("/{approval_id}", responses=problems(403, 404, 409, 422))
async def decide_approval(
    approval_id: str, body: DecisionRequest, services: ServicesDep, principal: PrincipalDep
) -> ApprovalBody:
    """Decide for good: the run goes on once all that it waits for is decided.

    Of several decisions the first holds; the others are answered with 409 and it, in `approval`.
    """
    return await decide(services, principal, approval_id, body)


async def decide(services: Services, principal: Principal, approval_id: str, body: DecisionRequest) -> ApprovalBody:
    """As ``decide_approval``, in whatever way it was asked for."""
    asked = await services.approvals.get(principal, approval_id)
    decision = Decision(decision=body.decision, arguments=_arguments(services, asked, body), reason=body.reason)
    try:
        decided = await services.approvals.decide(principal, approval_id, decision)
    except ApprovalDecided as error:
        before = await _body(services, principal, error.approval)
        raise ProblemError(409, "approval_decided", str(error), approval=before.model_dump(mode="json")) from error
    await services.runs.wake(decided.run_id)
    return await _body(services, principal, decided)


def _arguments(services: Services, asked: Approval, body: DecisionRequest) -> dict[str, object] | None:
    """The edited arguments as the tool reads them, or the problem that it has with them."""
    if body.arguments is None:
        return None
    tool = services.toolset.get(asked.tool)
    given = body.arguments if tool is None else tool.given(body.arguments)
    checked = services.toolset.check(ToolCall(id=asked.call_id, name=asked.tool, arguments=json.dumps(given)))
    if isinstance(checked, ToolResult):
        raise ProblemError(422, "invalid_arguments", checked.content)
    # On whose behalf it is stays what was asked; it may be repeated, as the page does, but not be another's.
    filled = {name: value for name, value in asked.arguments.items() if name in checked.tool.fillings}
    for name in body.arguments.keys() - given.keys():
        if name not in filled or body.arguments[name] != filled[name]:
            raise ProblemError(422, "invalid_arguments", f"{name}: filled from whoever asked; an edit cannot change it")
    return checked.data | filled


async def _body(services: Services, principal: Principal, approval: Approval) -> ApprovalBody:
    sources = await _readable(services, principal, approval.sources)
    return ApprovalBody(
        **summary_of(approval),
        record=approval.record,
        sources=[SourceBody.model_validate(source) for source in sources],
        withheld=len(approval.sources) - len(sources),
        genuine=services.approvals.genuine(approval),
    )


async def _readable(
    services: Services, principal: Principal, sources: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """The sources whose documents the principal may read: to decide is not to be in the asker's groups."""
    allowed: set[str] = set()
    for collection in {source["collection"] for source in sources}:
        ids = [source["document_id"] for source in sources if source["collection"] == collection]
        live = await services.catalog.active(principal.tenant, collection, ids)
        allowed |= {key for key, document in live.items() if principal.may_read(document.acl)}
    return [source for source in sources if source["document_id"] in allowed]
