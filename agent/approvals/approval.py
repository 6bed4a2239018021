"""What a run asks a person, what the person says, and what can be wrong with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tools.results import Effect

ApprovalKind = Literal["call", "outcome_unknown", "hand_over"]
"""``call`` asks whether to make a call; ``outcome_unknown`` whether to make one again that may have acted;
``hand_over`` asks a person to reply: with ``approve``, the reason is the reply."""

ApprovalStatus = Literal["pending", "approved", "edited", "rejected", "expired", "cancelled"]
Verb = Literal["approve", "edit", "reject"]


class ApprovalNotFound(Exception):
    """There is no such approval in this tenant."""


class ApprovalForbidden(Exception):
    """The principal has none of the roles that may decide it."""


class ApprovalNotGenuine(Exception):
    """The row is not what was asked for: somebody changed it in the database."""


class DecisionImpossible(Exception):
    """The decision does not fit what was asked."""


class ApprovalDecided(Exception):
    """It was decided before, expired or was cancelled; ``approval`` says how."""

    def __init__(self, approval: "Approval") -> None:
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        super().__init__(f"approval {approval.id} is {approval.status}{by}; it cannot be decided again")
        self.approval = approval


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """What a run asks.

    Attributes:
        step: The call's place in the journal.
        arguments: JSON data, as the tool validated them.
        reason: Why a person has to agree.
        approvers: Roles of which a decider has one; anybody of the tenant when empty.
        record: What the system of record said of what is to be changed.
        sources: What the run had read when it asked.
    """

    step: int
    call_id: str
    kind: ApprovalKind
    tool: str
    effect: Effect
    arguments: Mapping[str, Any]
    reason: str
    approvers: tuple[str, ...]
    record: Any = None
    sources: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person says.

    Attributes:
        arguments: With ``edit``, and only then: those to call with, validated by the tool, as JSON data.
    """

    decision: Verb
    arguments: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approval as it stands in the record.

    Attributes:
        principal: Who asked the question that led here.
        arguments: Those that the model proposed; ``final_arguments`` are those to call with.
        digest: Of the final arguments.
        mac: The signature over the row.
    """

    id: str
    tenant: str
    principal: str
    run_id: str
    session_id: str
    step: int
    call_id: str
    kind: ApprovalKind
    tool: str
    effect: Effect
    arguments: Mapping[str, Any]
    digest: str
    record: Any
    reason: str
    sources: Sequence[Mapping[str, Any]] = field(repr=False)
    approvers: tuple[str, ...]
    status: ApprovalStatus
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None
    mac: str | None = field(repr=False)
    created_at: datetime
    expires_at: datetime | None

    @property
    def final_arguments(self) -> Mapping[str, Any]:
        """The arguments to call with: the decider's when he edited them."""
        edited = self.decision.arguments if self.decision is not None else None
        return self.arguments if edited is None else edited

    @property
    def may_act(self) -> bool:
        """Whether a person agreed to the call; only to be asked of a genuine approval."""
        return self.status in {"approved", "edited"}
