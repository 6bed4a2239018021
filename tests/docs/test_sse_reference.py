"""docs/sse.md and the code name the same events, fields and values."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from agent.events import TERMINAL, Citation, EventBody
from agent.journal.record import RunStatus
from retrieval.documents import Source
from tools.results import Effect, ToolFailure

TEXT = (Path(__file__).parents[2] / "docs" / "sse.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    return TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def body_fields(body: Any) -> list[str]:
    return [field.name for field in fields(body) if field.name != "type"]


def type_of(body: Any) -> str:
    return str(next(field.default for field in fields(body) if field.name == "type"))


def test_every_event_is_in_the_table_with_its_fields_and_no_other() -> None:
    documented: dict[str, list[str]] = {}
    current = ""
    for type_cell, field_cell, _ in rows("Events"):
        current = names(type_cell)[0] if type_cell else current
        documented.setdefault(current, []).extend(names(field_cell))
    documented["citation"] = [name for first, _ in rows("Citation") for name in names(first)]
    assert documented == {type_of(body): body_fields(body) for body in get_args(EventBody)}


def test_a_citation_and_a_source_are_described_field_by_field() -> None:
    assert [name for first, _ in rows("Citation") for name in names(first)] == body_fields(Citation)
    described = [name for first, _ in rows("Source") for name in names(first)]
    assert described == ["label", *(field.name for field in fields(Source))]


def test_the_states_of_a_run_are_those_it_can_be_in() -> None:
    assert [names(row[0])[0] for row in rows("States of a run")] == list(get_args(RunStatus))
    assert {name for row in rows("States of a run") for name in names(row[2])} == set(TERMINAL)


def test_every_effect_and_every_failure_of_a_tool_is_named() -> None:
    cells = {tuple(names(field)): meaning for _, field, meaning in rows("Events")}
    assert names(cells[("effect",)]) == list(get_args(Effect))
    assert names(cells[("failure",)]) == list(get_args(ToolFailure))
