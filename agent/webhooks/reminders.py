"""Reminds of approvals that nobody has decided, once each, some time before they expire."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from agent.webhooks.endpoints import Endpoints
from agent.webhooks.notices import Notices
from records.database import Database
from records.schema import approvals, runs, webhook_deliveries
from records.tenancy import Crossing, across_tenants

_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    run_id: str
    tenant: str
    session_id: str
    webhook: str | None


class Reminders:
    """The reminders of every tenant.

    Args:
        before: How long before an approval expires.
    """

    def __init__(self, database: Database, endpoints: Endpoints, notices: Notices, before: timedelta) -> None:
        self._database = database
        self._wanted = endpoints.want("approval.reminder")
        self._notices = notices
        self._before = before

    async def remind(self, moment: datetime) -> int:
        """Remind of what expires soon, some at once; gives of how many. Nobody is reminded of the same twice."""
        if not self._wanted:
            return 0
        open_ = (approvals.c.status == "pending", approvals.c.reminded_at.is_(None))
        soon = (approvals.c.expires_at > moment, approvals.c.expires_at <= moment + self._before)
        query = select(approvals, runs.c.request).join(
            runs, (runs.c.id == approvals.c.run_id) & (runs.c.tenant == approvals.c.tenant)
        )
        query = across_tenants(query, Crossing.UPKEEP).where(*open_, *soon).order_by(approvals.c.id).limit(_AT_ONCE)
        async with self._database.read() as connection:
            due = (await connection.execute(query)).all()
        reminded = 0
        for row in due:
            run = _Waiting(
                run_id=row.run_id, tenant=row.tenant, session_id=row.session_id, webhook=row.request.get("webhook")
            )
            rows = self._notices.of_reminder(run, row._asdict())
            mine = update(approvals).where(approvals.c.id == row.id, approvals.c.tenant == row.tenant, *open_)
            inserts = [webhook_deliveries.insert().values(**each) for each in rows]
            reminded += await self._database.write_at_once(inserts, only_if=mine.values(reminded_at=moment))
        if reminded:
            self._notices.written.set()
        return reminded
