"""The table of deliveries: what is to be told, who tells it now, and what was given up."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from agent.webhooks.notices import PATIENCE
from records.database import Database
from records.ids import now
from records.schema import webhook_deliveries as table
from records.schema import webhooks_off
from records.tenancy import Crossing, across_tenants

DeliveryStatus = Literal["pending", "delivered", "dead"]

KEPT = timedelta(days=7)
KEPT_DEAD = timedelta(days=30)
_LOOKED_AT = 500

Target = tuple[str, str]
"""A tenant, and a URL that is told of its runs."""


class DeliveryNotFound(Exception):
    """There is no such delivery that was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one URL.

    Attributes:
        attempts: How often it was begun to be sent; whoever names an older number can write nothing for it.
        due_at: When it is sent next.
        until: When it is given up.
        error: How the last attempt failed.
    """

    id: str
    tenant: str
    url: str
    event: str
    run_id: str
    body: str
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    until: datetime
    error: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def target(self) -> Target:
        """Whom it is for."""
        return self.tenant, self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much is undelivered, in all processes; ``oldest`` in seconds."""

    depth: int = 0
    oldest: float = 0.0
    dead: int = 0


class Deliveries:
    """The deliveries of every tenant. Rows get into it in the transactions that they tell of: see ``Notices``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, moment: datetime, lease: timedelta, *, limit: int, each: int, busy: Collection[Target] = ()
    ) -> Sequence[Delivery]:
        """Take what is due, for ``lease``: nobody else is given it, unless no outcome is written by then.

        Args:
            limit: How many at most.
            each: How many at most for one target, so that a slow one does not hold up the others.
            busy: Targets that get nothing now.
        """
        due = _due(moment, busy)
        # Most of the time there is nothing, and to find that out must not lock anything.
        async with self._database.read() as connection:
            anything = across_tenants(select(table.c.id).where(*due).limit(1), Crossing.CLAIMS)
            if (await connection.scalar(anything)) is None:
                return []
        free = select(table.c.id).where(table.c.id.in_(_fairly(due, limit, each)), *due).correlate(None)
        query = (
            update(table)
            .where(table.c.id.in_(free.with_for_update(skip_locked=True)), *due)
            .values(attempts=table.c.attempts + 1, due_at=moment + lease)
            .returning(table)
        )
        async with self._database.statement() as connection:
            rows = (await connection.execute(across_tenants(query, Crossing.CLAIMS))).all()
        return sorted((_delivery(row) for row in rows), key=lambda delivery: delivery.id)

    async def delivered(self, delivery: Delivery) -> None:
        """It was taken."""
        async with self._database.statement() as connection:
            await connection.execute(_mine(delivery).values(status="delivered", ended_at=now(), error=None))

    async def failed(self, delivery: Delivery, error: str, again: datetime | None) -> None:
        """It was not taken: it is sent again at this time, or given up."""
        values = {"due_at": again} if again is not None else {"status": "dead", "ended_at": now()}
        async with self._database.statement() as connection:
            await connection.execute(_mine(delivery).values(error=error, **values))

    async def gone(self, delivery: Delivery, error: str) -> None:
        """Its endpoint is gone: it is given up, and nothing more is sent there until somebody says so."""
        off = {"tenant": delivery.tenant, "url": delivery.url, "reason": error, "created_at": now()}
        async with self._database.write() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            await connection.execute(dialect.insert(webhooks_off).values(off).on_conflict_do_nothing())
            await connection.execute(_mine(delivery).values(status="dead", ended_at=now(), error=error))

    async def is_off(self, target: Target) -> bool:
        """Whether its endpoint is gone."""
        async with self._database.read() as connection:
            return (await connection.scalar(select(webhooks_off.c.reason).where(*_is(target)))) is not None

    async def turn_on(self, url: str) -> bool:
        """Send to this URL again; gives whether it was off for anybody."""
        query = across_tenants(delete(webhooks_off), Crossing.OPERATOR).where(webhooks_off.c.url == url)
        async with self._database.statement() as connection:
            return bool((await connection.execute(query)).rowcount)

    async def list(
        self, *, status: DeliveryStatus | None = None, tenant: str | None = None, limit: int = 50
    ) -> Sequence[Delivery]:
        """Deliveries, the newest first: those that stand so, and a tenant's where one is named."""
        query = across_tenants(select(table), Crossing.OPERATOR).order_by(table.c.id.desc()).limit(limit)
        if status is not None:
            query = query.where(table.c.status == status)
        if tenant is not None:
            query = query.where(table.c.tenant == tenant)
        async with self._database.read() as connection:
            return [_delivery(row) for row in await connection.execute(query)]

    async def retry(self, delivery_id: str | None = None) -> int:
        """Try again what was given up, for another day: this one, or all; gives how many there are.

        Raises:
            DeliveryNotFound: This one was not given up.
        """
        moment = now()
        dead = [table.c.status == "dead", *([table.c.id == delivery_id] if delivery_id is not None else [])]
        values = {"status": "pending", "attempts": 0, "due_at": moment, "until": moment + PATIENCE, "ended_at": None}
        async with self._database.write() as connection:
            query = update(table).where(*dead).values(values).returning(table.c.tenant, table.c.url)
            rows = await connection.execute(across_tenants(query, Crossing.OPERATOR))
            targets = [(row.tenant, row.url) for row in rows]
            for target in set(targets):
                await connection.execute(delete(webhooks_off).where(*_is(target)))
        if delivery_id is not None and not targets:
            raise DeliveryNotFound(f"there is no delivery {delivery_id!r} that was given up")
        return len(targets)

    async def purge(self) -> None:
        """Forget what was delivered a week ago, or given up a month ago, or should have been: nobody was there to."""
        moment = now()
        left = (table.c.status == "pending", table.c.until < moment - KEPT_DEAD)
        async with self._database.statement() as connection:
            for status, kept in (("delivered", KEPT), ("dead", KEPT_DEAD)):
                old = (table.c.status == status, table.c.ended_at < moment - kept)
                await connection.execute(across_tenants(delete(table).where(*old), Crossing.UPKEEP))
            await connection.execute(across_tenants(delete(table).where(*left), Crossing.UPKEEP))

    async def backlog(self) -> Backlog:
        """What is undelivered."""
        pending = select(func.count(), func.min(table.c.created_at)).where(table.c.status == "pending")
        dead = select(func.count()).where(table.c.status == "dead")
        async with self._database.read() as connection:
            depth, oldest = (await connection.execute(across_tenants(pending, Crossing.UPKEEP))).one()
            given_up = await connection.scalar(across_tenants(dead, Crossing.UPKEEP))
        age = (now() - oldest).total_seconds() if oldest is not None else 0.0
        return Backlog(depth=depth, oldest=max(age, 0.0), dead=given_up or 0)


def _due(moment: datetime, busy: Collection[Target]) -> Sequence[ColumnElement[bool]]:
    due = (table.c.status == "pending", table.c.due_at <= moment)
    return (*due, tuple_(table.c.tenant, table.c.url).notin_(list(busy))) if busy else due


def _fairly(due: Sequence[ColumnElement[bool]], limit: int, each: int) -> Select[tuple[Any]]:
    """The ids of those that have been due longest, of each target so many at most."""
    first = select(table.c.id, table.c.tenant, table.c.url, table.c.due_at).where(*due)
    oldest = first.order_by(table.c.due_at, table.c.id).limit(_LOOKED_AT).subquery()
    order = (oldest.c.due_at, oldest.c.id)
    place = func.row_number().over(partition_by=(oldest.c.tenant, oldest.c.url), order_by=order)
    ranked = select(oldest.c.id, oldest.c.due_at, place.label("place")).subquery()
    fair = select(ranked.c.id).where(ranked.c.place <= each)
    return fair.order_by(ranked.c.place, ranked.c.due_at, ranked.c.id).limit(limit)


def _mine(delivery: Delivery) -> Any:
    mine = (table.c.id == delivery.id, table.c.attempts == delivery.attempts, table.c.status == "pending")
    return update(table).where(*mine, table.c.tenant == delivery.tenant)


def _is(target: Target) -> Sequence[ColumnElement[bool]]:
    tenant, url = target
    return webhooks_off.c.tenant == tenant, webhooks_off.c.url == url


def _delivery(row: Any) -> Delivery:
    return Delivery(**{field.name: getattr(row, field.name) for field in fields(Delivery)})
