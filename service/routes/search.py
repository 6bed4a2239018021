"""Searching without an answer."""

from dataclasses import asdict

from fastapi import APIRouter

from service.idempotency import IdempotentRoute
from service.openapi import problems
from service.routes.context import PrincipalDep, ServicesDep, needs
from service.schemas.sources import SearchRequest, SearchResult, SourceBody

router = APIRouter(prefix="/v1", route_class=IdempotentRoute, tags=["search"], dependencies=[needs("search")])


@router.post("/search", responses=problems(404, 422, 503))
async def search(body: SearchRequest, services: ServicesDep, principal: PrincipalDep) -> SearchResult:
    """The passages that fit the query best, with their provenance."""
    found = await services.retriever.search(
        body.query,
        principal=principal,
        collection=body.collection or services.settings.collection,
        limit=body.limit,
        mode=body.mode,
        filters=body.metadata,
    )
    return SearchResult(items=[SourceBody(label=label, **asdict(source)) for label, source in enumerate(found, 1)])
