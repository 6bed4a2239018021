"""What is taken out of a text is gone, and nothing else, however the text was cut into pieces."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memory.redaction import MARKER, Redaction

SECRET = "I like my café  “noir”, 42 °C!"
TEXTS = st.lists(
    st.sampled_from([SECRET, "i LIKE my\ncafé “noir”, 42 °C", " and ", "🪨", "x", "café ", ""]), max_size=8
)


@given(TEXTS, st.lists(st.integers(0, 200), max_size=6))
def test_cutting_a_text_into_pieces_changes_nothing(parts: list[str], cuts: list[int]) -> None:
    whole = " ".join(parts)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in pairwise(places)]
    redaction = Redaction((SECRET,))
    changed, moves = redaction.pieces(pieces)
    assert len(changed) == len(pieces)
    assert "".join(changed) == redaction.text(whole)
    assert redaction.spans("".join(changed)) == []
    # What stands is found again where it has moved to.
    spans = redaction.spans(whole)
    for place, character in enumerate(whole):
        if not any(start <= place < end for start, end in spans):
            assert "".join(changed)[moves.of(place)] == character
    for start, end in spans:
        assert "".join(changed)[moves.of(start) : moves.of(end)] == MARKER


@given(TEXTS)
def test_it_is_found_in_json_however_often_that_was_written(parts: list[str]) -> None:
    redaction = Redaction((SECRET,))
    data = {"a": parts, "b": {"arguments": json.dumps({"text": "\n".join(parts)})}, "c": [1, None, True, 1.5]}
    hushed = redaction.data(data)
    assert "noir" not in json.dumps(hushed).lower()
    assert json.loads(hushed["b"]["arguments"])["text"] == redaction.text("\n".join(parts))
    assert hushed["c"] is data["c"]
    assert redaction.data(hushed) is hushed


def test_only_whole_words_are_taken_out_and_nothing_too_short() -> None:
    redaction = Redaction(("tea", "no", "", "forgotten."))
    assert redaction.text("Tea, no team; tea! [forgotten]") == f"{MARKER}, no team; {MARKER}! [forgotten]"
    assert Redaction(()).text("tea") == "tea"
    assert Redaction(("likes green Tea.",)).marks == [["green", "likes", "tea"]]
