"""Bodies about runs: asked for, told, listed, tried again."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.journal.record import RunStatus
from agent.queue.lanes import Lane
from agent.webhooks.endpoints import MAX_URL
from service.schemas.feedback import FeedbackBody
from service.schemas.fields import Metadata, Name
from service.schemas.sources import SourceBody


class ChatRequest(BaseModel):
    """A question to the agent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"message": "How long may I return opened headphones?"}]},
    )

    message: str = Field(min_length=1, description="The question.")
    session_id: str | None = Field(
        default=None, max_length=64, description="Goes on with a session; a new one if absent."
    )
    collection: Name | None = Field(
        default=None, description="The collection to search; the service's default if absent."
    )
    model: str | None = Field(default=None, max_length=200, description="`provider:name`, one that the service allows.")
    tools: list[str] | None = Field(default=None, max_length=200, description="Tools to offer; all of them if absent.")
    retrieval: Literal["auto", "off"] = "auto"
    cache: Literal["auto", "bypass"] = Field(
        default="auto", description="`bypass` has the question answered afresh, though an earlier answer would do."
    )
    metadata: Metadata = Field(default_factory=dict, max_length=50, description="Kept with the run.")


class RunRequestBody(ChatRequest):
    """A question to the agent whose answer is fetched later."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"message": "Which orders are late?", "lane": "batch"}]}
    )

    lane: Lane = Field(default="batch", description="`interactive` runs go first.")
    webhook: str | None = Field(
        default=None, max_length=MAX_URL, description="Told what becomes of the run; on a host that the service allows."
    )


class RunAccepted(BaseModel):
    """A run that goes on in the background."""

    run_id: str
    session_id: str
    status: RunStatus


class RetryRequest(BaseModel):
    """Whether a run that has acted may be started anew."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"force": True}]})

    force: bool = Field(default=False, description="What the run has done may be done again.")


class DeedBody(BaseModel):
    """A call of a run that has changed something (`done`), or may have (`unknown`)."""

    tool: str
    effect: str
    arguments: dict[str, Any]
    outcome: Literal["done", "unknown"]


class RunRetried(RunAccepted):
    """A run that was started in the place of another one, and what that one had done."""

    retry_of: str
    deeds: list[DeedBody]


class RunErrorBody(BaseModel):
    """Why a run failed."""

    code: str
    detail: str
    retryable: bool


class RunSummary(BaseModel):
    """A run in a list."""

    run_id: str
    session_id: str
    status: RunStatus
    lane: Lane
    model: str
    message: str = Field(description="The first 200 characters of the question.")
    error: RunErrorBody | None = None
    retry_of: str | None = None
    created_at: datetime
    ended_at: datetime | None


class RunList(BaseModel):
    """A page of runs, the newest first."""

    items: list[RunSummary]
    next_cursor: str | None


class CitationBody(BaseModel):
    """A span of the answer, in code points, and the label of the source that backs it."""

    label: int
    start: int
    end: int
    document_id: str
    version: str


class UsageBody(BaseModel):
    """What a run used."""

    input_tokens: int
    output_tokens: int
    model_calls: int
    tool_calls: int


class ToolCallBody(BaseModel):
    """A tool call of a run, and its outcome once it has one."""

    call_id: str
    name: str
    arguments: dict[str, Any] | str
    effect: str | None
    ok: bool | None = None
    content: str | None = None
    failure: str | None = None


class RunApprovalBody(BaseModel):
    """An approval that a run asked for: `GET /v1/approvals/{approval_id}` says more."""

    approval_id: str
    call_id: str
    name: str
    arguments: dict[str, Any]
    effect: str
    kind: str
    reason: str
    approvers: list[str]
    expires_at: str | None
    decision: str | None
    decided_by: str | None


class RunBody(BaseModel):
    """A run and what it has come to so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "0193fd1c-7a2b-7c3d-8e4f-5a6b7c8d9e0f",
                    "session_id": "0193fd1c-7a2a-7b1c-9d2e-3f4a5b6c7d8e",
                    "status": "completed",
                    "answer": "Opened headphones may be returned within 14 days. [1]",
                    "citations": [
                        {"label": 1, "start": 0, "end": 49, "document_id": "8c6f…", "version": "51ab…"},
                    ],
                    "sources": [],
                    "tool_calls": [],
                    "approvals": [],
                    "usage": {"input_tokens": 812, "output_tokens": 14, "model_calls": 1, "tool_calls": 0},
                    "error": None,
                }
            ]
        }
    )

    run_id: str
    session_id: str
    status: RunStatus
    model: str
    answer: str
    citations: list[CitationBody]
    sources: list[SourceBody]
    tool_calls: list[ToolCallBody]
    approvals: list[RunApprovalBody]
    usage: UsageBody | None
    error: RunErrorBody | None = None
    retry_of: str | None = Field(default=None, description="The run that this one takes the place of.")
    feedback: FeedbackBody | None = Field(default=None, description="What you said of its answer.")
    created_at: datetime


class CancelRequest(BaseModel):
    """Why a run is stopped."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "The user pressed stop."}]})

    reason: str = Field(default="cancelled by the client", max_length=200)
