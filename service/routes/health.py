"""Whether the service lives, whether it is ready, and what it measures."""

from fastapi import APIRouter, Response

from service.openapi import problems
from service.routes.context import ServicesDep, needs
from service.schemas.health import LaneBody, LaneList, Readiness

router = APIRouter(tags=["operations"])


@router.get("/livez")
async def live() -> dict[str, str]:
    """200 as long as the process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz", responses={503: {"model": Readiness, "description": "A part does not answer; the body names it."}}
)
async def ready(services: ServicesDep, response: Response) -> Readiness:
    """200 when every part answers; which parts do."""
    parts = await services.ping()
    ok = all(state == "ok" for state in parts.values())
    response.status_code = 200 if ok else 503
    return Readiness(status="ok" if ok else "unavailable", parts=parts)


@router.get(
    "/metrics",
    dependencies=[needs("metrics")],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: ServicesDep) -> Response:
    """Metrics in Prometheus's text format."""
    return Response(services.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/lanes", dependencies=[needs("metrics")], responses=problems())
async def lanes(services: ServicesDep) -> LaneList:
    """How full the lanes are, whoever asked the runs: of all processes together, where several share the work."""
    states = await services.runs.lane_states()
    return LaneList(
        items=[
            LaneBody(
                lane=lane, waiting=state.waiting, running=state.running, oldest_seconds=round(state.oldest_seconds, 3)
            )
            for lane, state in states.items()
        ]
    )
