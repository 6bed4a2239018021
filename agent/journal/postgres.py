"""What a durable run writes on PostgreSQL, each in one statement and so in one round trip.

A run that calls a tool writes five times; with a trip for every statement, and SQLAlchemy building each anew, that cost
more than all the rest of the run. The contract of the journal holds these to the same as the statements they stand for.
"""

from collections.abc import Collection, Mapping, Sequence
from json import dumps
from typing import Any

from agent.journal.journal import LEASE, Claim, Intent, Outcome, SqlJournal, Transition, taken_over
from agent.journal.record import RunRecord, RunStatus, RunStore
from memory.sessions import Session, message_row
from models.messages import Message
from records.ids import now

_STEPS = """
INSERT INTO steps (run_id, seq, tenant, kind, idempotency_key, status, attempt, intent, started_at, result, ended_at)
SELECT {run}, b.seq, {tenant}, b.kind, b.key, coalesce(b.status, 'started'), b.attempt, b.intent::json, {at},
    b.result::json, CASE WHEN b.status IS NOT NULL THEN {at} END
FROM {source} json_to_recordset({begun}::json)
    AS b (seq int, kind text, key text, attempt int, intent text, status text, result text)
ON CONFLICT (run_id, seq) DO UPDATE SET attempt = excluded.attempt, started_at = excluded.started_at
WHERE steps.tenant = excluded.tenant
"""
_OUTCOMES = """
UPDATE steps SET status = e.status, result = e.result::json, ended_at = {at}
FROM held, json_to_recordset({ended}::json) AS e (seq int, status text, result text)
WHERE steps.run_id = held.id AND steps.seq = e.seq AND steps.tenant = {tenant}
"""
_TRANSITION = f"""
WITH held AS (
    UPDATE runs SET lease_until = $3, status = 'running', stalled = 0
    WHERE id = $1 AND tenant = $7::text AND fence = $2 AND result IS NULL RETURNING id
), began AS ({_STEPS.format(run="held.id", tenant="$7::text", at="$4::timestamptz", source="held,", begun="$5")}),
ended AS ({_OUTCOMES.format(tenant="$7::text", at="$4::timestamptz", ended="$6")})
SELECT count(*) FROM held
"""  # noqa: S608 - put together from what stands in this file
_END = f"""
WITH held AS (
    UPDATE runs SET lease_until = $3, status = $4, result = $5::json, subject_token = NULL
    WHERE id = $1 AND tenant = $9::text AND fence = $2 AND result IS NULL RETURNING id, session_id
), ended AS ({_OUTCOMES.format(tenant="$9::text", at="$6::timestamptz", ended="$7")}),
forgotten AS (
    DELETE FROM messages USING held
    WHERE messages.session_id = held.session_id AND messages.run_id = held.id AND messages.tenant = $9::text AND $2 > 1
), said AS (
    INSERT INTO messages (session_id, tenant, run_id, role, content, detail, created_at)
    SELECT held.session_id, $9::text, held.id, m.role, m.content, m.detail::json, $6
    FROM held, ROWS FROM (json_to_recordset($8::text::json) AS (role text, content text, detail text))
        WITH ORDINALITY AS m (role, content, detail, place)
    ORDER BY m.place
), used AS (
    UPDATE sessions SET turn = nullif(turn, held.id),
        updated_at = CASE WHEN $8::text = '[]' THEN updated_at ELSE $6 END
    FROM held WHERE sessions.id = held.session_id AND sessions.tenant = $9::text
)
SELECT count(*) FROM held
"""  # noqa: S608 - put together from what stands in this file

_SEAL = "UPDATE runs SET ended_at = $3 WHERE tenant = $1 AND id = ANY($2::text[])"
_ACCEPT = f"""
WITH session AS (
    INSERT INTO sessions (id, tenant, principal, title, created_at, updated_at, turn)
    SELECT $1, $2, $3, $4, $5, $5, $6 WHERE $4::text IS NOT NULL
), run AS (
    INSERT INTO runs (id, tenant, principal, session_id, status, model, config_version, request, authority, lane,
        fence, lease_owner, lease_until, created_at)
    VALUES ($6, $2, $3, $1, 'queued', $7, $8, $9::json, $10::json, $11, $12, $13, $14, $5)
)
{_STEPS.format(run="$6", tenant="$2", at="$5::timestamptz", source="", begun="$15")}
"""  # noqa: S608 - put together from what stands in this file


class PostgresJournal(SqlJournal):
    """The journal in a PostgreSQL database."""

    async def write(self, claim: Claim, transition: Transition) -> None:
        """Write a transition in one statement, unless it asks for approvals."""
        if transition.asked or transition.said:
            await super().write(claim, transition)
            return
        moment = now()
        begun, ended = _rows(transition.begun, transition.ended)
        values = (claim.run_id, claim.fence, moment + transition.lease, moment, begun, ended, claim.tenant)
        if not await self._database.postgres(_TRANSITION, *values):
            raise taken_over(claim)


class PostgresRunStore(RunStore):
    """The table of runs in a PostgreSQL database."""

    async def _end(
        self,
        claim: Claim,
        status: RunStatus,
        result: Mapping[str, Any],
        said: Sequence[Message],
        ended: Sequence[Outcome],
    ) -> bool:
        """Record the end of a run in one statement."""
        moment = now()
        rows = [{**row, "detail": dumps(row["detail"])} for row in map(message_row, said)]
        values = (moment + LEASE, status, dumps(result), moment, _rows((), ended)[1], dumps(rows), claim.tenant)
        return bool(await self._database.postgres(_END, claim.run_id, claim.fence, *values))

    async def seal(self, tenant: str, run_ids: Collection[str]) -> None:
        """Record in one statement that the logs of these runs are complete."""
        await self._database.postgres(_SEAL, tenant, list(run_ids), now())

    async def _insert(self, record: RunRecord, session: Session | None, config_version: str, first: Intent) -> None:
        title = session.title if session is not None else None
        run = (record.id, record.model, config_version, dumps(record.request), dumps(record.authority))
        lease = (record.lane, record.fence, *self._lease(record))
        owner = (record.session_id, record.tenant, record.principal)
        await self._database.postgres(_ACCEPT, *owner, title, record.created_at, *run, *lease, _rows([first], ())[0])


def _rows(begun: Sequence[Intent], ended: Sequence[Outcome]) -> tuple[str, str]:
    """Both as JSON. A step that begins and ends at once is written once: a statement does not see its own rows."""
    # JSON within JSON: PostgreSQL would not take an escaped NUL out of the outer one.
    outcomes = {each.seq: {"status": each.status, "result": dumps(each.result)} for each in ended}
    rows = [
        {
            "seq": each.seq,
            "kind": each.kind,
            "key": each.key,
            "attempt": each.attempt,
            "intent": dumps(each.intent),
            **outcomes.pop(each.seq, {}),
        }
        for each in begun
    ]
    return dumps(rows), dumps([{"seq": seq, **outcome} for seq, outcome in outcomes.items()])
