"""A run for one call that its asker has chosen: judged, journalled and told like a model's."""

import json
from pathlib import Path
from typing import Any

from agent.approvals.approval import Decision
from agent.direct import DirectCall
from agent.log.outcome import outcome
from agent.runs import RunRequest
from records.principal import Principal
from tests.support.runs import ALICE, Bureau, opened_runs
from tools.decorator import tool

BOSS = Principal(id="boss", roles=frozenset({"admin"}))


@tool
def weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "clear"}


def wanted(name: str, **arguments: object) -> RunRequest:
    call = DirectCall(name=name, arguments=json.dumps(arguments))
    return RunRequest(message=f"{name} {call.arguments}", collection="default", retrieval="off", call=call)


async def came_to(bureau: Bureau, run_id: str, after: int = 0) -> dict[str, Any]:
    async for _ in bureau.runs.follow(run_id, after):
        pass
    return outcome(await bureau.log.read(run_id))


async def test_the_call_is_made_and_its_result_is_the_answer(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, tools=[weather]) as bureau:
        run_id, _ = await bureau.runs.start(ALICE, wanted("weather", city="Bergen"))
        ended = await came_to(bureau, run_id)
        assert ended["status"] == "completed"
        assert ended["answer"] == '{"city":"Bergen","sky":"clear"}'
        assert [call["name"] for call in ended["tool_calls"]] == ["weather"]


async def test_arguments_that_do_not_fit_are_said_and_not_tried_again(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, tools=[weather]) as bureau:
        run_id, _ = await bureau.runs.start(ALICE, wanted("weather", town="Bergen"))
        ended = await came_to(bureau, run_id)
        assert ended["status"] == "completed"
        assert [call["failure"] for call in ended["tool_calls"]] == ["invalid_arguments"]


async def test_a_call_that_waited_goes_on_in_the_next_process(tmp_path: Path) -> None:
    """The record of the run knows the call: no model has to remember it."""
    paid: list[str] = []

    @tool(effect="write")
    def pay(order: str) -> str:
        """Pay for an order."""
        paid.append(order)
        return f"{order} is paid"

    async with opened_runs(tmp_path, tools=[pay]) as bureau:
        run_id, _ = await bureau.runs.start(ALICE, wanted("pay", order="o-1"))
        assert (await came_to(bureau, run_id))["status"] == "waiting_approval"
        await bureau.idle()
    assert paid == []
    async with opened_runs(tmp_path, tools=[pay]) as bureau:
        asked = (await bureau.approvals.of_run(run_id))[0]
        await bureau.approvals.decide(BOSS, asked.id, Decision(decision="approve"))
        waited = (await bureau.log.read(run_id))[-1].seq
        await bureau.runs.wake(run_id)
        ended = await came_to(bureau, run_id, waited)
        assert (ended["status"], ended["answer"], paid) == ("completed", "o-1 is paid", ["o-1"])
