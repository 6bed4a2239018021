"""Bodies about tools."""

from typing import Any

from pydantic import BaseModel


class ToolBody(BaseModel):
    """A tool that the agent may call."""

    name: str
    description: str
    parameters: dict[str, Any]
    effect: str
    timeout: float
    examples: list[str]


class ToolList(BaseModel):
    """The tools, by name."""

    items: list[ToolBody]
