"""The semantic cache: what it holds, what it would decide, and emptying it."""

from typing import Annotated

from fastapi import APIRouter, Query

from rails.message import check_message
from service.idempotency import IdempotentRoute
from service.openapi import problems
from service.problems import ProblemError
from service.routes.context import PrincipalDep, ServicesDep, needs
from service.schemas.cache import (
    CacheExplanation,
    CachePurge,
    CachePurged,
    CacheQuestion,
    CacheStatsBody,
    explanation_body,
    stats_body,
)

router = APIRouter(prefix="/v1/cache", route_class=IdempotentRoute, tags=["cache"])

_OPERATE = [needs("admin")]


@router.get("", dependencies=_OPERATE, responses=problems())
async def cache_stats(services: ServicesDep, principal: PrincipalDep) -> CacheStatsBody:
    """What the tenant's cache holds, and has done, in every process that has written it down."""
    stats = await services.cache.stats(principal.tenant)
    return stats_body(stats, enabled=services.cache.settings.enabled)


@router.post("/explain", dependencies=[needs("chat")], responses=problems(404, 422, 503))
async def explain_cache(body: CacheQuestion, services: ServicesDep, principal: PrincipalDep) -> CacheExplanation:
    """What would be decided if you asked this now, in a session of its own and with every tool.

    Only answers that you may be given are looked at. Whether something is remembered of you, for which a question is
    answered afresh, is not looked into.
    """
    verdict = check_message(body.question, services.settings.http.max_message_chars)
    if verdict.decision == "block":
        raise ProblemError(422, "message_rejected", verdict.reason)
    collection = body.collection or services.settings.collection
    found = await services.answer_desk.explain(principal, verdict.text, collection, body.model)
    return explanation_body(found, whole=principal.may("admin"))


@router.delete("", dependencies=_OPERATE, responses=problems(422))
async def purge_cache(
    services: ServicesDep,
    principal: PrincipalDep,
    which: Annotated[CachePurge, Query()],
) -> CachePurged:
    """Delete answers that are kept: all of the tenant's, or those of which what is given holds.

    What was learnt of questions stays.
    """
    return CachePurged(entries=await services.cache.purge(principal.tenant, which.collection, which.entry_id))
