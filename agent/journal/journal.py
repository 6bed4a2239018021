"""The journal: what a run is about to do is written before it is done, and what came of it after.

A step with an intent and no result has an unknown outcome: the process died, or the answer was lost. One transition of
the loop is one transaction: what has ended, and what begins next. It is refused once another worker has the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from sqlalchemy import Update, delete, select, update

from agent.errors import RunTakenOver
from agent.webhooks.notices import Notices
from memory.sessions import add_messages
from models.messages import Message
from records.database import Database, Dml
from records.ids import now
from records.schema import approvals, messages, runs, sessions, steps, webhook_deliveries

StepKind = Literal["retrieval", "model", "tool"]

LEASE = timedelta(seconds=6)
"""How long a run is its worker's without a sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run in this worker's hands.

    Attributes:
        fence: How often it was taken up: the highest may write.
        webhook: The URL that its own request wants to be told at.
    """

    run_id: str
    tenant: str
    session_id: str
    fence: int
    webhook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A step that is about to be done, for the first time or again (``attempt``)."""

    seq: int
    kind: StepKind
    key: str
    intent: Mapping[str, Any]
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step."""

    seq: int
    status: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as the journal has it; without a ``result`` nobody knows what came of it."""

    seq: int
    kind: StepKind
    key: str
    intent: Mapping[str, Any]
    attempt: int
    status: str
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What is written at once.

    Attributes:
        ended: Steps that have come to an outcome.
        begun: Steps that may be done once this is written.
        asked: Rows of approvals that the run now waits for.
        said: What the session's history shows of a run that waits.
        lease: How long the run must stay this worker's: no call with effects starts that the lease does not outlive.
    """

    ended: Sequence[Outcome] = ()
    begun: Sequence[Intent] = ()
    asked: Sequence[Mapping[str, Any]] = ()
    said: Sequence[Message] = ()
    lease: timedelta = LEASE


class Journal(Protocol):
    """Where steps are written."""

    async def load(self, claim: Claim) -> Sequence[Step]:
        """The run's steps in their order."""
        ...

    async def write(self, claim: Claim, transition: Transition) -> None:
        """Write a transition as a whole. Durable when it returns.

        Raises:
            RunTakenOver: Another worker has taken up the run; nothing was written.
        """
        ...


class SqlJournal:
    """The journal in the database."""

    def __init__(self, database: Database, notices: Notices | None = None) -> None:
        self._database = database
        self._notices = notices if notices is not None else Notices()

    async def load(self, claim: Claim) -> Sequence[Step]:
        """The run's steps in their order."""
        mine = (steps.c.run_id == claim.run_id, steps.c.tenant == claim.tenant)
        query = select(steps).where(*mine).order_by(steps.c.seq)
        async with self._database.read() as connection:
            return [
                Step(
                    seq=row.seq,
                    kind=row.kind,
                    key=row.idempotency_key,
                    intent=row.intent,
                    attempt=row.attempt,
                    status=row.status,
                    result=row.result,
                )
                for row in await connection.execute(query)
            ]

    async def write(self, claim: Claim, transition: Transition) -> None:
        """Write a transition in one transaction."""
        status = "waiting_approval" if transition.asked else "running"
        told = self._notices.of_questions(claim, transition.asked) if transition.asked else ()
        statements = [
            *begin(claim, transition.begun, transition.ended),
            *end(claim, transition.ended, transition.begun),
            *(approvals.insert().values(**row) for row in transition.asked),
            *(remember(claim, transition.said) if transition.said else ()),
            *([leave(claim)] if transition.asked else ()),
            *(webhook_deliveries.insert().values(**row) for row in told),
        ]
        if not await self._database.write_at_once(statements, only_if=hold(claim, transition.lease, status=status)):
            raise taken_over(claim)
        if told:
            self._notices.written.set()


def taken_over(claim: Claim) -> RunTakenOver:
    """What is said to a worker whose claim does not hold any more."""
    return RunTakenOver(f"run {claim.run_id} was taken up by another worker")


def hold(claim: Claim, lease: timedelta = LEASE, **values: Any) -> Update:
    """Renews the lease if the claim still holds; changes nothing if it does not, or if the run has ended."""
    mine = (runs.c.id == claim.run_id, runs.c.tenant == claim.tenant, runs.c.fence == claim.fence)
    return update(runs).where(*mine, runs.c.result.is_(None)).values(lease_until=now() + lease, stalled=0, **values)


def begin(claim: Claim, begun: Sequence[Intent], ended: Sequence[Outcome] = ()) -> list[Dml]:
    """Records intents; of a step that ends at once the outcome, too."""
    moment = now()
    outcomes = {each.seq: each for each in ended}
    return [
        _again(claim, each, moment)
        if each.attempt > 1
        else steps.insert().values(
            run_id=claim.run_id,
            seq=each.seq,
            tenant=claim.tenant,
            kind=each.kind,
            idempotency_key=each.key,
            attempt=1,
            intent=dict(each.intent),
            started_at=moment,
            **_outcome(outcomes.get(each.seq), moment),
        )
        for each in begun
    ]


def end(claim: Claim, ended: Sequence[Outcome], begun: Sequence[Intent] = ()) -> list[Dml]:
    """Records the outcomes of steps that had begun before."""
    moment = now()
    at_once = {each.seq for each in begun if each.attempt == 1}
    return [_step(claim, each.seq).values(**_outcome(each, moment)) for each in ended if each.seq not in at_once]


def remember(claim: Claim, said: Sequence[Message]) -> list[Dml]:
    """Makes ``said`` what the session remembers of this run."""
    written = add_messages(claim.tenant, claim.session_id, claim.run_id, said) if said else []
    if claim.fence == 1:
        return written
    # While it waited the history said so. What is deleted and what is inserted are different rows.
    mine = (messages.c.session_id == claim.session_id, messages.c.run_id == claim.run_id)
    return [delete(messages).where(messages.c.tenant == claim.tenant, *mine), *written]


def leave(claim: Claim) -> Update:
    """Leaves the session to its next run."""
    mine = (sessions.c.id == claim.session_id, sessions.c.tenant == claim.tenant, sessions.c.turn == claim.run_id)
    return update(sessions).where(*mine).values(turn=None)


def _again(claim: Claim, intent: Intent, moment: datetime) -> Dml:
    return _step(claim, intent.seq).values(attempt=intent.attempt, started_at=moment)


def _step(claim: Claim, seq: int) -> Update:
    return update(steps).where(steps.c.run_id == claim.run_id, steps.c.tenant == claim.tenant, steps.c.seq == seq)


def _outcome(outcome: Outcome | None, moment: datetime) -> dict[str, Any]:
    if outcome is None:
        return {"status": "started"}
    return {"status": outcome.status, "result": dict(outcome.result), "ended_at": moment}
