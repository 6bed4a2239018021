"""Sessions: the conversations of a principal."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from memory.sessions import Session, SessionMessage
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
from service.schemas.sessions import (
    CallBody,
    MessageBody,
    MessageList,
    RunningSummary,
    SessionBody,
    SessionList,
    SessionSummary,
)

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], dependencies=[needs("chat")])

_LARGEST = 2**63 - 1


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
    """A session with all its messages, oldest first, and the summary of older ones that a model is shown."""
    session = await services.sessions.get(principal, session_id)
    history = await services.sessions.history(principal, session_id)
    summary = await services.sessions.summary(principal, session_id)
    return SessionBody(
        **_summary(session).model_dump(),
        messages=[_message(entry) for entry in history],
        summary=None
        if summary is None
        else RunningSummary(
            first_message=summary.first,
            last_message=summary.last,
            text=summary.text,
            made_by=summary.made_by,
            created_at=summary.created_at,
        ),
    )


@router.get("/{session_id}/messages", responses=problems(404, 422))
async def list_messages(
    session_id: str,
    services: ServicesDep,
    principal: PrincipalDep,
    first: Annotated[int, Query(alias="from", ge=1, le=_LARGEST, description="The first message.")] = 1,
    last: Annotated[int | None, Query(alias="to", ge=1, le=_LARGEST, description="The last one.")] = None,
    limit: Limit = 50,
) -> MessageList:
    """Messages of a session, such as those that its summary stands for."""
    found = await services.sessions.messages(principal, session_id, first=first, last=last, limit=limit + 1)
    more = found[limit].id if len(found) > limit else None
    return MessageList(items=[_message(entry) for entry in found[:limit]], next_from=more)


@router.get(
    "/{session_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **problems(404)},
)
async def export_session(session_id: str, services: ServicesDep, principal: PrincipalDep) -> StreamingResponse:
    """All that is kept of a session: messages, runs with their steps and events, approvals, what tools noted down."""
    await services.sessions.get(principal, session_id)
    pieces = services.session_export.pieces(principal, session_id)
    return StreamingResponse(pieces, media_type="application/json")


@router.delete("/{session_id}", status_code=204, responses=problems(404, 409))
async def delete_session(
    session_id: str,
    services: ServicesDep,
    principal: PrincipalDep,
    cancel: Annotated[bool, Query(description="Stop what goes on in it first.")] = False,  # noqa: FBT002 - a query's
) -> Response:
    """Delete a session for real, with its runs and all that they did and said. It is refused while one goes on."""
    await services.session_deletion.delete(principal, session_id, cancel=cancel)
    return Response(status_code=204)


def _message(entry: SessionMessage) -> MessageBody:
    message = entry.message
    return MessageBody(
        id=entry.id,
        role=message.role,
        content=message.content,
        run_id=entry.run_id,
        name=message.name,
        tool_calls=[CallBody(id=call.id, name=call.name, arguments=call.arguments) for call in message.tool_calls],
        created_at=entry.created_at,
    )


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
