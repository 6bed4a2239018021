"""Events without what was forgotten: as many, in the same order, with the same types."""

from collections.abc import Sequence
from typing import Any

import orjson

from agent.log.encoding import RunEvent, reencode
from memory.redaction import Moves, Redaction

_NAMES = frozenset({"run_id", "seq", "type"})


def redacted(events: Sequence[RunEvent], redaction: Redaction) -> Sequence[RunEvent]:
    """The events without the texts, also where one was told in pieces; citations still point at what they cited."""
    data: list[dict[str, Any]] = [orjson.loads(event.data) for event in events]
    changed = [{**fields, **redaction.data(_told(fields))} for fields in data]
    for answer in _answers(data):
        pieces, moves = redaction.pieces([data[place]["delta"] for place in answer.text])
        for place, piece in zip(answer.text, pieces, strict=True):
            changed[place]["delta"] = piece
        for place in answer.citations:
            changed[place] |= _moved(data[place], moves)
    return [
        event if after == before else reencode(event, after)
        for event, before, after in zip(events, data, changed, strict=True)
    ]


class _Answer:
    """One answer of a run: the places of its pieces and of its citations; a restart begins another."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self.citations: list[int] = []


def _answers(data: Sequence[dict[str, Any]]) -> Sequence[_Answer]:
    answers = [_Answer()]
    for place, fields in enumerate(data):
        match fields["type"]:
            case "answer.restarted":
                answers.append(_Answer())
            case "text.delta":
                answers[-1].text.append(place)
            case "citation":
                answers[-1].citations.append(place)
    return answers


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _NAMES}


def _moved(citation: dict[str, Any], moves: Moves) -> dict[str, Any]:
    return {"start": moves.of(citation["start"]), "end": moves.of(citation["end"])}
