"""Idempotency keys: a request that is sent again gets what the first one came to, and nothing is done twice.

A key belongs to a tenant, a principal and a route, for a day (draft-ietf-httpapi-idempotency-key-header). Its row names
the run that the request started, or holds what was answered. Until then it is a reservation, which its holder keeps
alive: that of a dead process is soon anybody's.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from records.database import Database
from records.ids import now
from records.schema import idempotency, runs
from records.tenancy import Crossing, across_tenants

KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=6)
"""How long a reservation is its holder's without a sign of life."""

MAX_BODY = 2**20
"""Longer answers are not kept: such a request is carried out again."""

_POLL_SECONDS = (0.02, 0.5)

_log = structlog.get_logger("cairn.idempotency")


class KeyReused(Exception):
    """The key was sent before, with another request."""


class KeyInProgress(Exception):
    """The first request with this key has not been answered yet."""


class KeyTaken(KeyInProgress):
    """Somebody else has just accepted a request with this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """A key, whose it is and for what; ``digest`` stands for the request that it came with."""

    tenant: str
    principal: str
    route: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What a request was answered with."""

    status: int
    media_type: str | None
    body: str


async def bind(connection: AsyncConnection, key: RequestKey, run_id: str) -> None:
    """Let the key stand for a run, as part of the transaction that accepts it.

    Raises:
        KeyTaken: It stands for another.
    """
    await connection.execute(delete(idempotency).where(_is(key), idempotency.c.created_at < now() - KEPT))
    if not await _insert(connection, key, now(), run_id=run_id):
        raise KeyTaken(f"the key {key.key!r} was used at the same time")


async def run_of(connection: AsyncConnection, key: RequestKey) -> tuple[str, str] | None:
    """The run that the key stands for, and its session, if it does.

    Raises:
        KeyReused: It was sent with another request.
    """
    query = select(idempotency.c.digest, runs.c.id, runs.c.session_id).join_from(
        idempotency, runs, and_(runs.c.id == idempotency.c.run_id, runs.c.tenant == idempotency.c.tenant)
    )
    live = idempotency.c.created_at >= now() - KEPT
    row = (await connection.execute(query.where(_is(key), live))).one_or_none()
    if row is None:
        return None
    _compare(key, row.digest)
    return row.id, row.session_id


class Reservation:
    """The right to carry out a request. It ends with the answer, or with the block that it was given for.

    While a row has no answer, ``created_at`` is its holder's last sign of life, by which he knows it as his.
    """

    def __init__(self, database: Database, key: RequestKey, since: datetime) -> None:
        self._database = database
        self._key = key
        self._since = since
        self._renewing = asyncio.Lock()
        self._over = asyncio.Event()

    async def keep(self, answer: KeptAnswer) -> None:
        """Answer every further request with this key so. What cannot be kept is answered this once."""
        if len(answer.body) > MAX_BODY:
            return
        try:
            kept = await self._renew(response=asdict(answer))
        except Exception as error:  # noqa: BLE001 - it was carried out: who asked must hear of it
            _log.error("an answer could not be kept", exc_info=error, route=self._key.route)
        else:
            if not kept:
                _log.warning("an answer was not kept: its reservation was taken over", route=self._key.route)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep it alive through the block; without an answer it is free after that."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._over.set()
            await beating
            try:
                async with self._database.write() as connection:
                    await connection.execute(delete(idempotency).where(self._mine()))
            except Exception as error:  # noqa: BLE001 - it lapses by itself
                _log.error("a reservation could not be freed", exc_info=error, route=self._key.route)

    async def _beat(self) -> None:
        while not self._over.is_set():
            try:
                async with asyncio.timeout(LEASE.total_seconds() / 3):
                    await self._over.wait()
            except TimeoutError:
                try:
                    await self._renew()
                except Exception as error:  # noqa: BLE001 - the next time it may work
                    _log.error("a reservation could not be renewed", exc_info=error, route=self._key.route)

    async def _renew(self, **values: Any) -> bool:
        async with self._renewing, self._database.write() as connection:
            moment = now()
            renewed = update(idempotency).where(self._mine()).values(created_at=moment, **values)
            mine = (await connection.execute(renewed)).rowcount == 1
            self._since = moment if mine else self._since
        return mine

    def _mine(self) -> ColumnElement[bool]:
        return and_(_is(self._key), idempotency.c.created_at == self._since, idempotency.c.response.is_(None))


class Reservations:
    """Who may carry out which request."""

    def __init__(self, database: Database, wait: float = 10.0) -> None:
        self._database = database
        self._wait = wait

    async def reserve(self, key: RequestKey) -> KeptAnswer | Reservation:
        """The answer, or the right to carry the request out; waits for whoever has that now.

        Raises:
            KeyReused: The key was sent with another request.
            KeyInProgress: Whoever has it is not done yet.
        """
        patience, until = _POLL_SECONDS[0], time.monotonic() + self._wait
        while (found := await self._try(key)) is None:
            if time.monotonic() >= until:
                raise KeyInProgress("the first request with this key is still being carried out; try again later")
            await asyncio.sleep(patience)
            patience = min(2 * patience, _POLL_SECONDS[1])
        return found

    async def purge(self) -> None:
        """Forget the keys of yesterday."""
        yesterdays = delete(idempotency).where(idempotency.c.created_at < now() - KEPT)
        async with self._database.write() as connection:
            await connection.execute(across_tenants(yesterdays, Crossing.UPKEEP))

    async def _try(self, key: RequestKey) -> KeptAnswer | Reservation | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(idempotency).where(_is(key)))).one_or_none()
        moment = now()
        if row is not None and row.created_at >= moment - KEPT:
            _compare(key, row.digest)
            if row.response is not None:
                return KeptAnswer(**row.response)
            if row.created_at >= moment - LEASE:
                return None
        async with self._database.write() as connection:
            if row is not None:  # it is too old, or its holder is dead
                unchanged = (idempotency.c.created_at == row.created_at, idempotency.c.digest == row.digest)
                await connection.execute(delete(idempotency).where(_is(key), *unchanged))
            return Reservation(self._database, key, moment) if await _insert(connection, key, moment) else None


def _is(key: RequestKey) -> ColumnElement[bool]:
    columns = idempotency.c
    return and_(
        columns.tenant == key.tenant,
        columns.principal == key.principal,
        columns.route == key.route,
        columns.key == key.key,
    )


async def _insert(connection: AsyncConnection, key: RequestKey, moment: datetime, run_id: str | None = None) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {**asdict(key), "created_at": moment, "run_id": run_id}
    inserted = await connection.execute(dialect.insert(idempotency).values(row).on_conflict_do_nothing())
    return inserted.rowcount == 1


def _compare(key: RequestKey, digest: str) -> None:
    if digest != key.digest:
        raise KeyReused(f"the key {key.key!r} was sent before with another request; use a new key for a new request")
