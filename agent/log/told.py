"""What a run has told already, so that a run that is taken up again tells the rest, and nothing twice.

A run that goes on is replayed: steps that are done give their recorded results, and the loop yields all of its events
again. Those that are in the log are held back here. Text is compared: where a model that was cut off says the same
again, the answer simply goes on after what was released; where it says something else, the answer begins anew.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from agent.events import (
    AnswerRestarted,
    ApprovalDecided,
    ApprovalRequested,
    Citation,
    EventBody,
    RunResumed,
    RunWaiting,
    TextDelta,
    ToolCalled,
    ToolReturned,
)
from agent.log.encoding import RunEvent

_KEYS: dict[str, str] = {
    "tool.call": "call_id",
    "tool.result": "call_id",
    "approval.requested": "approval_id",
    "approval.decided": "approval_id",
    "run.waiting": "approvals",
    "run.resumed": "approvals",
}
"""The field by which events of a type are told apart; of all other types the number counts."""


class Told:
    """The events in a run's log, taken off one by one as the replay comes to them."""

    def __init__(self, log: Iterable[RunEvent] = ()) -> None:
        self._keys: set[tuple[str, Any]] = set()
        self._counts: dict[str, int] = {}
        self._pieces: list[str] = []
        self._first_text = 0
        for event in log:
            self._add(event)
        self._text = "".join(self._pieces)
        self._at = 0
        self._cited: list[Citation] = []

    def rest(self, body: EventBody) -> Sequence[EventBody]:
        """What is still to be told of an event that the loop has come to."""
        if isinstance(body, TextDelta):
            return self._rest_of_text(body)
        if self._was_told(body):
            if isinstance(body, Citation):
                self._cited.append(body)
            return ()
        if self._at < len(self._text):
            # The log has more text than was said this time.
            return (*self._restart(""), body)
        return (body,)

    def _was_told(self, body: EventBody) -> bool:
        key = _key(body)
        if key is not None:
            known = key in self._keys
            self._keys.discard(key)
            return known
        left = self._counts.get(body.type, 0)
        self._counts[body.type] = max(0, left - 1)
        return left > 0

    def _rest_of_text(self, body: TextDelta) -> Sequence[EventBody]:
        left = len(self._text) - self._at
        if not left:
            return (body,)
        again, new = body.delta[:left], body.delta[left:]
        if self._text.startswith(again, self._at):
            self._at += len(again)
            return (TextDelta(new),) if new else ()
        return self._restart(body.delta)

    def _restart(self, piece: str) -> Sequence[EventBody]:
        """The answer as it now is: what was said before the call that was cut off, and what it says instead."""
        whole = self._text[: self._at] + piece
        told: list[EventBody] = [AnswerRestarted(supersedes_seq=self._first_text)]
        told += [TextDelta(whole)] if whole else []
        told += self._cited
        self._text = ""
        self._at = 0
        self._counts.pop("citation", None)
        return told

    def _add(self, event: RunEvent) -> None:
        data = orjson.loads(event.data)
        match event.type:
            case "text.delta":
                self._first_text = self._first_text or event.seq
                self._pieces.append(data["delta"])
            case "answer.restarted":
                self._pieces.clear()
                self._first_text = 0
                self._counts.pop("citation", None)
            case kind if kind in _KEYS:
                value = data[_KEYS[kind]]
                self._keys.add((kind, tuple(value) if isinstance(value, list) else value))
            case kind:
                self._counts[kind] = self._counts.get(kind, 0) + 1


def _key(body: EventBody) -> tuple[str, Any] | None:
    match body:
        case ToolCalled() | ToolReturned():
            return body.type, body.call_id
        case ApprovalRequested() | ApprovalDecided():
            return body.type, body.approval_id
        case RunWaiting() | RunResumed():
            return body.type, body.approvals
    return None
