"""Sessions: the short-term memory of a conversation, and the window of it that a model sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Insert, Row, and_, or_, select, update

from memory.conversation.rows import message_row, read_message
from memory.conversation.summaries import SummaryStore
from memory.conversation.summary import Summary
from models.messages import Message
from models.tokens import estimate_tokens
from records.database import Database, Dml
from records.ids import new_id, now
from records.principal import Principal
from records.schema import messages, sessions

_TITLE_LENGTH = 80
_WINDOW_ROWS = 200

__all__ = [
    "Session",
    "SessionMessage",
    "SessionNotFound",
    "SessionStore",
    "add_messages",
    "add_session",
    "fit",
    "message_row",
    "new_session",
]


class SessionNotFound(Exception):
    """There is no such session for this principal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A conversation of one principal."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMessage:
    """A message as it stands in a session's history."""

    id: int
    run_id: str
    message: Message
    created_at: datetime


class SessionStore:
    """Sessions in the database. Another principal's session does not exist.

    Args:
        overflows: Is told of a session whose messages a window of so many tokens has no room for.
    """

    def __init__(self, database: Database, overflows: Callable[[str, str, int], None] | None = None) -> None:
        self._database = database
        self._summaries = SummaryStore(database)
        self._overflows = overflows

    async def get(self, principal: Principal, session_id: str) -> Session:
        """The session with this id.

        Raises:
            SessionNotFound: The id is not one of the principal's sessions.
        """
        query = select(sessions).where(
            sessions.c.id == session_id, sessions.c.tenant == principal.tenant, sessions.c.principal == principal.id
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise SessionNotFound(f"there is no session {session_id!r}; leave session_id out to start one")
        return _session(row)

    async def list(
        self, principal: Principal, limit: int, before: tuple[datetime, str] | None = None
    ) -> Sequence[Session]:
        """The principal's sessions, the last used first; those after ``before`` (its time and id) when given."""
        query = select(sessions).where(sessions.c.tenant == principal.tenant, sessions.c.principal == principal.id)
        if before is not None:
            time, last = before
            query = query.where(
                or_(sessions.c.updated_at < time, and_(sessions.c.updated_at == time, sessions.c.id < last))
            )
        query = query.order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [_session(row) for row in await connection.execute(query)]

    async def history(self, principal: Principal, session_id: str) -> Sequence[SessionMessage]:
        """All messages of the session, oldest first."""
        await self.get(principal, session_id)
        mine = (messages.c.tenant == principal.tenant, messages.c.session_id == session_id)
        query = select(messages).where(*mine).order_by(messages.c.id)
        async with self._database.read() as connection:
            return [_message(row) for row in await connection.execute(query)]

    async def messages(
        self, principal: Principal, session_id: str, *, first: int, last: int | None, limit: int
    ) -> Sequence[SessionMessage]:
        """The messages with the ids from ``first`` to ``last``, oldest first, at most ``limit``.

        Raises:
            SessionNotFound: The id is not one of the principal's sessions.
        """
        await self.get(principal, session_id)
        query = select(messages).where(messages.c.tenant == principal.tenant, messages.c.session_id == session_id)
        query = query.where(messages.c.id >= first)
        if last is not None:
            query = query.where(messages.c.id <= last)
        async with self._database.read() as connection:
            return [_message(row) for row in await connection.execute(query.order_by(messages.c.id).limit(limit))]

    async def summary(self, principal: Principal, session_id: str) -> Summary | None:
        """What stands for the older turns of the session, once there is more than a window has room for.

        Raises:
            SessionNotFound: The id is not one of the principal's sessions.
        """
        await self.get(principal, session_id)
        return await self._summaries.latest(principal.tenant, session_id)

    async def window(self, tenant: str, session_id: str, tokens: int, *, before: str) -> tuple[Message, ...]:
        """The latest whole exchanges that fit into ``tokens``, oldest first; before them a summary of older ones.

        It begins with a user's message, or with a summary, which stands as an exchange of its own: so no answer stands
        without its question and no tool result without its call.

        Args:
            before: A run's id: only what earlier runs have left counts, so that a run sees the same whenever it looks.
        """
        query = (
            select(messages)
            .where(messages.c.tenant == tenant, messages.c.session_id == session_id, messages.c.run_id < before)
            .order_by(messages.c.id.desc())
            .limit(_WINDOW_ROWS)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        history = [read_message(row) for row in reversed(rows)]
        latest = fit(history, tokens)
        if len(latest) == len(history) < _WINDOW_ROWS:
            return latest
        self._overflow(tenant, session_id, tokens)
        summary = await self._summaries.latest(tenant, session_id, before=before)
        if summary is None or 2 * summary.tokens > tokens:
            return latest
        return (*summary.messages, *fit(history, tokens - summary.tokens))

    def grown(self, tenant: str, session_id: str, said: Sequence[Message], tokens: int) -> None:
        """Take note of what a session has come to with a run that has ended: ``said`` after what it had seen."""
        if sum(map(estimate_tokens, said)) > tokens:
            self._overflow(tenant, session_id, tokens)

    def _overflow(self, tenant: str, session_id: str, tokens: int) -> None:
        if self._overflows is not None:
            self._overflows(tenant, session_id, tokens)


def new_session(title: str) -> Session:
    """A session that begins now; it is inserted together with its first run, so that there is none without."""
    moment = now()
    return Session(id=new_id(), title=_shorten(title), created_at=moment, updated_at=moment)


def add_session(session: Session, tenant: str, principal: str) -> Insert:
    """What inserts a session."""
    return sessions.insert().values(
        id=session.id,
        tenant=tenant,
        principal=principal,
        title=session.title,
        created_at=session.created_at,
        updated_at=session.updated_at,
    )


def add_messages(tenant: str, session_id: str, run_id: str, turns: Sequence[Message]) -> list[Dml]:
    """What appends messages to a session: together with what makes them true, so that run and history agree."""
    moment = now()
    common = {"session_id": session_id, "tenant": tenant, "run_id": run_id, "created_at": moment}
    return [
        # One statement for all rows: their ids count up in this order.
        messages.insert().values([{**common, **message_row(turn)} for turn in turns]),
        update(sessions).where(sessions.c.id == session_id, sessions.c.tenant == tenant).values(updated_at=moment),
    ]


def fit(history: Sequence[Message], tokens: int) -> tuple[Message, ...]:
    """The longest tail of ``history`` that begins with a user's message and has at most ``tokens`` tokens."""
    used, start = 0, len(history)
    for position in range(len(history) - 1, -1, -1):
        used += estimate_tokens(history[position])
        if used > tokens:
            break
        if history[position].role == "user":
            start = position
    return tuple(history[start:])


def _message(row: Row[tuple[object, ...]]) -> SessionMessage:
    return SessionMessage(id=row.id, run_id=row.run_id, message=read_message(row), created_at=row.created_at)


def _session(row: Row[tuple[object, ...]]) -> Session:
    return Session(id=row.id, title=row.title, created_at=row.created_at, updated_at=row.updated_at)


def _shorten(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "…"
