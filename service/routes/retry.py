"""Starting a run anew that has failed."""

from dataclasses import asdict

from fastapi import APIRouter, Response

from agent.errors import RunHasActed
from service.idempotency import RequestKeyDep
from service.openapi import problems
from service.problems import ProblemError
from service.routes.context import PrincipalDep, ServicesDep, needs
from service.routes.runs import status_now
from service.schemas.runs import DeedBody, RetryRequest, RunRetried
from service.subject import SubjectTokenDep

router = APIRouter(prefix="/v1/runs", tags=["runs"], dependencies=[needs("chat")])


@router.post("/{run_id}/retry", status_code=202, responses=problems(404, 409, 422, 503))
async def retry_run(
    run_id: str,
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
    key: RequestKeyDep,
    token: SubjectTokenDep,
    body: RetryRequest | None = None,
) -> RunRetried:
    """Start a run anew that failed or was cancelled: another run, with the same request, in the same session.

    Where the first one has changed something, or may have, that is a 409 with its `deeds`, unless `force` says that it
    may be done again. Asked again within a day, the answer is the same new run.
    """
    force = body is not None and body.force
    try:
        retried = await services.retries.retry(principal, run_id, force=force, key=key, token=token)
    except RunHasActed as error:
        deeds = [asdict(deed) for deed in error.deeds]
        raise ProblemError(409, "run_has_acted", str(error), run_id=run_id, deeds=deeds) from error
    record = await services.run_store.get(principal, retried.run_id)
    response.headers["Location"] = f"/v1/runs/{retried.run_id}"
    return RunRetried(
        run_id=retried.run_id,
        session_id=retried.session_id,
        status=await status_now(services, record),
        retry_of=run_id,
        deeds=[DeedBody(**asdict(deed)) for deed in retried.deeds],
    )
