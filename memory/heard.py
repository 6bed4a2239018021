"""What a user has said lately: the message of a run, and those before it in its session."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from records.database import Database
from records.principal import Principal
from records.schema import messages, runs, sessions

_BEFORE = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """What a principal says in a run, and said before.

    Attributes:
        message: Its message; empty where there is none.
        before: The last messages that it sent to the session before, newest first.
        calls: It has no message but calls a tool itself, in place of any model: nobody knows whose words the arguments
            are.
    """

    message: str = ""
    before: Sequence[str] = ()
    calls: bool = False


async def heard(database: Database, principal: Principal, run_id: str, session_id: str) -> Heard:
    """What the principal has said lately, as of a run of its own."""
    mine = (runs.c.tenant == principal.tenant, runs.c.principal == principal.id, runs.c.id == run_id)
    earlier = _said(principal, session_id, run_id).with_only_columns(messages.c.content).limit(_BEFORE)
    async with database.read() as connection:
        request = await connection.scalar(select(runs.c.request).where(*mine))
        before = (await connection.execute(earlier)).scalars().all()
    if request is None:
        return Heard(before=before)
    if request.get("call") is not None:
        return Heard(calls=True)
    return Heard(str(request["message"]), before)


async def runs_of(
    database: Database, principal: Principal, session_id: str, *, before: str, limit: int
) -> Sequence[str]:
    """The ids of the principal's last runs in a session before this one, the newest first."""
    query = _said(principal, session_id, before).with_only_columns(messages.c.run_id).limit(limit)
    async with database.read() as connection:
        return list(dict.fromkeys((await connection.execute(query)).scalars().all()))


def _said(principal: Principal, session_id: str, before: str) -> Select[Any]:
    whose = (sessions.c.tenant == principal.tenant, sessions.c.principal == principal.id, sessions.c.id == session_id)
    is_said = (messages.c.tenant == principal.tenant, messages.c.role == "user", messages.c.run_id < before)
    query = select(messages).join(sessions, messages.c.session_id == sessions.c.id)
    return query.where(*whose, *is_said).order_by(messages.c.id.desc())
