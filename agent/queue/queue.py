"""The queue: runs that should go on and are in nobody's hands; any process that has room takes up the next.

It is the table of runs itself. A run waits in it from its acceptance in the background, or from the moment its worker
stopped, died, or a person's decision woke it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    ScalarSelect,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from agent.journal.journal import LEASE
from agent.journal.record import RunRecord, run_record
from agent.queue.claims import RESTING, taking
from agent.queue.lanes import LANES, Lane, LaneState
from records.database import Database
from records.ids import now
from records.schema import approvals, runs, sessions
from records.tenancy import Crossing, across_tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a process may take up.

    Attributes:
        lanes: The lanes in which it has a free place.
        takes: The lanes that it sees to at all. Interactive runs that were begun go on anywhere: somebody reads them.
        pressed: Interactive runs wait for a place in it, so that batch runs stand back.
    """

    lanes: frozenset[Lane]
    takes: frozenset[Lane] = frozenset(LANES)
    pressed: bool = False


@dataclass(frozen=True, slots=True)
class Depth:
    """How many runs of a lane wait for a process, and since when the oldest does."""

    runs: int = 0
    since: datetime | None = None

    def oldest(self, moment: datetime) -> float:
        """For how many seconds the oldest waits; 0 when none does."""
        return max(0.0, (moment - self.since).total_seconds()) if self.since is not None else 0.0


class Queue:
    """The queue of all processes on one database, as the process called ``worker`` works on it.

    Args:
        promote_seconds: A batch run that has waited so long does not stand back any more.
    """

    def __init__(self, database: Database, worker: str, promote_seconds: float) -> None:
        self._database = database
        self._worker = worker
        self._promotion = timedelta(seconds=promote_seconds)

    async def take(self, room: Room) -> RunRecord | None:
        """Take up the run whose turn it is; None when there is none for this process.

        In each lane the first that came. Batch runs stand back while interactive ones wait, until they are old; then
        their ages decide (as ``lanes.next_of``). The runs of a session go one after the other.
        """
        query = _take(room)
        if query is None:
            return None
        moment = now()
        values = {"worker": self._worker, "until": moment + LEASE, "old": moment - self._promotion}
        async with self._database.statement() as connection:
            row = (await connection.execute(query, values)).one_or_none()
        return run_record(row) if row is not None else None

    async def put_back(self, run_id: str) -> bool:
        """Let go on a run that rests, if nothing of it is left to decide; gives whether it does."""
        woken = update(runs).where(runs.c.id == run_id, *_woken()).values(status="queued", lease_until=None)
        async with self._database.statement() as connection:
            return bool((await connection.execute(across_tenants(woken, Crossing.CLAIMS))).rowcount)

    async def restore(self) -> None:
        """Put back the runs whose worker died, and those that were decided and not woken."""
        lapsed = runs.c.lease_until < now()  # of one that rests, too: nobody was told that it does
        left = select(runs.c.id).where(runs.c.ended_at.is_(None), runs.c.result.is_(None), or_(lapsed, and_(*_woken())))
        # Rows that somebody works on are passed over: of two that wait for each other's the database would end one.
        found = left.with_for_update(skip_locked=True).scalar_subquery()
        query = update(runs).where(runs.c.id.in_(found)).values(status="queued", lease_until=None)
        async with self._database.statement() as connection:
            await connection.execute(across_tenants(query, Crossing.CLAIMS))

    async def depths(self) -> Mapping[Lane, Depth]:
        """How many runs wait in each lane."""
        query = select(runs.c.lane, func.count(), func.min(runs.c.created_at)).where(_queued(runs))
        query = across_tenants(query.group_by(runs.c.lane), Crossing.CLAIMS)
        async with self._database.read() as connection:
            found = {row[0]: Depth(row[1], row[2]) for row in await connection.execute(query)}
        return {lane: found.get(lane, Depth()) for lane in LANES}

    async def states(self) -> Mapping[Lane, LaneState]:
        """How full each lane is: what waits for a process, and what any of them has in its hands."""
        query = select(runs.c.lane, func.count()).where(runs.c.lease_until.isnot(None), *_goes_on(runs))
        query = query.where(runs.c.ended_at.is_(None)).group_by(runs.c.lane)
        async with self._database.read() as connection:
            rows = await connection.execute(across_tenants(query, Crossing.CLAIMS))
            running = {row[0]: row[1] for row in rows}
        depths, moment = await self.depths(), now()
        return {
            lane: LaneState(waiting=depth.runs, running=running.get(lane, 0), oldest_seconds=depth.oldest(moment))
            for lane, depth in depths.items()
        }


@cache
def _take(room: Room) -> ReturningUpdate[Any] | None:
    """The statement that takes up the next run; to put it together costs more than to execute it."""
    choices = _choices(room)
    if not choices:
        return None
    # The choices are made one after the other, up to the first that finds a run. Rows that others are about to take are
    # passed over, so that nobody waits for anybody.
    mine = taking(bindparam("worker"), bindparam("until", type_=runs.c.lease_until.type))
    query = update(runs).where(runs.c.id == func.coalesce(*choices)).values(mine).returning(runs)
    return across_tenants(query, Crossing.CLAIMS)


def _choices(room: Room) -> "list[ScalarSelect[str]]":
    """The queries for the next run, in the order in which they are asked."""
    old = bindparam("old", type_=runs.c.created_at.type)
    interactive, batch = "interactive" in room.lanes, "batch" in room.lanes
    begun_only = "interactive" not in room.takes
    choices = []
    if batch:
        promoted = runs.alias("promoted")
        condition = and_(_ready(promoted, "batch"), promoted.c.created_at <= old)
        if interactive:
            older = runs.alias("older")
            before = and_(_ready(older, "interactive", begun_only=begun_only), older.c.id < promoted.c.id)
            condition = and_(condition, ~exists().where(before))
        choices.append(_first(promoted, condition))
    if interactive:
        next_one = runs.alias("next_one")
        choices.append(_first(next_one, _ready(next_one, "interactive", begun_only=begun_only)))
    if batch and not room.pressed:
        other = runs.alias("other")
        condition = _ready(other, "batch")
        if not interactive and "interactive" in room.takes:
            first = runs.alias("first")
            condition = and_(condition, ~exists().where(_ready(first, "interactive")))
        choices.append(_first(other, condition))
    return choices


def _first(run: FromClause, condition: ColumnElement[bool]) -> "ScalarSelect[str]":
    query = select(run.c.id).where(condition).order_by(run.c.id).limit(1)
    return query.with_for_update(skip_locked=True).scalar_subquery()


def _ready(run: FromClause, lane: Lane, *, begun_only: bool = False) -> ColumnElement[bool]:
    """Whether the run waits in the lane, and it is its turn in its session: see ``Claims.take_turn``."""
    earlier = runs.alias()
    before = and_(
        earlier.c.tenant == run.c.tenant,
        earlier.c.session_id == run.c.session_id,
        earlier.c.id < run.c.id,
        *_goes_on(earlier),
    )
    mine = (sessions.c.id == run.c.session_id, sessions.c.tenant == run.c.tenant)
    own = exists().where(*mine, sessions.c.turn == run.c.id)
    holder = runs.alias()
    others = exists().where(*mine, holder.c.id == sessions.c.turn, holder.c.tenant == run.c.tenant, *_goes_on(holder))
    condition = and_(_queued(run), run.c.lane == lane, or_(own, and_(~others, ~exists().where(before))))
    return and_(condition, run.c.fence > 0) if begun_only else condition


def _goes_on(run: FromClause) -> "tuple[ColumnElement[bool], ...]":
    return run.c.result.is_(None), run.c.status != RESTING


def _queued(run: FromClause) -> ColumnElement[bool]:
    # Said as the index ``runs_queued`` says it, or the database does not use it.
    resting: ColumnElement[str] = literal_column(f"'{RESTING}'")
    return and_(run.c.lease_until.is_(None), run.c.result.is_(None), run.c.status != resting)


def _woken() -> "list[ColumnElement[bool]]":
    """Of a run that rests: nothing is left to decide."""
    pending = exists().where(approvals.c.run_id == runs.c.id, approvals.c.status == "pending")
    return [runs.c.status == RESTING, runs.c.result.is_(None), ~pending]
