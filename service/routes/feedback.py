"""Feedback: what people say of the answers that they were given."""

from fastapi import APIRouter

from rails.message import check_message
from service.idempotency import IdempotentRoute
from service.openapi import problems
from service.problems import ProblemError
from service.routes.context import PrincipalDep, ServicesDep, needs
from service.schemas.feedback import FeedbackBody, FeedbackRequest, feedback_body

router = APIRouter(prefix="/v1/runs", route_class=IdempotentRoute, tags=["runs"], dependencies=[needs("chat")])


@router.post("/{run_id}/feedback", responses=problems(404, 409, 422))
async def give_feedback(
    run_id: str, body: FeedbackRequest, services: ServicesDep, principal: PrincipalDep
) -> FeedbackBody:
    """Say whether an answer of yours was right. What you say last counts.

    An answer that was kept and is called wrong is not given again without being checked.
    """
    record = await services.run_store.get(principal, run_id)
    if record.status != "completed":
        raise ProblemError(409, "run_not_answered", "the run has no answer of which one could say anything")
    comment = check_message(body.comment, len(body.comment)).text
    question = record.request["message"]
    said = await services.feedback.give(principal, run_id, body.verdict, comment, question=question)
    return feedback_body(said)
