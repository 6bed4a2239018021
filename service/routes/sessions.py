"""Sessions: the conversations of a principal."""

from datetime import datetime

from fastapi import APIRouter

from memory.sessions import Session
from service.openapi import problems
from service.routes.context import (
    Cursor,
    Limit,
    PrincipalDep,
    ServicesDep,
    decode_cursor,
    encode_cursor,
    invalid_cursor,
    needs,
)
from service.schemas.sessions import MessageBody, SessionBody, SessionList, SessionSummary

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], dependencies=[needs("chat")])


@router.get("", responses=problems(400))
async def list_sessions(
    services: ServicesDep, principal: PrincipalDep, limit: Limit = 50, cursor: Cursor = None
) -> SessionList:
    """The sessions, the last used first."""
    before = None
    if cursor is not None:
        before = _position(cursor)
    found = await services.sessions.list(principal, limit + 1, before)
    page = found[:limit]
    more = encode_cursor(page[-1].updated_at.isoformat(), page[-1].id) if len(found) > limit else None
    return SessionList(items=[_summary(session) for session in page], next_cursor=more)


@router.get("/{session_id}", responses=problems(404))
async def get_session(session_id: str, services: ServicesDep, principal: PrincipalDep) -> SessionBody:
    """A session with all its messages, oldest first."""
    session = await services.sessions.get(principal, session_id)
    history = await services.sessions.history(principal, session_id)
    messages = [
        MessageBody(
            role=entry.message.role,
            content=entry.message.content,
            run_id=entry.run_id,
            name=entry.message.name,
            created_at=entry.created_at,
        )
        for entry in history
    ]
    return SessionBody(**_summary(session).model_dump(), messages=messages)


def _position(cursor: str) -> tuple[datetime, str]:
    time, last = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(time), last
    except ValueError as error:
        raise invalid_cursor() from error


def _summary(session: Session) -> SessionSummary:
    return SessionSummary(
        id=session.id, title=session.title, created_at=session.created_at, updated_at=session.updated_at
    )
