"""Who holds a run: taken up by one worker at a time, kept by signs of life, and by another one's when these stop.

Every taking-up raises the run's fence, and every write names the fence it was taken with: a worker that lost its run,
because it was frozen or cut off from the database, can write nothing for it any more.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, or_, select, tuple_, update

from agent.journal.journal import LEASE, Claim
from agent.journal.record import RunRecord, run_record
from records.database import Database
from records.ids import now
from records.schema import approvals, runs
from records.tenancy import Crossing, across_tenants

RESTING = "waiting_approval"
_SPARED = {"stalled": case((runs.c.stalled > 0, runs.c.stalled - 1), else_=0)}

# The row of the run is locked, so that nobody takes it up, ends it or lets it rest meanwhile; then what the session's
# row says is looked at as it is once it is locked, too. Only the order depends on what was read before.
_TAKE_TURN = f"""
WITH mine AS (
    SELECT id FROM runs
    WHERE id = $1 AND tenant = $2 AND fence = $4 AND result IS NULL AND status <> '{RESTING}' FOR UPDATE
)
UPDATE sessions SET turn = mine.id FROM mine
WHERE sessions.id = $3 AND sessions.tenant = $2 AND (sessions.turn = mine.id OR (sessions.turn IS NULL AND NOT EXISTS (
    SELECT FROM runs WHERE session_id = $3 AND tenant = $2 AND id < $1 AND result IS NULL AND status <> '{RESTING}'
))) RETURNING sessions.id
"""  # noqa: S608 - put together from what stands in this file
# Those that end or rest leave it themselves; but not in an older version of Cairn. Gives whether there is a session.
_FREE_TURN = f"""
WITH left_behind AS (
    SELECT runs.id FROM runs, sessions
    WHERE sessions.id = $2 AND sessions.tenant = $1 AND runs.id = sessions.turn AND runs.tenant = $1
        AND (runs.result IS NOT NULL OR runs.status = '{RESTING}') FOR UPDATE OF runs
), freed AS (
    UPDATE sessions SET turn = NULL FROM left_behind
    WHERE sessions.id = $2 AND sessions.tenant = $1 AND sessions.turn = left_behind.id
)
SELECT count(*) FROM sessions WHERE id = $2 AND tenant = $1
"""  # noqa: S608 - put together from what stands in this file


class Claims:
    """The leases in the table of runs.

    Args:
        worker: The name of this process.
        alone: No other process works on this database, so that whatever runs were left behind belong to nobody.
    """

    def __init__(self, database: Database, worker: str, *, alone: bool) -> None:
        self._database = database
        self._worker = worker
        self._alone = alone

    @property
    def alone(self) -> bool:
        """Whether no other process works on this database."""
        return self._alone

    async def take(self, run_id: str) -> RunRecord | None:
        """Take up a run that has not ended and that nobody holds; None when there is none, or somebody was quicker."""
        query = across_tenants(update(runs), Crossing.CLAIMS).where(runs.c.id == run_id, runs.c.result.is_(None))
        if not self._alone:
            free = or_(runs.c.status == RESTING, runs.c.lease_until.is_(None), runs.c.lease_until < now())
            query = query.where(free)
        async with self._database.statement() as connection:
            row = (
                await connection.execute(query.values(taking(self._worker, now() + LEASE)).returning(runs))
            ).one_or_none()
        return run_record(row) if row is not None else None

    async def give_up(self, claim: Claim) -> None:
        """Let others take up the run at once, as this process is about to stop."""
        mine = (runs.c.id == claim.run_id, runs.c.tenant == claim.tenant, runs.c.fence == claim.fence)
        going_on = (runs.c.result.is_(None), runs.c.status != RESTING)
        async with self._database.statement() as connection:
            await connection.execute(update(runs).where(*mine, *going_on).values(lease_until=None, **_SPARED))

    async def rest(self, claim: Claim) -> None:
        """Note that the run waits for people, and that whoever follows it was told so."""
        mine = (runs.c.id == claim.run_id, runs.c.tenant == claim.tenant, runs.c.fence == claim.fence)
        values = {"status": RESTING, "lease_until": None, **_SPARED}
        async with self._database.statement() as connection:
            await connection.execute(update(runs).where(*mine, runs.c.result.is_(None)).values(values))

    async def untold(self, run_id: str) -> bool:
        """Whether the run waits for people, and its worker may have died before it told so."""
        query = select(runs.c.id).where(runs.c.id == run_id, *untold(None if self._alone else now()))
        async with self._database.read() as connection:
            return await connection.scalar(across_tenants(query, Crossing.CLAIMS)) is not None

    async def spare(self, claim: Claim) -> None:
        """Forget that the run was taken up: it only waits, or could not be gone on with for no fault of its own."""
        await self._count(claim, _SPARED)

    async def begin(self, claim: Claim) -> None:
        """Remember that the run, which had only waited, is being carried out."""
        await self._count(claim, {"stalled": runs.c.stalled + 1})

    async def _count(self, claim: Claim, values: Mapping[str, Any]) -> None:
        mine = (runs.c.id == claim.run_id, runs.c.tenant == claim.tenant, runs.c.fence == claim.fence)
        async with self._database.statement() as connection:
            await connection.execute(update(runs).where(*mine).values(values))

    async def orphans(self) -> Sequence[str]:
        """Runs that should go on, but that nobody holds; the oldest first."""
        unheld = and_(runs.c.status != RESTING, or_(runs.c.lease_until.is_(None), runs.c.lease_until < now()))
        # Who decided the last approval of a run may have died before the run was woken.
        pending = exists().where(approvals.c.run_id == runs.c.id, approvals.c.status == "pending")
        unwoken = and_(runs.c.status == RESTING, ~pending)
        left = or_(unheld, unwoken, and_(*untold(now())))
        query = select(runs.c.id).where(runs.c.ended_at.is_(None), runs.c.result.is_(None), left)
        async with self._database.read() as connection:
            return (await connection.scalars(across_tenants(query, Crossing.CLAIMS).order_by(runs.c.id))).all()

    async def keep(self, claims: Collection[Claim]) -> frozenset[str]:
        """Show a sign of life for these runs; gives the ids of those that are still this worker's."""
        # A list of values, so that it is the same statement however many there are.
        held = [(claim.run_id, claim.tenant, claim.fence) for claim in claims]
        mine = tuple_(runs.c.id, runs.c.tenant, runs.c.fence).in_(held)
        until = now() + LEASE
        # A lease that a call has made longer stays as long.
        longer = case((runs.c.lease_until > until, runs.c.lease_until), else_=until)
        query = update(runs).where(mine, runs.c.result.is_(None)).values(lease_until=longer).returning(runs.c.id)
        async with self._database.statement() as connection:
            return frozenset((await connection.scalars(across_tenants(query, Crossing.CLAIMS))).all())

    async def ask_to_cancel(self, record: RunRecord, reason: str) -> None:
        """Ask whoever holds the run, now or after a crash, to end it; the first reason stands."""
        query = update(runs).where(runs.c.id == record.id, runs.c.tenant == record.tenant)
        query = query.where(runs.c.result.is_(None), runs.c.cancel_reason.is_(None))
        async with self._database.statement() as connection:
            await connection.execute(query.values(cancel_reason=reason))

    async def asked_to_cancel(self, run_ids: Collection[str]) -> Mapping[str, str]:
        """Of these runs those that are to end, and why."""
        query = select(runs.c.id, runs.c.cancel_reason).where(runs.c.id.in_(run_ids), runs.c.cancel_reason.isnot(None))
        async with self._database.read() as connection:
            rows = await connection.execute(across_tenants(query, Crossing.CLAIMS))
            return {row.id: row.cancel_reason for row in rows}

    async def take_turn(self, record: RunRecord) -> bool:
        """Whether the run may go on in its session, of whose runs one does at any moment, in whatever process.

        If so its session is its own until it ends or rests, whoever takes it up meanwhile. The runs of a session go in
        the order in which they came, but for those that have rested: these wait for one that has begun since.
        PostgreSQL only: whoever is alone needs none of this.
        """
        mine = (record.id, record.tenant, record.session_id)
        if await self._database.postgres(_TAKE_TURN, *mine, record.fence):
            return True
        # Nobody can be waited for in a session that was deleted.
        return not await self._database.postgres(_FREE_TURN, *mine[1:]) and await self.is_next(record)

    async def is_next(self, record: RunRecord) -> bool:
        """Whether no earlier run of the session goes on."""
        earlier = and_(runs.c.session_id == record.session_id, runs.c.id < record.id, runs.c.tenant == record.tenant)
        query = select(runs.c.id).where(earlier, runs.c.result.is_(None), runs.c.status != RESTING).limit(1)
        async with self._database.read() as connection:
            return (await connection.scalar(query)) is None


def untold(moment: datetime | None) -> "list[ColumnElement[bool]]":
    """Of a run that waits for people: its lease was not given back, though whoever had it is gone.

    Args:
        moment: When it must have run out; None where nobody else can have it.
    """
    lapsed = runs.c.lease_until.isnot(None) if moment is None else runs.c.lease_until < moment
    return [runs.c.status == RESTING, runs.c.result.is_(None), lapsed]


def taking(worker: Any, until: Any) -> dict[str, Any]:
    """What changes in the row of a run that the worker takes up: values, or parameters that stand for them."""
    # A run that rests is nobody's; from now on it is somebody's.
    held = {"status": "queued", "lease_owner": worker, "lease_until": until}
    # The journal sets ``stalled`` back with whatever it writes for the run.
    return {**held, "fence": runs.c.fence + 1, "stalled": runs.c.stalled + 1}
