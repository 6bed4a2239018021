"""Bodies about the service itself."""

from typing import Literal

from pydantic import BaseModel, Field


class Readiness(BaseModel):
    """Whether every part answers; a part's state is `ok` or what is wrong."""

    status: Literal["ok", "unavailable"]
    parts: dict[str, str] = Field(examples=[{"database": "ok", "vectors": "ok"}])
