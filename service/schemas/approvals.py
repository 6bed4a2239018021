"""The bodies of requests and responses about approvals."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.approvals.approval import Approval, ApprovalKind, ApprovalStatus, Verb
from service.schemas.fields import Metadata
from service.schemas.sources import SourceBody


class DecisionRequest(BaseModel):
    """What a person says to an approval."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"decision": "edit", "arguments": {"order": "1042", "amount": "10.00"}}]},
    )

    decision: Verb
    arguments: Metadata | None = Field(
        default=None, description="With `edit`: all arguments of the call, in the place of those proposed."
    )
    reason: str = Field(default="", max_length=2000, description="The model reads it after a rejection.")


class DecisionBody(BaseModel):
    """What a person said."""

    decision: Verb
    arguments: dict[str, Any] | None
    reason: str


class ApprovalSummary(BaseModel):
    """An approval in a list: a call that a run may not make unless a person agrees."""

    id: str
    run_id: str
    session_id: str
    call_id: str
    asked_by: str = Field(description="Whose question led here.")
    kind: ApprovalKind
    tool: str
    effect: Literal["read", "write", "irreversible"]
    arguments: dict[str, Any] = Field(description="As the model proposed them.")
    reason: str
    approvers: list[str] = Field(description="Roles of which a decider has one; anybody of the tenant when empty.")
    status: ApprovalStatus
    decision: DecisionBody | None
    decided_by: str | None
    decided_at: datetime | None
    created_at: datetime
    expires_at: datetime | None


class ApprovalBody(ApprovalSummary):
    """An approval with what led to it."""

    record: Any = Field(description="What the tool's `verify` hook read of what is to be changed.")
    sources: list[SourceBody] = Field(description="What the run had read when it asked, as far as you may read it.")
    withheld: int = Field(description="How many sources more it had read: they are gone, or not for you.")
    genuine: bool = Field(description="False when the row was changed in the database: then nothing is done for it.")


class ApprovalList(BaseModel):
    """A page of approvals, the newest first."""

    items: list[ApprovalSummary]
    next_cursor: str | None


def summary_of(approval: Approval) -> dict[str, Any]:
    """The fields that every body about an approval has."""
    said = approval.decision
    return {
        "id": approval.id,
        "run_id": approval.run_id,
        "session_id": approval.session_id,
        "call_id": approval.call_id,
        "asked_by": approval.principal,
        "kind": approval.kind,
        "tool": approval.tool,
        "effect": approval.effect,
        "arguments": approval.arguments,
        "reason": approval.reason,
        "approvers": approval.approvers,
        "status": approval.status,
        "decision": said and {"decision": said.decision, "arguments": said.arguments, "reason": said.reason},
        "decided_by": approval.decided_by,
        "decided_at": approval.decided_at,
        "created_at": approval.created_at,
        "expires_at": approval.expires_at,
    }
