"""What people want of the shop: each task with the calls that fulfil it, and the model that makes them."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.retail.shop import WRITES, Data, Record, Refused, World
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptItem

ANSWER = ("All of it ", "is done.")
_REFERENCE = re.compile(r"^\[([^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that belongs to a task."""

    operation: str
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it does, as one text."""
        return f"{self.operation} {json.dumps(self.arguments, sort_keys=True)}"


@dataclass(frozen=True, slots=True)
class Task:
    """Something that somebody wants, and the calls that fulfil it, in order."""

    id: str
    request: str
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the shop is to be like after a task.

    Attributes:
        effects: How often each call acts.
        refused: How often the shop says no to it.
    """

    state: Record
    effects: Counter[str]
    refused: Counter[str]


def load(folder: Path) -> tuple[Data, Sequence[Task]]:
    """The shop's data and the tasks in a folder with ``db.json`` and ``tasks.json`` (tau2's layout)."""
    listed = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    tasks = [
        Task(
            id=row["id"],
            request=row["user_scenario"]["instructions"]["reason_for_call"],
            calls=[Call(each["name"], each["arguments"]) for each in row["evaluation_criteria"]["actions"]],
        )
        for row in listed
    ]
    return json.loads((folder / "db.json").read_text(encoding="utf-8")), tasks


def applied(data: Data, task: Task) -> Expected:
    """What comes of a task's calls when they are made directly, one after the other."""
    world = World(data)
    effects: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for call in task.calls:
        try:
            getattr(world, call.operation)(**call.arguments)
        except Refused:
            refused[call.name] += call.operation in WRITES
        else:
            effects[call.name] += call.operation in WRITES
    return Expected(world.state(), +effects, +refused)


def reference(request: ModelRequest) -> str:
    """Which telling of which task the model is asked about: ``[reference] request`` is what the user says."""
    asked = next(message.content for message in request.messages if message.role == "user")
    found = _REFERENCE.match(asked)
    if found is None:
        raise ValueError(f"no reference in {asked[:60]!r}")
    return found[1]


def next_turn(task: Task, request: ModelRequest) -> list[ScriptItem]:
    """The task's next call; one that failed without having done anything is made again, as a patient person would."""
    position = 0
    for message in request.messages:
        if message.role == "tool":
            position += not _to_repeat(task.calls[position].operation, message.content)
    if position == len(task.calls):
        return list(ANSWER)
    call = task.calls[position]
    return [ToolCall(id=f"c{position}", name=call.operation, arguments=json.dumps(call.arguments))]


def _to_repeat(operation: str, result: str) -> bool:
    failed = result.startswith((f"{operation} failed:", f"{operation} timed out"))
    return failed and "answered 4" not in result
