"""Bodies about sessions."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


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


class CallBody(BaseModel):
    """A call of a tool, as the model wished it."""

    id: str
    name: str
    arguments: str = Field(description="JSON, as the model wrote it.")


class MessageBody(BaseModel):
    """A message of a session; messages are numbered as they came."""

    id: int
    role: Literal["user", "assistant", "tool", "system"]
    content: str
    run_id: str
    name: str | None = None
    tool_calls: list[CallBody] = Field(default_factory=list)
    created_at: datetime


class MessageList(BaseModel):
    """Messages of a session, oldest first."""

    items: list[MessageBody]
    next_from: int | None = Field(description="The first message of the next page, if there is one.")


class RunningSummary(BaseModel):
    """What stands for the older turns of a session, where a model is shown it."""

    first_message: int
    last_message: int
    text: str
    made_by: str = Field(description="The model, or `extractive`.")
    created_at: datetime


class SessionBody(SessionSummary):
    """A session with all its messages, oldest first."""

    messages: list[MessageBody]
    summary: RunningSummary | None = None
