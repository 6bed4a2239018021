"""Bodies about the service itself."""

from typing import Literal

from pydantic import BaseModel, Field

from agent.queue.lanes import Lane


class Readiness(BaseModel):
    """Whether every part answers; a part's state is `ok` or what is wrong."""

    status: Literal["ok", "unavailable"]
    parts: dict[str, str] = Field(examples=[{"database": "ok", "vectors": "ok"}])


class LaneBody(BaseModel):
    """How full a lane is."""

    lane: Lane
    waiting: int = Field(description="Runs that nobody has begun, or that wait for a place.")
    running: int = Field(description="Runs in the hands of a process.")
    oldest_seconds: float = Field(description="For how long the oldest has waited; 0 when none waits.")


class LaneList(BaseModel):
    """The lanes."""

    items: list[LaneBody]
