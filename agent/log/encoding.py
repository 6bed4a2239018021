"""Events as JSON: what the log keeps and every wire format carries."""

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import orjson

from agent.events import CitedSource, EventBody, RetrievalCompleted

_LINE_ENDS = tuple((end.encode(), b"\\u%04x" % ord(end)) for end in "\x85\u2028\u2029")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event in its place in a run's log.

    Attributes:
        seq: Position in the run's log, from 1, without gaps.
        data: The JSON object: ``run_id``, ``seq``, ``type`` and the fields of the type. It never changes.
    """

    run_id: str
    seq: int
    type: str
    data: bytes


def encode(run_id: str, seq: int, body: EventBody) -> RunEvent:
    """Give a body its place and its JSON."""
    wire = _wire(body) if isinstance(body, RetrievalCompleted) else body
    try:
        fields_ = orjson.dumps(wire)
    except orjson.JSONEncodeError:
        # Half of a surrogate pair: some servers cut text there. No encoding carries it.
        plain = wire if isinstance(wire, dict) else asdict(wire)
        fields_ = json.dumps(plain, ensure_ascii=False, default=asdict).encode("utf-8", "replace")
    head = b'{"run_id":"%b","seq":%d,' % (run_id.encode(), seq)
    return RunEvent(run_id, seq, body.type, head + _one_line(fields_[1:]))


def reencode(event: RunEvent, data: Any) -> RunEvent:
    """The event with other data in its place."""
    return replace(event, data=_one_line(orjson.dumps(data)))


def _one_line(data: bytes) -> bytes:
    """Escape what JSON and SSE allow in a line but many clients take for the end of one (``str.splitlines``)."""
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
    return data


def _wire(body: RetrievalCompleted) -> dict[str, Any]:
    shallow = {field.name: getattr(body, field.name) for field in fields(body)}
    return shallow | {"sources": [flat(cited) for cited in body.sources]}


def flat(cited: CitedSource) -> dict[str, Any]:
    """A source as one flat object with its label in front."""
    source = cited.source
    return {"label": cited.label} | {field.name: getattr(source, field.name) for field in fields(source)}
