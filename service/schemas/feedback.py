"""The bodies about what people say of answers."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from agent.knowledge.feedback import Feedback, RunVerdict


class FeedbackRequest(BaseModel):
    """What you say of an answer."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"verdict": "wrong", "comment": "It is 14 days, not 30."}]}
    )

    verdict: RunVerdict
    comment: str = Field(default="", max_length=2000)


class FeedbackBody(BaseModel):
    """What you said of an answer last."""

    run_id: str
    verdict: RunVerdict
    comment: str
    created_at: datetime


def feedback_body(said: Feedback) -> FeedbackBody:
    """What is told of it."""
    return FeedbackBody(run_id=said.run_id, verdict=said.verdict, comment=said.comment, created_at=said.created_at)
