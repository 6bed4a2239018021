"""What a run for one call has come to, as the answer of an MCP server."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from mcp.types import CallToolResult

RUN = "cairn/run-id"
"""Where the ``_meta`` of an answer has the run, at which it can be asked for again."""

ASK_AGAIN = "get_call_result"
_PASSAGE = ("label", "title", "heading_path", "page", "uri", "text")


def answer_of(run_id: str, folded: Mapping[str, Any], effects: Sequence[str]) -> "CallToolResult":
    """The answer for a run.

    Args:
        run_id: The run.
        folded: Its log, folded by ``agent.log.outcome``.
        effects: The tools that have changed something, or may have, where it was cancelled.
    """
    match folded["status"]:
        case "completed":
            return _result(run_id, folded)
        case "failed":
            error = folded["error"]
            return _answer(run_id, f"The call failed: {error['detail']}", {"code": error["code"]}, is_error=True)
        case "cancelled":
            text = "The call was cancelled."
            if effects:
                text += f" It has changed something, or may have: {', '.join(effects)}."
            return _answer(run_id, text, {"effects": list(effects)}, is_error=True)
        case "waiting_approval":
            return _waiting(run_id, folded)
    text = f"Not done yet: the call goes on. {_way_back(run_id)}"
    return _answer(run_id, text, {"status": "running", "run_id": run_id})


def _result(run_id: str, folded: Mapping[str, Any]) -> "CallToolResult":
    called = folded["tool_calls"][0] if folded["tool_calls"] else {}
    content = called.get("content") or ""
    if not called.get("ok"):
        return _answer(run_id, content, {"failure": called.get("failure")}, is_error=True)
    passages = [{name: source.get(name) for name in _PASSAGE} for source in folded["sources"]]
    if passages:
        texts = (f"[{each['label']}] {each['title']} ({each['uri']})\n{each['text']}" for each in passages)
        return _answer(run_id, "\n\n".join(texts), {"passages": passages})
    return _answer(run_id, content, _data(content))


def _waiting(run_id: str, folded: Mapping[str, Any]) -> "CallToolResult":
    pending = [asked for asked in folded["approvals"] if asked["decision"] is None]
    reasons = "; ".join(dict.fromkeys(str(asked["reason"]) for asked in pending))
    ids = [asked["approval_id"] for asked in pending]
    text = (
        f"Not done yet: a person has to decide first ({reasons}). "
        f"The approval is {', '.join(ids)}. Do not call the tool anew for this. {_way_back(run_id)}"
    )
    return _answer(run_id, text, {"status": "waiting_approval", "run_id": run_id, "approvals": ids})


def _way_back(run_id: str) -> str:
    return f"What it comes to is told by {ASK_AGAIN} with run_id {run_id!r}."


def _data(content: str) -> dict[str, Any] | None:
    """The content as data, where it is an object: what every revision of the protocol can carry."""
    if not content.startswith("{"):
        return None
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def _answer(run_id: str, text: str, data: Mapping[str, Any] | None, *, is_error: bool = False) -> "CallToolResult":
    from mcp.types import CallToolResult, TextContent

    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=None if data is None else dict(data),
        is_error=is_error,
        _meta={RUN: run_id},
    )
