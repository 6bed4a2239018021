"""What a durable run writes on SQLite, each as one piece of work of the connection's thread.

Handing a statement over to that thread, and building it anew with SQLAlchemy, costs many times what the statement does.
The contract of the journal holds these to the same as the statements they stand for.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from json import dumps
from typing import Any

from agent.journal.journal import LEASE, Claim, Intent, Outcome, SqlJournal, Transition, taken_over
from agent.journal.record import RunRecord, RunStatus, RunStore
from memory.sessions import Session, message_row
from models.messages import Message
from records.ids import now
from records.tenancy import Confined

_HOLD = """
UPDATE runs SET lease_until = ?, status = ?, stalled = 0 WHERE id = ? AND tenant = ? AND fence = ? AND result IS NULL
"""
_END = """
UPDATE runs SET lease_until = ?, status = ?, result = ?, subject_token = NULL
WHERE id = ? AND tenant = ? AND fence = ? AND result IS NULL
"""
_STEP = """
INSERT INTO steps (run_id, seq, tenant, kind, idempotency_key, status, attempt, intent, started_at)
VALUES (?, ?, ?, ?, ?, 'started', ?, ?, ?)
ON CONFLICT (run_id, seq) DO UPDATE SET attempt = excluded.attempt, started_at = excluded.started_at
WHERE steps.tenant = excluded.tenant
"""
_OUTCOME = "UPDATE steps SET status = ?, result = ?, ended_at = ? WHERE run_id = ? AND tenant = ? AND seq = ?"
_FORGET = "DELETE FROM messages WHERE session_id = ? AND run_id = ? AND tenant = ?"
_SAY = """
INSERT INTO messages (session_id, tenant, run_id, role, content, detail, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_USE = "UPDATE sessions SET updated_at = ?, turn = NULL WHERE id = ? AND tenant = ?"
_SEAL = "UPDATE runs SET ended_at = ? WHERE id = ? AND tenant = ?"
_SESSION = "INSERT INTO sessions (id, tenant, principal, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
_RUN = """
INSERT INTO runs (id, tenant, principal, session_id, status, model, config_version, request, authority, lane,
    fence, lease_owner, lease_until, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class SqliteJournal(SqlJournal):
    """The journal in an SQLite database."""

    async def write(self, claim: Claim, transition: Transition) -> None:
        """Write a transition as one piece of work, unless it asks for approvals."""
        if transition.asked or transition.said:
            await super().write(claim, transition)
            return
        moment = now()

        def work(connection: Confined) -> bool:
            held = (_text(moment + transition.lease), "running", claim.run_id, claim.tenant, claim.fence)
            if not connection.execute(_HOLD, held).rowcount:
                return False
            _begin(connection, claim, transition.begun, moment)
            _end(connection, claim, transition.ended, moment)
            return True

        if not await self._database.sqlite(work):
            raise taken_over(claim)


class SqliteRunStore(RunStore):
    """The table of runs in an SQLite database."""

    async def _end(
        self,
        claim: Claim,
        status: RunStatus,
        result: Mapping[str, Any],
        said: Sequence[Message],
        ended: Sequence[Outcome],
    ) -> bool:
        """Record the end of a run as one piece of work."""
        moment = now()
        at = _text(moment)

        def work(connection: Confined) -> bool:
            held = (_text(moment + LEASE), status, dumps(result), claim.run_id, claim.tenant, claim.fence)
            if not connection.execute(_END, held).rowcount:
                return False
            _end(connection, claim, ended, moment)
            if claim.fence > 1:
                connection.execute(_FORGET, (claim.session_id, claim.run_id, claim.tenant))
            owner = (claim.session_id, claim.tenant, claim.run_id)
            rows = [(*owner, row["role"], row["content"], dumps(row["detail"]), at) for row in map(message_row, said)]
            connection.executemany(_SAY, rows)
            connection.execute(_USE, (at, claim.session_id, claim.tenant))
            return True

        return await self._database.sqlite(work)

    async def seal(self, tenant: str, run_ids: Collection[str]) -> None:
        """Record as one piece of work that the logs of these runs are complete."""
        at = _text(now())

        def work(connection: Confined) -> None:
            connection.executemany(_SEAL, [(at, run_id, tenant) for run_id in run_ids])

        await self._database.sqlite(work)

    async def _insert(self, record: RunRecord, session: Session | None, config_version: str, first: Intent) -> None:
        at, owner = _text(record.created_at), (record.tenant, record.principal)
        request, authority = dumps(record.request), dumps(record.authority)
        worker, until = self._lease(record)
        held = (record.lane, record.fence, worker, until and _text(until))
        run = (record.id, *owner, record.session_id, record.status, record.model, config_version, request, authority)

        def work(connection: Confined) -> bool:
            if session is not None:
                connection.execute(_SESSION, (session.id, *owner, session.title, at, at))
            connection.execute(_RUN, (*run, *held, at))
            _begin(connection, record.claim, [first], record.created_at)
            return True

        await self._database.sqlite(work)


def _begin(connection: Confined, claim: Claim, begun: Sequence[Intent], moment: datetime) -> None:
    at = _text(moment)
    for each in begun:
        intent = dumps(each.intent)
        values = (claim.run_id, each.seq, claim.tenant, each.kind, each.key, each.attempt, intent, at)
        connection.execute(_STEP, values)


def _end(connection: Confined, claim: Claim, ended: Sequence[Outcome], moment: datetime) -> None:
    at = _text(moment)
    for each in ended:
        connection.execute(_OUTCOME, (each.status, dumps(each.result), at, claim.run_id, claim.tenant, each.seq))


def _text(moment: datetime) -> str:
    """A time as SQLAlchemy keeps it in SQLite."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
