"""Arguments are read from the user's words by type and by the words of the schema, and never made up."""

from datetime import date
from typing import Any

import pytest

from models.extractive.arguments import read_arguments
from models.extractive.dates import find_dates
from models.extractive.parameters import parameters_of
from models.messages import ToolSpec

TODAY = date(2026, 11, 20)  # a Friday


def read(text: str, properties: dict[str, Any], *required: str, bare: bool = False) -> list[dict[str, Any]]:
    """What is read, once for each call; required arguments are all unless named."""
    schema = {"type": "object", "properties": properties, "required": list(required or properties)}
    parameters = parameters_of(ToolSpec(name="t", description="", parameters=schema))
    return [dict(call) for call in read_arguments(parameters, text, TODAY, bare=bare).calls]


INVOICE = {"type": "integer", "description": "The invoice number, e.g. 88"}
PART = {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$", "description": "The part, e.g. QX-100"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Show invoice 88", [{"invoice_id": 88}]),
        ("show invoice number 88, please", [{"invoice_id": 88}]),
        ("invoice #88?", [{"invoice_id": 88}]),
        ("invoices 88, 91 and 102", [{"invoice_id": 88}, {"invoice_id": 91}, {"invoice_id": 102}]),
        ("what about 88?", [{"invoice_id": 88}]),
        ("customer 12 wants something", [{}]),
        ("It costs 88 euros", [{}]),
        ("I bought it 14 days ago", [{}]),
        ("the Falcon 88 is broken", [{}]),
        ("in 2024", [{}]),
        ("88.5", [{}]),
    ],
)
def test_a_number_that_names_something_needs_the_word_for_it_beside_it(
    text: str, expected: list[dict[str, Any]]
) -> None:
    assert read(text, {"invoice_id": INVOICE}) == expected


def test_the_answer_to_a_question_for_a_number_is_the_number() -> None:
    assert read("88", {"invoice_id": INVOICE}, bare=True) == [{"invoice_id": 88}]
    assert read("it's 88 I think", {"invoice_id": INVOICE}, bare=True) == [{"invoice_id": 88}]


def test_two_numbers_go_to_the_words_beside_them() -> None:
    properties = {"customer_id": {"type": "integer", "description": "The customer number"}, "invoice_id": INVOICE}
    assert read("Send invoice 88 to customer 12", properties) == [{"customer_id": 12, "invoice_id": 88}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a box of width 20 cm and height 35.5 cm", {"width": 20, "height": 35.5}),
        ("height: 35.5, width: 20", {"width": 20, "height": 35.5}),
        ("it is 20 wide", {}),
    ],
)
def test_measures_are_told_apart_by_their_names(text: str, expected: dict[str, Any]) -> None:
    properties = {
        "width": {"type": "number", "description": "Width in centimetres"},
        "height": {"type": "number", "description": "Height in centimetres"},
    }
    read_values = read(text, properties)[0]
    assert {name: read_values.get(name) for name in expected} == expected


def test_numbered_arguments_take_their_values_in_order() -> None:
    sides = {f"side{i}": {"type": "integer", "description": "Length of a side"} for i in (1, 2, 3)}
    assert read("a triangle with sides 5, 4 and 3", sides) == [{"side1": 5, "side2": 4, "side3": 3}]


def test_money_thousands_and_percentages_are_numbers() -> None:
    price = {"max_price": {"type": "number", "description": "The highest price in euros"}}
    assert read("under €1,250.50", price) == [{"max_price": 1250.5}]
    assert read("less than 2 million euros", price) == [{"max_price": 2_000_000}]
    rate = {"type": "number", "description": "The rate"}
    assert read("at a rate of 5%", {"rate": rate}) == [{"rate": 0.05}]
    assert read("at 5%", {"rate": {**rate, "description": "The rate in percent"}}) == [{"rate": 5}]


def test_numbers_outside_the_schemas_bounds_are_not_taken() -> None:
    seats = {"seats": {"type": "integer", "minimum": 1, "maximum": 8}}
    assert read("a table with 12 seats", seats) == [{}]
    assert read("a table with 6 seats", seats) == [{"seats": 6}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is the QX-100 there?", [{"part": "QX-100"}]),
        ("QX-100 and QX-205", [{"part": "QX-100"}, {"part": "QX-205"}]),
        ("the qx-100", [{}]),
        ("the XQX-1000", [{}]),
    ],
)
def test_a_pattern_matches_whole_words_only(text: str, expected: list[dict[str, Any]]) -> None:
    assert read(text, {"part": PART}) == expected


def test_what_names_one_argument_is_not_taken_for_another() -> None:
    product = {"type": "string", "pattern": "^[A-Za-z]+ \\d{1,4}$", "description": "The product"}
    properties = {"order_id": {"type": "integer", "description": "The order number"}, "product": product}
    assert read("send back the Heron 3 from order 1025", properties) == [{"order_id": 1025, "product": "Heron 3"}]
    assert read("send back order 1025", properties) == [{"order_id": 1025}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("express to Norway", {"country": "Norway", "speed": "express"}),
        ("to the united kingdom", {"country": "United Kingdom"}),
        ("it was damaged in transit", {"reason": "damaged_in_transit"}),
        ("I changed my mind", {"reason": "changed_mind"}),
        ("it was damaged", {}),
    ],
)
def test_a_listed_value_is_read_when_all_its_words_are_there(text: str, expected: dict[str, Any]) -> None:
    properties: dict[str, Any] = {
        "country": {"enum": ["Norway", "United Kingdom", "Ireland"]},
        "speed": {"anyOf": [{"$ref": "#/$defs/speed"}, {"type": "null"}], "default": None},
        "reason": {"enum": ["changed_mind", "damaged_in_transit"], "type": "string"},
    }
    schema = {"properties": properties, "required": ["country"], "$defs": {"speed": {"enum": ["express", "standard"]}}}
    parameters = parameters_of(ToolSpec(name="t", description="", parameters=schema))
    assert read_arguments(parameters, text, TODAY).calls == (expected,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("with gift wrapping opened", {"opened": True}),
        ("it is unopened", {"opened": False}),
        ("it has not been opened", {"opened": False}),
        ("I haven't opened it", {"opened": False}),
        ("it is blue", {}),
    ],
)
def test_a_yes_or_no_is_read_with_its_negation(text: str, expected: dict[str, Any]) -> None:
    assert read(text, {"opened": {"type": "boolean", "description": "Whether the box is open"}}) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail it to ada.l@example.org please", {"email": "ada.l@example.org"}),
        ("mail it to Ada Lovelace", {}),
    ],
)
def test_an_address_is_nothing_but_an_address(text: str, expected: dict[str, Any]) -> None:
    assert read(text, {"email": {"type": "string", "format": "email"}}) == [expected]


def test_names_quotations_and_free_text() -> None:
    assert read("Who is Grace Hopper?", {"person": {"type": "string"}}) == [{"person": "Grace Hopper"}]
    assert read('Find the book "Moby Dick" now', {"title": {"type": "string"}}) == [{"title": "Moby Dick"}]
    assert read("Search for warm winter coats", {"query": {"type": "string"}}) == [{"query": "warm winter coats"}]
    assert read("Order 5 from Grace Hopper", {"mood": {"type": "string", "description": "How one feels"}}) == [{}]


def test_lists_of_numbers_and_of_listed_values() -> None:
    numbers = {"values": {"type": "array", "items": {"type": "integer"}}}
    assert read("the mean of 3, 5 and 11", numbers) == [{"values": [3, 5, 11]}]
    colours = {"colours": {"type": "array", "items": {"enum": ["red", "green", "blue"]}}}
    assert read("in red and blue", colours) == [{"colours": ["red", "blue"]}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2027-01-31", date(2027, 1, 31)),
        ("on 3 May", date(2027, 5, 3)),
        ("on the 3rd of December", date(2026, 12, 3)),
        ("May 3rd, 2028", date(2028, 5, 3)),
        ("31.12.2026", date(2026, 12, 31)),
        ("12/31/2026", date(2026, 12, 31)),
        ("today", TODAY),
        ("tomorrow", date(2026, 11, 21)),
        ("the day after tomorrow", date(2026, 11, 22)),
        ("yesterday", date(2026, 11, 19)),
        ("on Monday", date(2026, 11, 23)),
        ("next Friday", date(2026, 11, 27)),
        ("last Friday", date(2026, 11, 13)),
        ("in two weeks", date(2026, 12, 4)),
        ("in 10 days", date(2026, 11, 30)),
    ],
)
def test_dates_are_read_against_the_day(text: str, expected: date) -> None:
    assert [value for _, _, value in find_dates(text, TODAY)] == [expected]


@pytest.mark.parametrize("text", ["30 February", "2026-13-01", "99/99/2026", "may I?", "March on", "12:30"])
def test_what_is_no_date_is_not_read_as_one(text: str) -> None:
    assert find_dates(text, TODAY) == []


def test_a_days_number_is_not_taken_for_another_argument() -> None:
    properties = {"day": {"type": "string", "format": "date"}, "people": {"type": "integer"}}
    assert read("on 3 May", properties) == [{"day": "2027-05-03"}]
    assert read("on 3 May for 12 people", properties) == [{"day": "2027-05-03", "people": 12}]
