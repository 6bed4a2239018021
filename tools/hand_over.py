"""The built-in tool by which the agent hands a question over to a person, whose reply is the result."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from tools.decorator import ToolOptions, make_tool
from tools.tool import Tool

HAND_OVER = "hand_over"


def hand_over_tool() -> Tool:
    """The tool ``hand_over``. The run waits for the person, as it waits for an approval, and then goes on."""

    async def hand_over(
        summary: Annotated[str, Field(max_length=4000, description="What the person has to know to take over.")] = "",
    ) -> str:
        """Hand over to a person of the help desk: when the user asks for one, or nothing else can help."""
        raise NotImplementedError(summary)

    examples = ("I want to talk to a person.", "Connect me with somebody of your support.", "Can a human help me?")
    return replace(make_tool(hand_over, ToolOptions(examples=examples)), by_person=True)
