"""Messages as rows."""

from typing import Any

from models.messages import Message, ToolCall


def message_row(message: Message) -> dict[str, object]:
    """What a message is, as columns."""
    # PostgreSQL's text holds every character but this one.
    content = message.content.replace("\0", "\ufffd")
    return {"role": message.role, "content": content, "detail": _detail(message)}


def read_message(row: Any) -> Message:
    """A message from its row."""
    detail = row.detail
    return Message(
        role=row.role,
        content=row.content,
        tool_calls=tuple(ToolCall(**call) for call in detail.get("tool_calls", ())),
        tool_call_id=detail.get("tool_call_id"),
        name=detail.get("name"),
    )


def _detail(message: Message) -> dict[str, object]:
    detail: dict[str, object] = {}
    if message.tool_calls:
        detail["tool_calls"] = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in message.tool_calls]
    if message.tool_call_id is not None:
        detail |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return detail
