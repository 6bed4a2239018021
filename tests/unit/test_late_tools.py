"""Tools that a source has still to offer when a run that knows them is taken up again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.approvals.approval import Decision
from agent.log.outcome import outcome
from agent.run import RunRequest
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.runs import ALICE, Bureau, opened_runs, terminals
from tools.source import ToolSource
from tools.tool import Tool
from tools.toolset import Toolset, coerce

paid: list[int] = []


@tool(effect="write")
def desk_pay(order: int) -> str:
    """Pay for an order."""
    paid.append(order)
    return "paid"


class Desk(ToolSource):
    """Offers its tool when it is let; notes that somebody waits for that."""

    def __init__(self) -> None:
        self.offer: Callable[[Tool], None] | None = None
        self.known = asyncio.Event()
        self.awaited = asyncio.Event()

    async def open(self, offer: Callable[[Tool], None]) -> None:
        self.offer = offer

    def may_have(self, name: str) -> bool:
        return not self.known.is_set() and name.startswith("desk_")

    async def listed(self) -> None:
        self.awaited.set()
        await self.known.wait()

    def come(self, *tools: Any) -> None:
        assert self.offer is not None
        for each in tools:
            self.offer(coerce(each))
        self.known.set()

    async def aclose(self) -> None:
        """Hold nothing."""


def pays(request: ModelRequest) -> list[ScriptItem]:
    last = request.messages[-1]
    if last.role == "tool":
        return [last.content]
    return [ToolCall(id="c", name="desk_pay", arguments='{"order": 7}')]


async def waiting(folder: Path, tools: tuple[str, ...] | None = None) -> str:
    """A run that waits for a person, and whose process has ended."""
    paid.clear()
    async with opened_runs(folder, ScriptedModel(pays), [desk_pay]) as bureau:
        request = RunRequest(message="Pay.", collection="default", retrieval="off", tools=tools)
        run_id, _ = await bureau.runs.start(ALICE, request)
        await bureau.end_of(run_id)
    return run_id


async def approve(bureau: Bureau, run_id: str) -> None:
    """Open the tools, agree to the call, and go on with the run."""
    await bureau.runs._offer.toolset.open()
    (asked,) = await bureau.approvals.of_run(run_id)
    await bureau.approvals.decide(ALICE, asked.id, Decision(decision="approve"))
    await bureau.runs.wake(run_id)


async def test_an_approved_call_waits_for_its_tool(tmp_path: Path) -> None:
    run_id, desk = await waiting(tmp_path), Desk()
    async with opened_runs(tmp_path, ScriptedModel(pays), [desk]) as bureau:
        await approve(bureau, run_id)
        await desk.awaited.wait()
        assert bureau.runs.active == 1
        assert paid == []
        desk.come(desk_pay)
        events = await bureau.end_of(run_id)
        events += [event async for event in bureau.runs.follow(run_id, len(events))]
    assert terminals(events) == ["run.completed"]
    assert outcome(events)["answer"] == "paid"
    assert paid == [7]


async def test_a_tool_that_the_request_names_is_waited_for_and_the_run_fails_if_it_does_not_come(
    tmp_path: Path,
) -> None:
    run_id, desk = await waiting(tmp_path, tools=("desk_pay",)), Desk()
    async with opened_runs(tmp_path, ScriptedModel(pays), [desk]) as bureau:
        await approve(bureau, run_id)
        await desk.awaited.wait()
        desk.come()
        await bureau.idle()
        events = await bureau.log.read(run_id)
    assert terminals(events) == ["run.failed"]
    assert outcome(events)["error"]["code"] == "unknown_tool"
    assert paid == []


async def test_a_run_that_waits_for_its_tools_can_be_cancelled(tmp_path: Path) -> None:
    run_id, desk = await waiting(tmp_path), Desk()
    async with opened_runs(tmp_path, ScriptedModel(pays), [desk]) as bureau:
        await approve(bureau, run_id)
        await desk.awaited.wait()
        await bureau.runs.cancel(ALICE, run_id, "enough")
        await bureau.idle()
        assert terminals(await bureau.log.read(run_id)) == ["run.cancelled"]
    assert paid == []


async def test_the_wait_is_bounded_and_only_for_what_may_still_come() -> None:
    desk = Desk()
    toolset = Toolset([desk])
    await toolset.open()
    await toolset.expect(["shop_pay"], 60)
    assert not desk.awaited.is_set()
    await toolset.expect(["desk_pay"], 0.01)
    assert desk.awaited.is_set()
    call = ToolCall(id="c", name="desk_pay", arguments="{}")
    missed = toolset.check(call)
    assert (missed.failure, "cannot be reached now" in missed.content) == ("failed", True)  # type: ignore[union-attr]
    desk.come()
    await toolset.expect(["desk_pay"], 60)
    assert toolset.check(call).failure == "unknown_tool"  # type: ignore[union-attr]
