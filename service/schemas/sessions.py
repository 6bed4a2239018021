"""Bodies about sessions."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


class SessionSummary(BaseModel):
    """A session in a list."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime


class SessionList(BaseModel):
    """A page of sessions, the last used first."""

    items: list[SessionSummary]
    next_cursor: str | None


class MessageBody(BaseModel):
    """A message of a session."""

    role: Literal["user", "assistant", "tool", "system"]
    content: str
    run_id: str
    name: str | None = None
    created_at: datetime


class SessionBody(SessionSummary):
    """A session with all its messages, oldest first."""

    messages: list[MessageBody]
