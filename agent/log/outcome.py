"""What a run came to: its log of events folded into one object."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from agent.log.encoding import RunEvent

_STATUS = {
    "run.started": "running",
    "run.waiting": "waiting_approval",
    "run.resumed": "running",
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}
_ENVELOPE = frozenset({"run_id", "seq", "type"})


def outcome(events: Iterable[RunEvent]) -> dict[str, Any]:
    """Fold a run's events: ``status, answer, citations, sources, tool_calls, approvals, usage, error``.

    A run without events is ``queued``; one that goes on is ``running`` and has what it has said so far.
    """
    folding = _Folding()
    for event in events:
        data = orjson.loads(event.data)
        folding.add(event.seq, event.type, {key: value for key, value in data.items() if key not in _ENVELOPE})
    return folding.whole


class _Folding:
    def __init__(self) -> None:
        self._pieces: dict[int, str] = {}
        self._folded: dict[str, Any] = {
            "status": "queued",
            "citations": [],
            "sources": [],
            "tool_calls": [],
            "approvals": [],
            "usage": None,
            "error": None,
        }

    @property
    def whole(self) -> dict[str, Any]:
        return {**self._folded, "answer": "".join(self._pieces.values())}

    def add(self, seq: int, kind: str, fields: Mapping[str, Any]) -> None:
        self._folded["status"] = _STATUS.get(kind, self._folded["status"])
        match kind:
            case "text.delta":
                self._pieces[seq] = fields["delta"]
            case "answer.restarted":
                kept = self._pieces.items()
                self._pieces = {at: piece for at, piece in kept if at < fields["supersedes_seq"]}
                self._folded["citations"].clear()
            case "usage":
                self._folded["usage"] = fields
            case "run.failed":
                self._folded["error"] = fields
            case _:
                self._collect(kind, fields)

    def _collect(self, kind: str, fields: Mapping[str, Any]) -> None:
        match kind:
            case "retrieval.completed":
                self._folded["sources"].extend(fields["sources"])
            case "citation":
                self._folded["citations"].append(fields)
            case "tool.call":
                self._folded["tool_calls"].append({**fields})
            case "tool.result":
                told = {name: fields[name] for name in ("ok", "content", "failure")}
                _update(self._folded["tool_calls"], "call_id", fields, told)
            case "approval.requested":
                self._folded["approvals"].append({**fields, "decision": None, "decided_by": None})
            case "approval.decided":
                decided = {name: fields[name] for name in ("decision", "decided_by")}
                _update(self._folded["approvals"], "approval_id", fields, decided)


def _update(entries: list[dict[str, Any]], key: str, fields: Mapping[str, Any], news: Mapping[str, Any]) -> None:
    for entry in entries:
        if entry[key] == fields[key]:
            entry.update(news)
