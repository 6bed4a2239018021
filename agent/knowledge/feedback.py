"""What people say of the answers they were given: right, or wrong. The last word of each counts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

import orjson
import structlog
from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from agent.log.log import EventLog
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import run_feedback

RunVerdict = Literal["right", "wrong"]

_log = structlog.get_logger("cairn.feedback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of an answer.

    Attributes:
        question: What was asked, where that is known.
        entry_id: The answer of the cache that was given, if it was one.
        score: What that was given with.
        created_at: When it was last said.
    """

    tenant: str
    principal: str
    run_id: str
    verdict: RunVerdict
    comment: str
    question: str | None = None
    entry_id: str | None = None
    score: float = 1.0
    created_at: datetime


OnFeedback = Callable[[Feedback], Awaitable[None]]
"""Told of a wrong answer: once for each run and principal, but after a crash or a failure again."""


class Complaints(Protocol):
    """Who hears of answers of the cache that were wrong."""

    async def complain(self, tenant: str, entry_id: str, *, question: str | None = None, score: float = 1.0) -> None:
        """Take it in."""
        ...


def complaints_to(cache: Complaints) -> OnFeedback:
    """Tell the cache when an answer of its own was wrong."""

    async def tell(said: Feedback) -> None:
        if said.entry_id is not None:
            await cache.complain(said.tenant, said.entry_id, question=said.question, score=said.score)

    return tell


class FeedbackStore:
    """The table of what was said of answers.

    Args:
        log: Tells which runs were answered from the cache.
        on_feedback: Nobody is told when absent.
    """

    def __init__(self, database: Database, log: EventLog, on_feedback: OnFeedback | None = None) -> None:
        self._database = database
        self._log = log
        self._on_feedback = on_feedback

    async def give(
        self,
        principal: Principal,
        run_id: str,
        verdict: RunVerdict,
        comment: str = "",
        *,
        question: str | None = None,
    ) -> Feedback:
        """Say what the principal thinks of the answer of one of its runs, in the place of what it said before.

        Whoever calls this has found the run to be the principal's, and the question in it.
        """
        said = Feedback(
            tenant=principal.tenant,
            principal=principal.id,
            run_id=run_id,
            verdict=verdict,
            comment=comment,
            question=question,
            created_at=now(),
        )
        values = {name: getattr(said, name) for name in ("verdict", "comment", "created_at")}
        whose = {"tenant": said.tenant, "run_id": run_id, "principal": said.principal}
        async with self._database.write() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            insert = dialect.insert(run_feedback).values(**whose, **values)
            await connection.execute(insert.on_conflict_do_update(index_elements=list(whose), set_=values))
        if verdict == "wrong" and self._on_feedback is not None:
            await self._tell(said, self._on_feedback)
        return said

    async def of(self, principal: Principal, run_id: str) -> Feedback | None:
        """What the principal said of a run, if it did."""
        query = select(run_feedback).where(_is(principal.tenant, principal.id, run_id))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        names = ("tenant", "principal", "run_id", "verdict", "comment", "created_at")
        return Feedback(**{name: getattr(row, name) for name in names})

    async def _tell(self, said: Feedback, on_feedback: OnFeedback) -> None:
        """Tell of a wrong answer unless that was done. It is noted after it: twice does less harm than never."""
        mine = _is(said.tenant, said.principal, said.run_id)
        untold = and_(mine, run_feedback.c.told_at.is_(None))
        try:
            async with self._database.read() as connection:
                if await connection.scalar(select(run_feedback.c.run_id).where(untold)) is None:
                    return
            await on_feedback(await self._placed(said))
            async with self._database.write() as connection:
                await connection.execute(update(run_feedback).where(mine).values(told_at=now()))
        except Exception as error:  # noqa: BLE001 - it was said, and is kept; said again, it is told again
            _log.error("nobody could be told of a wrong answer", exc_info=error, run_id=said.run_id)

    async def _placed(self, said: Feedback) -> Feedback:
        hits = [event for event in await self._log.read(said.run_id) if event.type == "cache.hit"]
        if not hits:
            return said
        hit = orjson.loads(hits[-1].data)
        return replace(said, entry_id=hit["entry_id"], score=hit["score"])


async def called_wrong(database: Database, tenant: str, run_id: str) -> bool:
    """Whether somebody's last word on the answer of a run was that it is wrong."""
    columns = run_feedback.c
    query = select(columns.run_id).where(columns.tenant == tenant, columns.run_id == run_id, columns.verdict == "wrong")
    async with database.read() as connection:
        return await connection.scalar(query.limit(1)) is not None


def _is(tenant: str, principal: str, run_id: str) -> ColumnElement[bool]:
    columns = run_feedback.c
    return and_(columns.tenant == tenant, columns.principal == principal, columns.run_id == run_id)
