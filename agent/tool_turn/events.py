"""What a turn tells of its calls, and of what was asked and decided about them."""

from agent import events
from agent.approvals.approval import Approval
from models.messages import ToolCall
from tools.results import ToolResult
from tools.toolset import CheckedCall


def called(call_id: str, call: ToolCall, check: CheckedCall | ToolResult) -> events.ToolCalled:
    """A call, as it is told."""
    if isinstance(check, ToolResult):
        return events.ToolCalled(call_id=call_id, name=call.name, arguments=call.arguments, effect=None)
    return events.ToolCalled(call_id=call_id, name=call.name, arguments=check.data, effect=check.tool.effect)


def requested(approval: Approval) -> events.ApprovalRequested:
    """A question to a person."""
    return events.ApprovalRequested(
        approval_id=approval.id,
        call_id=approval.call_id,
        name=approval.tool,
        arguments=approval.arguments,
        effect=approval.effect,
        kind=approval.kind,
        reason=approval.reason,
        approvers=approval.approvers,
        expires_at=approval.expires_at.isoformat() if approval.expires_at is not None else None,
    )


def decided(approval: Approval) -> events.ApprovalDecided:
    """Its answer."""
    return events.ApprovalDecided(
        approval_id=approval.id,
        call_id=approval.call_id,
        decision="expired" if approval.status == "pending" or approval.status == "cancelled" else approval.status,
        arguments=approval.final_arguments,
        decided_by=approval.decided_by,
        reason=approval.decision.reason if approval.decision is not None else "",
    )
