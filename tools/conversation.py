"""The built-in tool that shows a model what a summary of its conversation stands for."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field

from models.messages import Message
from records.principal import Principal
from tools.decorator import ToolOptions, make_tool
from tools.results import ToolContext, ToolResult
from tools.tool import Tool

READ_CONVERSATION = "read_conversation"

_AT_ONCE = 40
_CHARACTERS = 24_000
_LONGEST = 4_000


class Entry(Protocol):
    """A message in its place in a session."""

    @property
    def id(self) -> int: ...
    @property
    def message(self) -> Message: ...


class Conversation(Protocol):
    """What is kept of sessions, seen from a tool."""

    async def messages(
        self, principal: Principal, session_id: str, *, first: int, last: int | None, limit: int
    ) -> Sequence[Entry]:
        """The messages of one of the principal's sessions, with ids from ``first`` to ``last``."""
        ...


def read_conversation_tool(conversation: Conversation, timeout: float = 10.0) -> Tool:
    """The tool ``read_conversation``, which shows messages of the run's own session and of no other."""

    async def read_conversation(
        first_message: Annotated[int, Field(ge=1, description="The number of the first message to read.")],
        last_message: Annotated[int, Field(ge=1, description="The number of the last message to read.")],
        context: ToolContext,
    ) -> ToolResult:
        """Read earlier messages of this conversation word for word, by the numbers that its summary gives."""
        found = await conversation.messages(
            context.principal, context.session_id, first=first_message, last=last_message, limit=_AT_ONCE + 1
        )
        shown: list[dict[str, Any]] = []
        room = _CHARACTERS
        for entry in found[:_AT_ONCE]:
            item = _shown(entry)
            room -= len(item["content"])
            if room < 0 and shown:
                break
            shown.append(item)
        if not shown:
            return ToolResult(content="There are no such messages.", value=[])
        lines = [f"({item['message']}) {item['who']}: {item['content']}" for item in shown]
        if len(shown) < len(found):
            lines.append(f"There is more: go on with message {found[len(shown)].id}.")
        return ToolResult(content="\n".join(lines), value=shown)

    return make_tool(read_conversation, ToolOptions(timeout=timeout))


def _shown(entry: Entry) -> dict[str, Any]:
    message = entry.message
    calls = "".join(f" [called {call.name} with {call.arguments or '{}'}]" for call in message.tool_calls)
    content = message.content + calls
    who = f"tool {message.name}" if message.role == "tool" else message.role
    return {
        "message": entry.id,
        "who": who,
        "content": content if len(content) <= _LONGEST else content[:_LONGEST] + "… [cut]",
    }
