"""What becomes of a call that the model wishes for: it is made, settled without being made, or asked of a person.

A call whose outcome is unknown, because the process died or the answer was lost, follows what its tool declares: it is
repeated under the same key, the system of record is asked, or a person is.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
import structlog

from agent.approvals.approval import Approval, ApprovalRequest
from agent.journal.journal import Step
from agent.journal.replay import result_of
from agent.tool_turn.context import Place, TurnContext
from tools.results import NOT_DONE, NotDone, ToolFailure, ToolResult
from tools.toolset import CheckedCall
from tools.withheld import withheld

_log = structlog.get_logger("cairn.tools")

ATTEMPTS = 3
"""How often a call of unknown outcome is made before a person is asked, where its tool allows repeating it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The result is known, and no call is needed."""

    result: ToolResult
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """The call may be made.

    Attributes:
        perhaps_done: An earlier attempt may have acted, so that this one cannot prove that nothing was done.
    """

    call: CheckedCall
    attempt: int = 1
    record: ToolResult | None = None
    perhaps_done: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A person has to agree first; ``approval`` is there once it was asked."""

    request: ApprovalRequest | None = None


Plan = Settled | Act | Ask


class Judge:
    """Judges the calls of one turn."""

    def __init__(self, context: TurnContext) -> None:
        self._context = context

    async def judge(
        self, place: Place, check: CheckedCall | ToolResult, step: Step | None, asked: Approval | None
    ) -> Plan:
        """What becomes of a call.

        Args:
            check: The call, or why it cannot be made.
            step: What the journal has of it.
            asked: The last that a person was asked about it.
        """
        if step is not None and step.result is not None:
            return Settled(result_of(step.result), recorded=True)
        if isinstance(check, ToolResult):
            return Settled(check) if step is None else _impossible(step, check)
        if step is not None:
            return await self._unknown(place, check, step, asked)
        if asked is None:
            return await self._gate(place, check)
        return await self._answered(place, check, asked)

    async def _gate(self, place: Place, call: CheckedCall) -> Plan:
        gate = await self._context.gate.judge(call, self._context.principal)
        if gate.autonomy == "refuse":
            return _not_made("refused", f"{call.tool.name} was not called: {gate.reason}")
        if gate.autonomy == "suggest":
            return _not_made("suggested", f"{call.tool.name} was not called: the agent may only suggest it to a person")
        if call.tool.by_person:
            asked = self._request(place, call, call.data.get("summary") or "a person is asked for", gate.approvers)
            return Ask(replace(asked, kind="hand_over"))
        record = await self._verified(place, call)
        if record is not None and record.failure is not None:
            return Settled(record)
        if gate.autonomy == "auto":
            return Act(call, record=record)
        return self._question(place, call, gate.reason, gate.approvers, record)

    async def _answered(self, place: Place, call: CheckedCall, approval: Approval) -> Plan:
        """What a person's answer to a call that was not made yet leads to."""
        if approval.status == "pending":
            return Ask()
        if not self._context.approvals.genuine(approval):
            _log.error("an approval was changed in the database; nothing is done for it", approval_id=approval.id)
            return _not_made("refused", f"{call.tool.name} was not called: its approval is not genuine")
        if not approval.may_act:
            return _declined(call, approval)
        if approval.kind == "hand_over":
            return Settled(ToolResult(content=approval.decision.reason if approval.decision is not None else ""))
        final = self._again(call, approval.final_arguments)
        if isinstance(final, ToolResult):
            return Settled(final)
        gate = await self._context.gate.judge(final, self._context.principal)
        if gate.autonomy == "refuse":
            return _not_made("refused", f"{call.tool.name} was not called: {gate.reason}")
        record = await self._verified(place, final)
        if record is not None and record.failure is not None:
            return Settled(record)
        if record is not None and approval.status == "approved" and content_of(record) != approval.record:
            reason = "the record has changed since this was approved"
            return self._question(place, final, reason, approval.approvers, record)
        return Act(final, record=record)

    async def _unknown(self, place: Place, check: CheckedCall, step: Step, asked: Approval | None) -> Plan:
        """What becomes of a call that was begun, and whose outcome nobody knows."""
        call = self._again(check, step.intent["arguments"])
        if isinstance(call, ToolResult):
            return _impossible(step, call)
        if asked is not None and asked.status == "pending":
            return Ask()  # once a person is asked, he decides
        found = await self._found(place, call, step.attempt)
        if isinstance(found, ToolResult):
            return Settled(found)
        gate = await self._context.gate.judge(call, self._context.principal)
        if gate.autonomy == "refuse":
            return _not_repeated(call, gate.reason)
        if found is NOT_DONE:
            perhaps_done = call.tool.effect != "read" and _may_repeat(call, step.attempt)
            return Act(call, step.attempt + 1, perhaps_done=perhaps_done)
        if asked is not None and asked.kind == "outcome_unknown" and asked.record == {"attempt": step.attempt}:
            return self._resolved(call, asked, step.attempt)
        reason = f"whether {call.tool.name} was carried out is not known"
        request = self._request(place, call, reason, gate.approvers)
        return Ask(replace(request, kind="outcome_unknown", record={"attempt": step.attempt}))

    async def _found(self, place: Place, call: CheckedCall, attempt: int) -> ToolResult | NotDone | None:
        """What can be found out without a person: what was done, that it may be done again, or None for nothing."""
        if _may_repeat(call, attempt):
            return NOT_DONE
        if call.tool.effect == "read":  # it has done nothing that anybody could look up
            content = f"{call.tool.name} failed: the service stopped in the middle of it {attempt} times"
            return ToolResult(content=content, failure="failed")
        found: ToolResult | NotDone = await call.tool.reconcile(call.arguments, self._context.tool_context(place))
        found = withheld(found, self._context.subject_token)
        if isinstance(found, NotDone):
            return found if attempt < ATTEMPTS else None
        return None if found.failure == "unknown" else found

    async def _verified(self, place: Place, call: CheckedCall) -> ToolResult | None:
        """What the tool reads before a call."""
        record = await call.tool.verify(call.arguments, self._context.tool_context(place))
        return withheld(record, self._context.subject_token)

    def _resolved(self, call: CheckedCall, approval: Approval, attempt: int) -> Plan:
        if approval.status == "pending":
            return Ask()
        if self._context.approvals.genuine(approval) and approval.may_act:
            return Act(call, attempt + 1)
        said = approval.decision.reason if approval.decision is not None else ""
        return _not_repeated(call, f"a person says: {said}" if said else "")

    def _again(self, call: CheckedCall, arguments: Any) -> CheckedCall | ToolResult:
        """The call with these arguments, validated anew, and filled anew from whoever asks, not from what was kept."""
        if arguments == call.data:
            return call
        given = orjson.dumps(call.tool.given(arguments)).decode()
        return self._context.toolset.check(replace(call.call, arguments=given), self._context.principal)

    def _question(
        self, place: Place, call: CheckedCall, reason: str, approvers: tuple[str, ...], record: ToolResult | None
    ) -> Ask:
        request = self._request(place, call, reason, approvers)
        return Ask(replace(request, record=content_of(record)))

    def _request(self, place: Place, call: CheckedCall, reason: str, approvers: tuple[str, ...]) -> ApprovalRequest:
        return ApprovalRequest(
            step=place.seq,
            call_id=place.call_id,
            kind="call",
            tool=call.tool.name,
            effect=call.tool.effect,
            arguments=call.data,
            reason=reason,
            approvers=approvers,
            sources=[{"label": label, **asdict(source)} for label, source in enumerate(self._context.sources, 1)],
        )


def content_of(record: ToolResult | None) -> Any:
    """A record that was read, as JSON data."""
    return None if record is None else record.content if record.value is None else record.value


def _may_repeat(call: CheckedCall, attempt: int) -> bool:
    """Whether a call of unknown outcome may be made again without asking what became of it."""
    return attempt < ATTEMPTS and (call.tool.effect == "read" or call.tool.idempotent)


def _not_made(failure: ToolFailure, content: str) -> Settled:
    return Settled(ToolResult(content=content, failure=failure))


def _not_repeated(call: CheckedCall, reason: str) -> Settled:
    why = f"; {reason}" if reason else ""
    return _not_made("unknown", f"Whether {call.tool.name} was carried out is not known, and it is not repeated{why}")


def _impossible(step: Step, check: ToolResult) -> Settled:
    """What becomes of a call that was begun by a tool that is not there any more, or has other parameters now."""
    if step.intent.get("effect", "read") == "read":
        return Settled(check)
    return _not_made("unknown", f"Whether {step.intent['name']} was carried out is not known: the tool has changed")


def _declined(call: CheckedCall, approval: Approval) -> Settled:
    if approval.status == "expired":
        return _not_made("expired", f"{call.tool.name} was not called: nobody approved it in time")
    reason = approval.decision.reason if approval.decision is not None else ""
    if approval.kind == "hand_over":
        return _not_made("rejected", f"Nobody can take over now{f': {reason}' if reason else ''}")
    return _not_made(
        "rejected", f"{call.tool.name} was not called: a person rejected it{f': {reason}' if reason else ''}"
    )
