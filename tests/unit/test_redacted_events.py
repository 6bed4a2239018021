"""Events of a run without what was forgotten: the same events, and citations that still point at what they cited."""

import orjson

from agent.erasing.redacting import redacted
from agent.events import AnswerRestarted, Citation, EventBody, RunCompleted, TextDelta, ToolCalled
from agent.log.encoding import RunEvent, encode
from memory.redaction import MARKER, Redaction

SECRET = "I like marzipan"
REDACTION = Redaction((SECRET,))


def told(*bodies: EventBody) -> list[RunEvent]:
    return [encode("run", seq, body) for seq, body in enumerate(bodies, 1)]


def cite(start: int, end: int) -> Citation:
    return Citation(label=1, start=start, end=end, document_id="d", version="v")


def test_text_told_in_pieces_is_redacted_and_citations_move_with_it() -> None:
    first = f"You say {SECRET}, and returns take 30 days. [1]"
    second = f"Returns take 30 days. [1] {SECRET}."
    cited = first.index("returns"), first.index(" [1]")
    events = told(
        ToolCalled(call_id="c", name="t", arguments=f'{{"a": "{SECRET}"}}', effect=None),
        *(TextDelta(piece) for piece in (first[:12], first[12:20], first[20:])),
        cite(*cited),
        AnswerRestarted(supersedes_seq=2),
        TextDelta(second),
        cite(0, 20),
        RunCompleted(finish_reason="stop", answer=second, duration_ms=1.0),
    )
    hushed = redacted(events, REDACTION)
    assert [(event.seq, event.type) for event in hushed] == [(event.seq, event.type) for event in events]
    assert SECRET.encode() not in b"".join(event.data for event in hushed)
    data = [orjson.loads(event.data) for event in hushed]
    assert data[0]["arguments"] == f'{{"a": "{MARKER}"}}'
    answer = "".join(each["delta"] for each in data[1:4])
    assert answer == first.replace(SECRET, MARKER)
    assert answer[data[4]["start"] : data[4]["end"]] == first[slice(*cited)]
    assert data[6]["delta"] == data[8]["answer"] == second.replace(SECRET, MARKER)
    assert (data[7]["start"], data[7]["end"]) == (0, 20)
    assert list(redacted(hushed, REDACTION)) == list(hushed)


def test_what_holds_nothing_of_it_stays_to_the_byte() -> None:
    events = told(
        TextDelta("Well\u2028 then."), cite(0, 4), RunCompleted(finish_reason="stop", answer="x", duration_ms=1)
    )
    assert list(redacted(events, REDACTION)) == events
    assert redacted([], REDACTION) == []
