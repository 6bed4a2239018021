"""Deleting a session for real: its messages, its runs, all that they did and said; only that there was one is kept.

One transaction deletes the rows and leaves a tombstone, which names the runs whose events are still to be erased: these
are in files, or in Redis. A process that dies in between leaves that to the next round of upkeep.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import structlog
from sqlalchemy import Text, cast, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.log.log import EventLog
from memory.erasing import write_back
from memory.sessions import SessionNotFound
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import (
    approvals,
    idempotency,
    messages,
    run_feedback,
    runs,
    session_scratch,
    session_summaries,
    session_tombstones,
    sessions,
    steps,
    webhook_deliveries,
)
from records.tenancy import Crossing, across_tenants

Reason = Literal["deleted", "expired", "forgotten"]

SETTLES = timedelta(minutes=10)
"""A tombstone is looked at again so much later: a process that was frozen meanwhile may have written something."""

_POLL_SECONDS = 0.05
_AT_ONCE = 100
_ACTED = frozenset({"write", "irreversible"})

_log = structlog.get_logger("cairn.sessions")


class SessionBusy(Exception):
    """A run of the session is going on."""

    def __init__(self, session_id: str, run_ids: Sequence[str]) -> None:
        told = f"{len(run_ids)} of its runs have not ended, {run_ids[0]} first" if run_ids else "it is being used"
        super().__init__(f"session {session_id} cannot be deleted yet: {told}; cancel them (cancel=true), or wait")


class Cancels(Protocol):
    """What stops runs."""

    async def cancel(self, principal: Principal, run_id: str, reason: str) -> Any:
        """Stop a run at once."""
        ...


class SessionDeletion:
    """Deletes sessions: when asked to, and when their time is up.

    Args:
        runs: Stops runs that are in the way.
        patience: How long a run that was told to stop may take to do so, in seconds.
        settles: When a tombstone is looked at for the last time.
    """

    def __init__(
        self,
        database: Database,
        log: EventLog,
        runs: Cancels,
        *,
        patience: float = 30.0,
        settles: timedelta = SETTLES,
    ) -> None:
        self._database = database
        self._log = log
        self._runs = runs
        self._patience = patience
        self._settles = settles

    async def delete(
        self, principal: Principal, session_id: str, *, cancel: bool = False, reason: Reason = "deleted"
    ) -> None:
        """Delete one of the principal's sessions.

        Args:
            cancel: Stop what goes on in it first.

        Raises:
            SessionNotFound: The id is not one of the principal's sessions.
            SessionBusy: A run of it goes on, or waits for a person; or it does not stop in time.
        """
        await self._settled(principal, session_id, cancel=cancel)
        owner = (principal.id, principal.id)
        if not await self._delete(principal.tenant, session_id, owner, reason):
            raise SessionBusy(session_id, ())
        await write_back(self._database)

    async def delete_all(self, principal: Principal, owner: str, *, cancel: bool = False) -> int:
        """Delete all sessions of a user of the principal's tenant; gives how many there were.

        Raises:
            SessionNotFound: They are another's, and the principal is no administrator.
            SessionBusy: As for ``delete``; those before it are deleted.
        """
        if owner != principal.id and not principal.reads_all:
            raise SessionNotFound("the sessions of another user are not yours to delete")
        whose = Principal(tenant=principal.tenant, id=owner)
        query = select(sessions.c.id).where(sessions.c.tenant == principal.tenant, sessions.c.principal == owner)
        async with self._database.read() as connection:
            found = (await connection.scalars(query.order_by(sessions.c.id))).all()
        for session_id in found:
            await self._settled(whose, session_id, cancel=cancel)
            if not await self._delete(principal.tenant, session_id, (owner, principal.id), "forgotten"):
                raise SessionBusy(session_id, ())
        await write_back(self._database)
        return len(found)

    async def expire(self, days: float) -> int:
        """Delete the sessions that nobody has used for so many days, some at once; those with runs that go on stay."""
        before = now() - timedelta(days=days)
        going_on = exists().where(
            runs.c.tenant == sessions.c.tenant, runs.c.session_id == sessions.c.id, runs.c.ended_at.is_(None)
        )
        query = select(sessions.c.tenant, sessions.c.id, sessions.c.principal).where(sessions.c.updated_at < before)
        query = query.where(~going_on).order_by(sessions.c.updated_at).limit(_AT_ONCE)
        async with self._database.read() as connection:
            late = (await connection.execute(across_tenants(query, Crossing.UPKEEP))).all()
        gone = 0
        for row in late:
            gone += await self._delete(row.tenant, row.id, (row.principal, ""), "expired", before=before)
        if gone:
            await write_back(self._database)
            _log.info("sessions that were not used any more are deleted", count=gone)
        return gone

    async def tend(self) -> None:
        """Finish what was begun: erase the events that are left, and what came to a deleted session later."""
        table = session_tombstones
        query = across_tenants(select(table).where(table.c.settled_at.is_(None)), Crossing.UPKEEP)
        async with self._database.read() as connection:
            unsettled = (await connection.execute(query.order_by(table.c.deleted_at).limit(_AT_ONCE))).all()
        for tombstone in unsettled:
            due = tombstone.deleted_at + self._settles <= now()
            left = tombstone.unfinished
            if due or not left["erased"]:
                try:
                    await self._finish(tombstone.tenant, tombstone.id, left["runs"], last=due)
                except Exception as error:  # noqa: BLE001 - it keeps nobody from the others
                    _log.error("a deleted session is not settled yet", exc_info=error, session_id=tombstone.id)

    async def _settled(self, principal: Principal, session_id: str, *, cancel: bool) -> None:
        """Wait until no run of the session goes on: those that have ended are about to be sealed."""
        deadline = asyncio.get_running_loop().time() + self._patience
        cancelled: set[str] = set()
        while unsealed := await self._unsealed(principal, session_id):
            open_ = [row.id for row in unsealed if row.result is None]
            late = asyncio.get_running_loop().time() > deadline
            if late or (open_ and not cancel):
                raise SessionBusy(session_id, open_)
            for run_id in set(open_) - cancelled:
                cancelled.add(run_id)
                await self._runs.cancel(principal, run_id, "its session is deleted")
            await asyncio.sleep(_POLL_SECONDS)

    async def _unsealed(self, principal: Principal, session_id: str) -> Sequence[Any]:
        is_it = (sessions.c.id == session_id, sessions.c.tenant == principal.tenant)
        there = select(sessions.c.id).where(*is_it, sessions.c.principal == principal.id)
        mine = (runs.c.tenant == principal.tenant, runs.c.session_id == session_id)
        query = select(runs.c.id, runs.c.result).where(*mine, runs.c.ended_at.is_(None)).order_by(runs.c.id)
        async with self._database.read() as connection:
            if (await connection.execute(there)).first() is None:
                raise SessionNotFound(f"there is no session {session_id!r}")
            return (await connection.execute(query)).all()

    async def _delete(
        self, tenant: str, session_id: str, owner: tuple[str, str], reason: Reason, before: datetime | None = None
    ) -> bool:
        """Delete the rows; gives whether there was such a session, none of whose runs goes on."""
        principal, deleted_by = owner
        is_it = [sessions.c.tenant == tenant, sessions.c.id == session_id, sessions.c.principal == principal]
        if before is not None:
            is_it.append(sessions.c.updated_at < before)
        mine = (runs.c.tenant == tenant, runs.c.session_id == session_id)
        async with self._database.write() as connection:
            # To change the row is to hold it: nobody else deletes it, or notes anything down in it.
            held = update(sessions).where(*is_it).values(updated_at=sessions.c.updated_at)
            session = (await connection.execute(held.returning(sessions.c.created_at))).first()
            found = (await connection.execute(select(runs.c.id, runs.c.ended_at).where(*mine))).all()
            if session is None or any(row.ended_at is None for row in found):
                return False
            run_ids = [row.id for row in found]
            tombstone = {
                "tenant": tenant,
                "id": session_id,
                "principal": principal,
                "acts": await _acts(connection, tenant, run_ids),
                "run_count": len(run_ids),
                "reason": reason,
                "deleted_by": deleted_by,
                "created_at": session.created_at,
                "deleted_at": now(),
                "unfinished": {"runs": run_ids, "erased": False},
            }
            await connection.execute(session_tombstones.insert().values(tombstone))
            await _delete_rows(connection, tenant, session_id, run_ids)
            await connection.execute(delete(sessions).where(sessions.c.tenant == tenant, sessions.c.id == session_id))
        try:
            await self._finish(tenant, session_id, run_ids)
        except Exception as error:  # noqa: BLE001 - it is deleted, and what is left is noted
            _log.error("the events of a deleted session are still there", exc_info=error, session_id=session_id)
        return True

    async def _finish(self, tenant: str, session_id: str, run_ids: Sequence[str], *, last: bool = False) -> None:
        """Erase the events of these runs; at last those, too, of runs that were accepted while it was deleted."""
        table = session_tombstones
        is_it = (table.c.tenant == tenant, table.c.id == session_id)
        going_on = False
        if last:
            mine = (runs.c.tenant == tenant, runs.c.session_id == session_id)
            async with self._database.write() as connection:
                late = (await connection.execute(select(runs.c.id, runs.c.ended_at).where(*mine))).all()
                ended = [row.id for row in late if row.ended_at is not None]
                going_on = len(ended) < len(late)
                run_ids = list(dict.fromkeys([*run_ids, *ended]))
                # First noted, then deleted: whoever goes on with this finds them.
                noted = {"runs": run_ids, "erased": False}
                await connection.execute(update(table).where(*is_it).values(unfinished=noted))
                await _delete_rows(connection, tenant, session_id, ended)
        for run_id in run_ids:
            await self._log.erase(run_id)
        settled = last and not going_on
        values = {
            "unfinished": {"runs": [] if settled else list(run_ids), "erased": True},
            "settled_at": now() if settled else None,
        }
        async with self._database.statement() as connection:
            await connection.execute(update(table).where(*is_it).values(values))


async def _acts(connection: AsyncConnection, tenant: str, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The calls that have changed something, or may have: which tool, when, what came of it; not with what."""
    acts = []
    columns = (steps.c.run_id, steps.c.intent, steps.c.status, steps.c.started_at)
    for some in _some(run_ids):
        mine = (steps.c.tenant == tenant, steps.c.run_id.in_(some), steps.c.kind == "tool")
        rows = await connection.execute(select(*columns).where(*mine).order_by(steps.c.run_id, steps.c.seq))
        for row in rows.all():
            if row.intent.get("effect") in _ACTED:
                at = row.started_at.isoformat()
                acts.append({"run_id": row.run_id, "tool": row.intent.get("name"), "outcome": row.status, "at": at})
    return acts


async def _delete_rows(connection: AsyncConnection, tenant: str, session_id: str, run_ids: Sequence[str]) -> None:
    for table in (messages, session_summaries, session_scratch):
        await connection.execute(delete(table).where(table.c.tenant == tenant, table.c.session_id == session_id))
    # That somebody agreed to a call of a tool is kept; to what, is not.
    emptied: dict[str, Any] = {"arguments": {}, "record": None, "reason": "", "sources": [], "decision": None}
    for some in _some(run_ids):
        for table in (steps, webhook_deliveries, run_feedback, idempotency):
            await connection.execute(delete(table).where(table.c.tenant == tenant, table.c.run_id.in_(some)))
        asked = (approvals.c.tenant == tenant, approvals.c.run_id.in_(some))
        await connection.execute(update(approvals).where(*asked).values(digest="", mac=None, **emptied))
        await connection.execute(delete(runs).where(runs.c.tenant == tenant, runs.c.id.in_(some)))
    await _delete_answers(connection, tenant, [session_id, *run_ids])


async def _delete_answers(connection: AsyncConnection, tenant: str, ids: Sequence[str]) -> None:
    """Answers that were kept for a key, and that name the session or one of its runs."""
    for some in _some(ids, 50):
        names = or_(*(cast(idempotency.c.response, Text).contains(each) for each in some))
        await connection.execute(delete(idempotency).where(idempotency.c.tenant == tenant, names))


def _some(ids: Sequence[str], count: int = 200) -> Iterator[Sequence[str]]:
    """The ids, so many at once."""
    return (ids[start : start + count] for start in range(0, len(ids), count))
