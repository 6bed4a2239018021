"""A model is shown the tools that fit the question, those that the request names, and those that the run has used."""

import json
from pathlib import Path
from typing import Any

from agent.runs import RunRequest
from cairn import Tool, tool
from models.messages import ToolCall
from models.scripted import ScriptedModel
from tests.support.back_end import back_end, broken_answer, json_answer
from tests.support.embedder import HashEmbedder
from tests.support.runs import ALICE, opened_runs
from tools.http import HttpApi, HttpLimits
from tools.openapi import from_openapi
from tools.selection import HybridSelector
from tools.toolset import coerce


def named(name: str, description: str) -> Tool:
    def work() -> str:
        return "done"

    return coerce(tool(name=name, description=description)(work))


TOOLS = [named(f"{thing}_report", f"Report about the {thing}.") for thing in ("weather", "traffic", "stock", "staff")]


async def test_a_model_is_shown_the_tools_that_fit_and_those_that_the_run_has_used(tmp_path: Path) -> None:
    model = ScriptedModel([[ToolCall(id="1", name="staff_report", arguments="{}")], ["Fine."]])
    selector = HybridSelector(HashEmbedder(dimension=256).embed, shown=1)
    async with opened_runs(tmp_path, model, TOOLS, selector=selector) as bureau:
        run, _ = await bureau.start("How is the traffic?")
        await bureau.end_of(run)
    assert [[spec.name for spec in request.tools] for request in model.requests] == [
        ["traffic_report"],
        ["staff_report"],
    ]


async def test_tools_that_the_request_names_are_all_shown(tmp_path: Path) -> None:
    model = ScriptedModel([["Fine."]])
    selector = HybridSelector(HashEmbedder(dimension=256).embed, shown=1)
    wanted = ("weather_report", "stock_report")
    async with opened_runs(tmp_path, model, TOOLS, selector=selector) as bureau:
        run, _ = await bureau.runs.start(
            ALICE, RunRequest(message="How is the traffic?", tools=wanted, collection="default")
        )
        await bureau.end_of(run)
    assert [spec.name for spec in model.requests[0].tools] == list(wanted)


async def test_what_a_lost_delete_removed_is_not_told_as_missing(tmp_path: Path) -> None:
    async with back_end() as end:
        end.on("DELETE /orders/7", broken_answer, json_answer({"detail": "no such order"}, 404))
        api = HttpApi(end.url, limits=HttpLimits(attempts=1))
        document: dict[str, Any] = {
            "openapi": "3.1.0",
            "paths": {"/orders/{id}": {"delete": {"operationId": "cancel"}}},
        }
        tools = from_openapi(document, api, autonomy="auto")
        model = ScriptedModel([[ToolCall(id="1", name="cancel", arguments=json.dumps({"id": "7"}))], ["Fine."]])
        async with opened_runs(tmp_path, model, tools) as bureau:
            run, _ = await bureau.start("Cancel order 7.")
            await bureau.end_of(run)
        await api.aclose()
    assert end.targets == ["DELETE /orders/7", "DELETE /orders/7"]
    assert model.requests[1].messages[-1].content == "null"
