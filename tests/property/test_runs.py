"""Whatever a model says, a run ends once, and record, session, log and answer tell the same."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.log.outcome import outcome
from cairn import ToolError, tool
from models.errors import MalformedResponse, Transient
from models.messages import Finish, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.runs import ALICE, Bureau, opened_runs, terminals


@tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


@tool(effect="write", autonomy="auto")
async def fail() -> None:
    """Fail."""
    raise ToolError("no")


TEXT = st.text(st.characters(codec=None), max_size=20)
CALLS = st.builds(
    ToolCall,
    id=st.sampled_from(["", "a", "a"]),
    name=st.sampled_from(["double", "fail", "unknown", "\ud800"]),
    arguments=st.sampled_from(['{"number": 2}', "{}", '{"number": "x"}', "[1", "", "\ud800", "null"]),
)
ENDS = st.sampled_from(
    [
        Finish(),
        Finish(reason="length"),
        Finish(reason="tool_calls"),
        Transient("gone"),
        MalformedResponse("odd \ud800"),
        ValueError("?"),
        TimeoutError(),
    ]
)
TURNS = st.lists(st.builds(lambda items, end: [*items, end], st.lists(TEXT | CALLS, max_size=5), ENDS), max_size=5)


@dataclass
class Stage:
    """Runs of a model that plays whatever ``turns`` hold."""

    runner: asyncio.Runner
    bureau: Bureau
    turns: list[list[ScriptItem]]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        stack = AsyncExitStack()
        turns: list[list[ScriptItem]] = []
        model = ScriptedModel(lambda _: turns.pop(0) if turns else ["That is all."])
        opening = stack.enter_async_context(opened_runs(Path(folder), model, [double, fail], model_calls=4))
        yield Stage(runner, runner.run(opening), turns)
        runner.run(stack.aclose())


@given(turns=TURNS)
@settings(max_examples=60, deadline=None)
def test_a_run_ends_once_and_everybody_tells_the_same(stage: Stage, turns: list[list[ScriptItem]]) -> None:
    stage.turns[:] = turns
    with capture_logs():
        stage.runner.run(check(stage.bureau))


async def check(bureau: Bureau) -> None:
    run, session = await bureau.start("What is it?")
    events = await bureau.end_of(run)
    await bureau.idle()
    (end,) = terminals(events)
    folded = outcome(events)
    record = await bureau.store.get(ALICE, run)
    assert end == f"run.{record.status}" == f"run.{folded['status']}"
    assert await bureau.log.read(run) == events
    assert (await bureau.said(session)).count("What is it?") == 1
    assert not await bureau.store.unsealed()
    if end == "run.completed":
        assert orjson.loads(events[-1].data)["answer"] == folded["answer"]
        assert all(call["ok"] is not None for call in folded["tool_calls"])
