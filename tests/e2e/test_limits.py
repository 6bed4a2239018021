"""What a run may use, as a client meets it: calls of the model and of tools, tokens, and what it was allowed at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cairn import tool
from models.messages import Finish, ModelRequest, ToolCall, Usage
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import ask, running_service

EXPENSIVE = Finish(reason="tool_calls", usage=Usage(input_tokens=90, output_tokens=20))


@tool
def count() -> int:
    """Count."""
    return 1


def always_calls(times: int = 1, arguments: str = "{}") -> ScriptedModel:
    """A model that calls ``count`` whenever it is offered tools, and answers when it is not."""

    def script(request: ModelRequest) -> Sequence[ScriptItem]:
        if not request.tools:
            return ["Enough."]
        return [ToolCall(id=f"c{number}", name="count", arguments=arguments) for number in range(times)]

    return ScriptedModel(script)


async def test_the_last_model_call_is_offered_no_tools_so_that_it_answers(tmp_path: Path) -> None:
    model = always_calls()
    async with running_service(tmp_path, model=model, tools=[count], limits={"model_calls": 3}) as service:
        stream = await ask(service, "Count on", retrieval="off")
    assert stream[-1].data["answer"] == "Enough."
    assert [bool(request.tools) for request in model.requests] == [True, True, False]


async def test_arguments_that_do_not_fit_are_handed_back_once_and_then_tools_are_withdrawn(tmp_path: Path) -> None:
    model = always_calls(arguments="[1")
    async with running_service(tmp_path, model=model, tools=[count]) as service:
        stream = await ask(service, "Count on", retrieval="off")
    assert [event.data["failure"] for event in stream if event.type == "tool.result"] == ["malformed_arguments"] * 2
    assert [bool(request.tools) for request in model.requests] == [True, True, False]
    assert stream[-1].data["answer"] == "Enough."


@pytest.mark.parametrize(
    ("model", "limits", "named"),
    [
        (always_calls(times=5), {"tool_calls": 4}, "limits.tool_calls"),
        (
            ScriptedModel([[ToolCall(id="c", name="count", arguments="{}"), EXPENSIVE], ["never"]]),
            {"tokens": 100},
            "limits.tokens",
        ),
    ],
)
async def test_a_limit_ends_the_run_and_names_its_setting(
    tmp_path: Path, model: ScriptedModel, limits: dict[str, Any], named: str
) -> None:
    async with running_service(tmp_path, model=model, tools=[count], limits=limits) as service:
        stream = await ask(service, "Count on", retrieval="off")
        answer = await service.client.get(f"/v1/runs/{stream[0].data['run_id']}")
    assert (stream[-1].type, stream[-1].data["code"]) == ("run.failed", "usage_limit_exceeded")
    assert named in stream[-1].data["detail"]
    assert answer.json()["error"]["code"] == "usage_limit_exceeded"


async def test_retrieval_off_searches_nothing_and_no_tools_offers_none(tmp_path: Path) -> None:
    model = ScriptedModel([["Hi."]])
    async with running_service(tmp_path, model=model, tools=[count]) as service:
        await service.client.post("/v1/documents", json={"title": "Doc", "text": "Something about cables."})
        stream = await ask(service, "cables?", retrieval="off", tools=[])
    assert "retrieval.completed" not in [event.type for event in stream]
    assert (model.requests[0].passages, model.requests[0].tools) == ((), ())


async def test_the_json_answer_has_the_promised_fields(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel([["Hi."]])) as service:
        answer = (await service.client.post("/v1/chat", json={"message": "Hello there"})).json()
    promised = {"run_id", "session_id", "status", "answer", "citations", "sources", "usage"}
    assert promised <= answer.keys()
    assert answer["usage"] == {"input_tokens": 0, "output_tokens": 0, "model_calls": 1, "tool_calls": 0}
