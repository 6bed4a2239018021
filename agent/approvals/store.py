"""Approvals: what a run may not do unless a person agrees, and what the person said.

A row is signed when it is asked for and again when it is decided. Whoever can write to the database can neither agree
in somebody's name nor change what was agreed to: such a row is not genuine, and nothing is done for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.approvals.approval import (
    Approval,
    ApprovalDecided,
    ApprovalForbidden,
    ApprovalNotFound,
    ApprovalNotGenuine,
    ApprovalRequest,
    ApprovalStatus,
    Decision,
    DecisionImpossible,
    Verb,
)
from agent.approvals.signing import Signer, digest
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal
from records.schema import approvals
from records.tenancy import Crossing, across_tenants

__all__ = [
    "Approval",
    "ApprovalDecided",
    "ApprovalForbidden",
    "ApprovalNotFound",
    "ApprovalNotGenuine",
    "ApprovalRequest",
    "ApprovalStatus",
    "ApprovalStore",
    "Decision",
    "DecisionImpossible",
]

ADMIN = "admin"
"""The role that may decide whatever is asked."""

_STATUS: Mapping[Verb, ApprovalStatus] = {"approve": "approved", "edit": "edited", "reject": "rejected"}
_AT_ONCE = 200
_ASKED = "approval asked/1"
_DECIDED = "approval decided/1"


class Asker(Protocol):
    """The run that asks."""

    @property
    def id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def principal(self) -> str: ...
    @property
    def session_id(self) -> str: ...


class ApprovalStore:
    """The table of approvals.

    Args:
        expire_seconds: How long a person may take.
    """

    def __init__(self, database: Database, signer: Signer, expire_seconds: float) -> None:
        self._database = database
        self._signer = signer
        self._patience = timedelta(seconds=expire_seconds)

    def rows(self, run: Asker, requests: Sequence[ApprovalRequest]) -> list[dict[str, Any]]:
        """The rows that ask for these, signed; the journal inserts them as part of its transaction."""
        moment = now()
        asked = [
            Approval(
                id=new_id(),
                tenant=run.tenant,
                principal=run.principal,
                run_id=run.id,
                session_id=run.session_id,
                step=request.step,
                call_id=request.call_id,
                kind=request.kind,
                tool=request.tool,
                effect=request.effect,
                arguments=dict(request.arguments),
                digest=digest(request.arguments),
                record=request.record,
                reason=_storable(request.reason),
                sources=[dict(source) for source in request.sources],
                approvers=request.approvers,
                status="pending",
                decision=None,
                decided_by=None,
                decided_at=None,
                mac=None,
                created_at=moment,
                expires_at=moment + self._patience,
            )
            for request in requests
        ]
        return [_row(self._signed(approval)) for approval in asked]

    def genuine(self, approval: Approval) -> bool:
        """Whether the row is what was asked for and decided; nothing may be done for one that is not."""
        try:
            fits = digest(approval.final_arguments) == approval.digest
            return fits and self._signer.verify(*_signed_part(approval), approval.mac)
        except ValueError:  # a number that is no JSON was put there
            return False

    async def of_run(self, run_id: str) -> list[Approval]:
        """What a run asked, in the order of its steps; for whoever is about to take it up."""
        query = select(approvals).where(approvals.c.run_id == run_id).order_by(approvals.c.step, approvals.c.id)
        async with self._database.read() as connection:
            rows = await connection.execute(across_tenants(query, Crossing.CLAIMS))
            return [_approval(row) for row in rows]

    async def waits(self, run_id: str) -> bool:
        """Whether anything that the run asked is left to decide."""
        left = select(approvals.c.id).where(approvals.c.run_id == run_id, approvals.c.status == "pending").limit(1)
        async with self._database.read() as connection:
            return (await connection.scalar(across_tenants(left, Crossing.CLAIMS))) is not None

    async def get(self, principal: Principal, approval_id: str) -> Approval:
        """The approval with this id.

        Raises:
            ApprovalNotFound: The principal's tenant has none.
        """
        async with self._database.read() as connection:
            row = (await connection.execute(select(approvals).where(*_is(principal, approval_id)))).first()
        if row is None:
            raise ApprovalNotFound(f"there is no approval {approval_id!r}")
        return _approval(row)

    async def list(
        self, principal: Principal, *, status: ApprovalStatus | None = None, limit: int, before: str | None = None
    ) -> Sequence[Approval]:
        """The tenant's approvals, the newest first; those older than the one with the id ``before`` when given.

        They come without ``record`` and ``sources``, which may be large: too little to tell whether one is genuine.
        """
        light = [column for column in approvals.c if column.name not in {"record", "sources"}]
        query = select(*light).where(approvals.c.tenant == principal.tenant)
        if status is not None:
            query = query.where(approvals.c.status == status)
        if before is not None:
            query = query.where(approvals.c.id < before)
        async with self._database.read() as connection:
            return [
                _approval(row) for row in await connection.execute(query.order_by(approvals.c.id.desc()).limit(limit))
            ]

    async def decide(self, principal: Principal, approval_id: str, decision: Decision) -> Approval:
        """Decide for good: of several deciders at once one decides, and the others learn what.

        Raises:
            ApprovalNotFound: The principal's tenant has none with this id.
            ApprovalForbidden: The principal has none of the roles that may.
            ApprovalDecided: It was decided, has expired or was cancelled.
            ApprovalNotGenuine: Its row was changed in the database.
            DecisionImpossible: Arguments without ``edit``, or the other way round; or an edit of a call already made.
        """
        asked = await self.get(principal, approval_id)
        _allow(principal, asked)
        moment = now()
        _require_pending(asked, moment)
        _require_possible(asked, decision)
        if not self.genuine(asked):
            raise ApprovalNotGenuine(f"approval {approval_id} was changed in the database; it cannot be decided")
        said = replace(decision, reason=_storable(decision.reason))
        decided = self._closed(asked, _STATUS[decision.decision], moment, said, principal.id)
        async with self._database.write() as connection:
            in_time = or_(approvals.c.expires_at.is_(None), approvals.c.expires_at > moment)
            row = await _close(connection, decided, asked, in_time)
        if row is None:
            _require_pending(await self.get(principal, approval_id), moment)
            raise ApprovalNotGenuine(f"approval {approval_id} was changed in the database; it cannot be decided")
        return _approval(row)

    async def expire(self, moment: datetime) -> Sequence[str]:
        """Close what nobody decided in time, some at once; gives the ids of the runs that waited for it."""
        late = select(approvals).where(approvals.c.status == "pending", approvals.c.expires_at <= moment)
        due = across_tenants(late, Crossing.UPKEEP)
        return await self._give_up(due.order_by(approvals.c.id).limit(_AT_ONCE), "expired", moment)

    async def cancel(self, run: Asker) -> None:
        """Close what a run asked that has ended without waiting for it."""
        mine = (approvals.c.run_id == run.id, approvals.c.tenant == run.tenant)
        left = select(approvals).where(*mine, approvals.c.status == "pending")
        await self._give_up(left.order_by(approvals.c.id), "cancelled", now())

    async def _give_up(self, query: Any, status: ApprovalStatus, moment: datetime) -> Sequence[str]:
        async with self._database.write() as connection:
            left = [_approval(row) for row in await connection.execute(query)]
            # A row that was tampered with is closed, too, but not signed: it stays what it is.
            closed = [
                (self._closed(asked, status, moment) if self.genuine(asked) else replace(asked, status=status), asked)
                for asked in left
            ]
            won = [after for after, asked in closed if await _close(connection, after, asked) is not None]
        return list(dict.fromkeys(approval.run_id for approval in won))

    def _closed(
        self,
        asked: Approval,
        status: ApprovalStatus,
        moment: datetime,
        decision: Decision | None = None,
        decided_by: str | None = None,
    ) -> Approval:
        closed = replace(asked, status=status, decision=decision, decided_by=decided_by, decided_at=moment)
        return self._signed(replace(closed, digest=digest(closed.final_arguments)))

    def _signed(self, approval: Approval) -> Approval:
        return replace(approval, mac=self._signer.sign(*_signed_part(approval)))


async def _close(
    connection: AsyncConnection, closed: Approval, asked: Approval, *conditions: ColumnElement[bool]
) -> Row[Any] | None:
    """Write the decision if the row is still the pending one that was read."""
    values = _row(closed)
    query = (
        update(approvals)
        .where(approvals.c.id == asked.id, approvals.c.tenant == asked.tenant, *conditions)
        .where(approvals.c.status == "pending", approvals.c.mac == asked.mac)
        .values({name: values[name] for name in ("status", "decision", "digest", "decided_by", "decided_at", "mac")})
        .returning(approvals)
    )
    row: Row[Any] | None = (await connection.execute(query)).first()
    return row


def _allow(principal: Principal, asked: Approval) -> None:
    if asked.approvers and not principal.roles & {*asked.approvers, ADMIN}:
        roles = " or ".join(asked.approvers)
        raise ApprovalForbidden(f"{asked.tool} is approved by somebody with the role {roles}")


def _require_pending(asked: Approval, moment: datetime) -> None:
    late = asked.expires_at is not None and asked.expires_at <= moment
    if asked.status != "pending":
        raise ApprovalDecided(asked)
    if late:
        raise ApprovalDecided(replace(asked, status="expired"))


def _require_possible(asked: Approval, decision: Decision) -> None:
    edits = decision.decision == "edit"
    if edits != (decision.arguments is not None):
        raise DecisionImpossible("arguments belong to the decision edit, and to no other")
    if edits and asked.kind == "outcome_unknown":
        raise DecisionImpossible("this call was made and may have acted: approve making it again, or reject that")
    if asked.kind == "hand_over" and (edits or (decision.decision == "approve" and not decision.reason.strip())):
        raise DecisionImpossible("somebody waits for a reply: approve with it as the reason, or reject")


def _is(principal: Principal, approval_id: str) -> tuple[ColumnElement[bool], ...]:
    return approvals.c.id == approval_id, approvals.c.tenant == principal.tenant


def _signed_part(approval: Approval) -> tuple[str, dict[str, Any]]:
    """The label and the data of an approval's signature: every field but the signature itself."""
    data = {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in _row(approval).items()
        if key != "mac"
    }
    return (_ASKED if approval.status == "pending" else _DECIDED), data


def _row(approval: Approval) -> dict[str, Any]:
    said = approval.decision
    return {name: getattr(approval, name) for name in Approval.__dataclass_fields__} | {
        "approvers": list(approval.approvers),
        "decision": said and {"decision": said.decision, "arguments": said.arguments, "reason": said.reason},
    }


def _approval(row: Any) -> Approval:
    values = {name: getattr(row, name, None) for name in Approval.__dataclass_fields__}
    values["sources"] = values["sources"] or []
    said = values["decision"]
    return Approval(
        **values | {"approvers": tuple(row.approvers), "decision": Decision(**said) if said is not None else None}
    )


def _storable(text: str) -> str:
    """The text without what a database's text cannot hold: PostgreSQL knows no NUL, and neither half a character."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
