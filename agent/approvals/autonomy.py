"""How far a tool may go by itself now: what the policy says, unless it was stopped or has gone wrong too often."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from agent.approvals.gate import Gatekeeper
from agent.approvals.switches import Switches
from records.database import Database
from records.principal import Principal
from records.schema import approvals, steps
from records.tenancy import Crossing, across_tenants
from tools.policy import Gate
from tools.toolset import CheckedCall

_WRONG = frozenset({"failed", "unknown", "rejected"})
_RIGHT = "done"
"""A call that was refused, only suggested, or waited for in vain says nothing about the tool."""

_LOOKED_AT = 500
_FRESH_SECONDS = 10.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a tool may go wrong before a person has to agree to its calls.

    Attributes:
        window: How many of its last calls count.
        wrong: How many of these may have failed, or been rejected or edited by a person.
    """

    window: int = 20
    wrong: int = 5


def exhausted(went_wrong: Sequence[bool], patience: Patience) -> bool:
    """Whether too many of the last calls, the newest first, went wrong."""
    return sum(went_wrong[: patience.window]) > patience.wrong


class TrackRecord:
    """What became of a tool's calls, from the journal and from what people decided; some seconds old at most."""

    def __init__(self, database: Database, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._patience = patience
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, bool]] = {}

    async def poor(self, tenant: str, tool: str) -> bool:
        """Whether the tool has gone wrong too often for this tenant."""
        moment = self._clock()
        known = self._known.get((tenant, tool))
        if known is not None and moment - known[0] < _FRESH_SECONDS:
            return known[1]
        poor = exhausted(await self._went_wrong(tenant, tool), self._patience)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[tenant, tool] = (moment, poor)
        return poor

    async def _went_wrong(self, tenant: str, tool: str) -> Sequence[bool]:
        """Of the tool among the tenant's last calls, the newest first."""
        edited = (
            select(approvals.c.id)
            .where(
                approvals.c.tenant == steps.c.tenant,
                approvals.c.run_id == steps.c.run_id,
                approvals.c.step == steps.c.seq,
                approvals.c.status == "edited",
            )
            .exists()
        )
        query = (
            select(steps.c.intent, steps.c.status, edited.label("edited"))
            .where(steps.c.tenant == tenant, steps.c.kind == "tool", steps.c.status.in_([*_WRONG, _RIGHT]))
            .order_by(steps.c.ended_at.desc())
            .limit(_LOOKED_AT)
        )
        async with self._database.read() as connection:
            # The name is looked for here: PostgreSQL cannot look into JSON that holds a NUL.
            rows = [row for row in await connection.execute(query) if row.intent.get("name") == tool]
        return [row.edited or row.status in _WRONG for row in rows]


class AutonomyGate:
    """Judges by another gate, unless a switch stops the tool; one that acts by itself has to do well at it.

    Reads are not watched: a search that fails is no reason to ask a person before the next.
    """

    def __init__(self, gate: Gatekeeper, switches: Switches, record: TrackRecord) -> None:
        self._gate = gate
        self._switches = switches
        self._record = record

    async def judge(self, call: CheckedCall, principal: Principal) -> Gate:
        """What holds for the call now."""
        stopped = await self._switches.of(principal.tenant, call.tool.name)
        if stopped is not None:
            return Gate(autonomy="refuse", reason=f"it was stopped by {stopped.set_by}: {stopped.reason}")
        gate = await self._gate.judge(call, principal)
        if gate.autonomy != "auto" or call.tool.effect == "read":
            return gate
        if await self._record.poor(principal.tenant, call.tool.name):
            return gate.at_most("confirm", f"too many of the last calls of {call.tool.name} went wrong")
        return gate


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReport:
    """What people said to a tool's proposals."""

    tool: str
    proposals: int
    pending: int
    approved: int
    edited: int
    rejected: int
    expired: int


async def report(database: Database, tenant: str | None = None) -> Sequence[ToolReport]:
    """What people said to the proposals of each tool, of one tenant or of all."""

    def count(status: str) -> Any:
        return func.sum(case((approvals.c.status == status, 1), else_=0)).label(status)

    statuses = ("pending", "approved", "edited", "rejected", "expired")
    query = select(approvals.c.tool, func.count().label("proposals"), *(count(status) for status in statuses))
    query = query.where(approvals.c.kind == "call").group_by(approvals.c.tool).order_by(approvals.c.tool)
    query = across_tenants(query, Crossing.OPERATOR) if tenant is None else query.where(approvals.c.tenant == tenant)
    async with database.read() as connection:
        return [ToolReport(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001
