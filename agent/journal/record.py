"""Runs in the database: accepted, ended, found again."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, select, update

from agent.idempotency import RequestKey, bind, run_of
from agent.journal.journal import LEASE, Claim, Intent, Outcome, StepKind, begin, end, hold, leave, remember, taken_over
from agent.queue.lanes import Lane
from agent.webhooks.notices import Notices
from memory.sessions import Session, add_session, new_session
from models.messages import Message
from records.database import Database, Dml
from records.ids import new_id, now
from records.principal import Principal
from records.schema import runs, webhook_deliveries
from records.tenancy import Crossing, across_tenants

RunStatus = Literal["queued", "running", "waiting_approval", "completed", "failed", "cancelled"]
"""The states of a run. ``waiting_approval`` costs nothing and may last for days."""

Seal = Callable[[str, str], bytes]

OPEN = ("queued", "running", "waiting_approval")


class RunNotFound(Exception):
    """There is no such run for this principal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as SQL knows it; ``result`` is there once it has ended, and ``sealed_token`` until then.

    Attributes:
        stalled: How often it was taken up since its journal was last written to.
    """

    id: str
    tenant: str
    principal: str
    session_id: str
    status: RunStatus
    model: str
    request: Mapping[str, Any]
    result: Mapping[str, Any] | None
    fence: int
    stalled: int = 0
    authority: Mapping[str, Any]
    lane: Lane = "interactive"
    cancel_reason: str | None = None
    sealed_token: bytes | None = field(default=None, repr=False)
    created_at: datetime
    ended_at: datetime | None

    @property
    def message(self) -> str:
        """The question; empty where the request does not have one that can be read."""
        return str(self.request.get("message", ""))

    @property
    def claim(self) -> Claim:
        """The right to write for this run, as of when this was read."""
        return Claim(
            run_id=self.id,
            tenant=self.tenant,
            session_id=self.session_id,
            fence=self.fence,
            webhook=self.request.get("webhook"),
        )

    @property
    def asker(self) -> Principal:
        """Who asked, with what it was allowed then."""
        rights = dict(self.authority)
        attributes = rights.pop("attributes", {})
        return Principal(
            tenant=self.tenant,
            id=self.principal,
            attributes=attributes,
            **{name: frozenset(values) for name, values in rights.items()},
        )


_ACCEPTED = (
    "id",
    "tenant",
    "principal",
    "session_id",
    "status",
    "lane",
    "model",
    "request",
    "authority",
    "fence",
    "created_at",
)


class RunStore:
    """The table of runs. A run that goes on is in the hands of one worker: see ``agent.queue.claims``.

    Args:
        worker: The name of this process.
        notices: Who is told of the ends of runs; nobody when absent.
    """

    def __init__(self, database: Database, worker: str, notices: Notices | None = None) -> None:
        self._database = database
        self._worker = worker
        self._notices = notices if notices is not None else Notices()

    async def accept(
        self,
        principal: Principal,
        *,
        session_id: str | None,
        title: str,
        model: str,
        config_version: str,
        request: Mapping[str, Any],
        first: StepKind = "model",
        key: RequestKey | None = None,
        held: bool = True,
        seal: Seal | None = None,
    ) -> RunRecord:
        """Insert a run with the intent of its first step, and a session if it names none.

        Args:
            held: It is in this worker's hands; else in nobody's, and waits in the queue.
            seal: Gives what is kept of the asker's token, for the run of this tenant and id.

        Raises:
            KeyTaken: The idempotency key has come to stand for another run; nothing was written.
        """
        session = None
        if session_id is None:
            session = new_session(title)
            session_id = session.id
        run_id = new_id()
        record = RunRecord(
            id=run_id,
            tenant=principal.tenant,
            principal=principal.id,
            session_id=session_id,
            status="queued",
            model=model,
            request=dict(request),
            result=None,
            fence=1 if held else 0,
            lane=request.get("lane", "interactive"),
            authority={
                "groups": sorted(principal.groups),
                "roles": sorted(principal.roles),
                "scopes": sorted(principal.scopes),
                "attributes": dict(principal.attributes),
            },
            sealed_token=seal(principal.tenant, run_id) if seal is not None else None,
            created_at=now(),
            ended_at=None,
        )
        intent = Intent(seq=0, kind=first, key=f"{record.id}:0", intent={})
        if key is None and record.sealed_token is None:
            await self._insert(record, session, config_version, intent)
        else:
            async with self._database.write() as connection:
                for statement in self._statements(record, session, config_version, intent):
                    await connection.execute(statement)
                if key is not None:
                    await bind(connection, key, record.id)
        return record

    async def _insert(self, record: RunRecord, session: Session | None, config_version: str, first: Intent) -> None:
        await self._database.write_at_once(self._statements(record, session, config_version, first))

    def _statements(self, record: RunRecord, session: Session | None, config_version: str, first: Intent) -> list[Dml]:
        values = {name: getattr(record, name) for name in _ACCEPTED}
        leased = dict(zip(("lease_owner", "lease_until"), self._lease(record), strict=True))
        return [
            *(
                []
                if session is None
                else [add_session(session, record.tenant, record.principal).values(turn=record.id)]
            ),
            runs.insert().values(config_version=config_version, subject_token=record.sealed_token, **values, **leased),
            *begin(record.claim, [first]),
        ]

    def _lease(self, record: RunRecord) -> tuple[str, datetime] | tuple[None, None]:
        """Whose the run is as it is accepted, and until when."""
        return (self._worker, record.created_at + LEASE) if record.fence else (None, None)

    async def accepted(self, key: RequestKey) -> tuple[str, str] | None:
        """The run that was accepted with this idempotency key, and its session.

        Raises:
            KeyReused: The key was sent with another request.
        """
        async with self._database.read() as connection:
            return await run_of(connection, key)

    async def get(self, principal: Principal, run_id: str) -> RunRecord:
        """The run with this id.

        Raises:
            RunNotFound: It is not one of the principal's runs.
        """
        query = select(runs).where(
            runs.c.id == run_id, runs.c.tenant == principal.tenant, runs.c.principal == principal.id
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        return run_record(row)

    async def list(
        self,
        principal: Principal,
        *,
        statuses: Collection[RunStatus] = (),
        codes: Collection[str] = (),
        limit: int,
        before: str | None = None,
    ) -> Sequence[RunRecord]:
        """The principal's runs, the newest first: those that stand so, and that came before the one with this id.

        Args:
            codes: Only those that failed with one of these.
        """
        query = select(runs).where(runs.c.tenant == principal.tenant, runs.c.principal == principal.id)
        if statuses:
            query = query.where(runs.c.status.in_(statuses))
        if codes:
            query = query.where(runs.c.status == "failed", runs.c.result["code"].as_string().in_(codes))
        if before is not None:
            query = query.where(runs.c.id < before)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(runs.c.id.desc()).limit(limit))
            return [run_record(row) for row in rows]

    async def end(
        self,
        claim: Claim,
        status: RunStatus,
        result: Mapping[str, Any],
        said: Sequence[Message],
        ended: Sequence[Outcome] = (),
    ) -> None:
        """Record in one transaction how a run ended, its last steps, what its session remembers, and who is told.

        Raises:
            RunTakenOver: Another worker has taken it up, or ended it; nothing was written.
        """
        told = self._notices.of_end(claim, status, result)
        if not told:
            written = await self._end(claim, status, result, said, ended)
        else:
            written = await self._end_and_tell(claim, status, result, said, ended, told)
            self._notices.written.set()
        if not written:
            raise taken_over(claim)

    async def _end(
        self,
        claim: Claim,
        status: RunStatus,
        result: Mapping[str, Any],
        said: Sequence[Message],
        ended: Sequence[Outcome],
    ) -> bool:
        """Record an end that nobody is told of; gives whether the claim held."""
        return await self._end_and_tell(claim, status, result, said, ended, ())

    async def _end_and_tell(
        self,
        claim: Claim,
        status: RunStatus,
        result: Mapping[str, Any],
        said: Sequence[Message],
        ended: Sequence[Outcome],
        told: Sequence[Mapping[str, Any]],
    ) -> bool:
        held = hold(claim, status=status, result=dict(result), subject_token=None)
        notices = [webhook_deliveries.insert().values(**row) for row in told]
        statements = [*end(claim, ended), *remember(claim, said), leave(claim), *notices]
        return await self._database.write_at_once(statements, only_if=held)

    async def seal(self, tenant: str, run_ids: Collection[str]) -> None:
        """Record that the logs of these runs are complete: only then is there nothing left to recover."""
        mine = (runs.c.tenant == tenant, runs.c.id.in_(run_ids))
        async with self._database.statement() as connection:
            await connection.execute(update(runs).where(*mine).values(ended_at=now()))

    async def unsealed(self, *, abandoned: bool = False) -> Sequence[RunRecord]:
        """Runs whose log may lack its end, the oldest first, of every tenant.

        Args:
            abandoned: Only those that have ended, and whose worker has not sealed them within its lease.
        """
        query = select(runs).where(runs.c.ended_at.is_(None)).order_by(runs.c.id)
        if abandoned:
            query = query.where(runs.c.result.isnot(None), runs.c.lease_until < now())
        async with self._database.read() as connection:
            rows = await connection.execute(across_tenants(query, Crossing.CLAIMS))
            return [run_record(row) for row in rows]


def run_record(row: Row[tuple[Any, ...]]) -> RunRecord:
    """A row of the table."""
    return RunRecord(
        id=row.id,
        tenant=row.tenant,
        principal=row.principal,
        session_id=row.session_id,
        status=row.status,
        model=row.model,
        request=row.request if isinstance(row.request, dict) else {},
        result=row.result,
        fence=row.fence,
        stalled=row.stalled,
        lane=row.lane,
        authority=row.authority,
        cancel_reason=row.cancel_reason,
        sealed_token=row.subject_token,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
