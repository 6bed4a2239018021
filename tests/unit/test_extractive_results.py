"""Results of tools are told by their fields, and passages are cut into what can be quoted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.extractive.phrasing import phrase
from models.extractive.sentences import quotable, split_sentences
from models.messages import Passage

PARCEL = {
    "parcel": 77,
    "status": "in_transit",
    "carrier": "Fjordpost",
    "expected_delivery": "2026-12-01",
    "sent_on": "2026-11-24",
    "items": ["2 × lamp", "1 × bulb"],
    "total": {"amount": "39.90", "currency": "EUR"},
    "signed": False,
    "note": None,
}

WHOLE = (
    "Parcel 77 is in transit. Carrier: Fjordpost. Expected delivery: 1 December 2026. "
    "Sent on: 24 November 2026. Items: 2 × lamp; 1 × bulb. Total: 39.90 EUR. Signed: no."
)


def told(question: str, value: Any) -> str:
    return phrase(question, "tool", value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Where is parcel 77?",
            WHOLE,
        ),
        (
            "When will parcel 77 come?",
            "Parcel 77 is in transit. Expected delivery: 1 December 2026. Sent on: 24 November 2026.",
        ),
        ("Which carrier has parcel 77?", "Parcel 77 is in transit. Carrier: Fjordpost."),
        ("What is in parcel 77, which items?", "Parcel 77 is in transit. Items: 2 × lamp; 1 × bulb."),
        ("What is the total of parcel 77?", "Parcel 77 is in transit. Total: 39.90 EUR."),
    ],
)
def test_an_objects_fields_become_short_sentences_those_asked_for_first(question: str, expected: str) -> None:
    assert told(question, PARCEL) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], "Nothing was found."),
        (["a", "b"], "Found 2: a; b."),
        (list(range(9)), "Found 9: 0; 1; 2; 3; 4 and 4 more."),
        ([{"name": "Lamp", "price": "9 EUR"}], "Found 1: Lamp, 9 EUR."),
        (42, "42."),
        (True, "yes."),
        (None, "Done."),
        ({}, "Done."),
        ("It is done", "It is done."),
        ({"deleted": True}, "Deleted: yes."),
        ({"error": "The shop is closed."}, "The shop is closed."),
        ("tool failed: LookupError: There is no parcel 9.", "There is no parcel 9."),
        ("tool failed: KeyError: 'x'", "tool did not work: KeyError: 'x'."),
        ("tool timed out after 5 s", "tool timed out after 5 s."),
    ],
)
def test_every_kind_of_result_is_told(value: Any, expected: str) -> None:
    assert told("?", value) == expected


def test_of_a_nested_object_only_what_was_asked_for_is_told() -> None:
    value = {"product": "Lamp", "specification": {"weight": "2 kg", "height": "30 cm"}}
    assert told("What is the weight of the lamp?", value) == "Product: Lamp. Specification: weight 2 kg."


def test_a_bracketed_number_in_a_result_is_not_a_citation() -> None:
    assert "[" not in told("?", {"text": "see [1] and [2, 3]"})


def test_a_list_of_lines_keeps_its_lines_up_to_a_length() -> None:
    told = phrase("What?", "recall", "Two things:\n- one  [1]\n- two")
    assert told == "Two things:\n- one (1)\n- two"
    assert phrase("What?", "recall", "\n".join(f"- {number}" for number in range(99))).endswith("- 29\n…")


def test_a_huge_result_stays_short() -> None:
    assert len(told("?", {f"field {i}": "word " * 5_000 for i in range(500)})) < 3_000
    assert len(told("?", "word " * 50_000)) < 1_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_a_tool_returns_something_is_said(value: Any) -> None:
    assert phrase("Where is it?", "tool", json.dumps(value)).strip()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. J. K. Lund lives here. She works.", ["Dr. J. K. Lund lives here.", "She works."]),
        ("It costs 3.50 euros. That is e.g. cheap.", ["It costs 3.50 euros.", "That is e.g. cheap."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It weighs 300 g. It is blue.", ["It weighs 300 g.", "It is blue."]),
        ("It stands at 28.5°E. This is new.", ["It stands at 28.5°E.", "This is new."]),
        ("第一句。第二句！", ["第一句。", "第二句！"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_prose_is_cut_at_the_ends_of_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def quoted(text: str) -> list[str]:
    return [sentence.text for sentence in quotable([Passage(label=1, title="T", text=text)])]


def test_markdown_is_read_as_what_it_shows() -> None:
    text = "# Title\n\nSee **the** [guide](https://example.org) and `make run`.\n\n## Fees\n\nA line\nthat wraps."
    assert quoted(text) == ["See the guide and make run.", "A line that wraps."]


def test_headings_are_context_and_not_sentences() -> None:
    (sentence,) = quotable([Passage(label=4, title="Manual", text="## Fees\n\nIt is free.", heading_path=("Manual",))])
    assert (sentence.context, sentence.label) == ("Manual Fees", 4)


def test_items_of_a_long_list_each_carry_the_line_before_them() -> None:
    items = "\n".join(f"- item {i} which is described at some length so that the list is long" for i in range(5))
    assert quoted(f"Bring these:\n\n{items}")[3] == (
        "Bring these: item 3 which is described at some length so that the list is long."
    )


def test_rows_carry_their_header_cells_and_empty_cells_are_left_out() -> None:
    table = "| Zone | Price | Days |\n|:--|--:|---|\n| North | €5 | 2 |\n| South |  | 3 \\| 4 |"
    assert quoted(table) == ["Zone: North; Price: €5; Days: 2.", "Zone: South; Days: 3 | 4."]


@given(st.text(max_size=400))
def test_any_text_can_be_cut_and_every_piece_is_said_once(text: str) -> None:
    pieces = quoted(text)
    assert len(pieces) == len(set(pieces))
    assert all(piece.strip() for piece in pieces)
