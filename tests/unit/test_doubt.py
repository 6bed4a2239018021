"""An answer that the model is not sure of goes to a person before anything of it is released."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.approvals.doubt import HandingOver
from models.confidence import TokenLogprob, typical
from models.messages import Finish, Message, ModelItem, ModelRequest, ToolCall, ToolSpec
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import ask, running_service
from tools.hand_over import HAND_OVER

TOOLS = tuple(ToolSpec(name=name, description="", parameters={}) for name in (HAND_OVER, "look"))
LOOK = ToolCall(id="c", name="look", arguments="{}")
QUESTION = Message(role="user", content="Why?")
REPLIED = Message(role="tool", content="So it is.", name=HAND_OVER, tool_call_id="c")


async def said(
    turn: Sequence[ScriptItem], tools: Sequence[ToolSpec] = TOOLS, messages: Sequence[Message] = (QUESTION,)
) -> list[ModelItem]:
    """What comes of a model's turn where it has to be sure by a half."""
    model = HandingOver(ScriptedModel([turn]), 0.5)
    return [item async for item in model.stream(ModelRequest(messages=tuple(messages), tools=tuple(tools)))]


async def test_an_answer_that_the_model_is_not_sure_of_becomes_a_call_that_shows_it() -> None:
    call, finish = await said(["It is ", "blue.", Finish(confidence=0.4999)])
    assert isinstance(call, ToolCall)
    summary = orjson.loads(call.arguments)["summary"]
    assert (call.name, summary) == (HAND_OVER, "The agent is not sure of its answer (0.499, below 0.5): It is blue.")
    assert finish == Finish(reason="tool_calls", confidence=0.4999)


async def test_the_draft_of_a_long_answer_is_cut_to_what_the_tool_takes() -> None:
    call, _ = await said(["x" * 100_000, Finish(confidence=0.0)])
    assert isinstance(call, ToolCall)
    assert len(orjson.loads(call.arguments)["summary"]) < 4000


@pytest.mark.parametrize("confidence", [0.5, 1.0, None])
async def test_an_answer_that_it_is_sure_of_or_does_not_rate_is_released(confidence: float | None) -> None:
    turn: list[ScriptItem] = ["It is ", "blue.", Finish(confidence=confidence)]
    assert await said(turn) == turn


@pytest.mark.parametrize(
    ("tools", "messages"),
    [((), [QUESTION]), (TOOLS[1:], [QUESTION]), (TOOLS, [QUESTION, REPLIED])],
    ids=["in the turn that must be the answer", "where nobody can take over", "after a person has replied"],
)
async def test_nothing_is_held_back_where_it_cannot_be_handed_over(
    tools: Sequence[ToolSpec], messages: Sequence[Message]
) -> None:
    turn: list[ScriptItem] = ["It is ", "blue.", Finish(confidence=0.1)]
    assert await said(turn, tools, messages) == turn


async def test_an_earlier_question_that_went_to_a_person_does_not_count() -> None:
    call, _ = await said(["Blue.", Finish(confidence=0.1)], messages=[QUESTION, REPLIED, QUESTION])
    assert isinstance(call, ToolCall)


async def test_what_is_said_beside_a_call_is_no_answer() -> None:
    turn: list[ScriptItem] = ["One moment.", LOOK, Finish(reason="tool_calls", confidence=0.1)]
    assert await said(turn) == turn


@pytest.mark.parametrize(
    ("text", "tokens", "confidence"),
    [
        ("Yes it is", [("Yes", 0.0), (" it", -1.0), (" is", -0.5)], 0.6065),
        ("Yes it is", [("Yes", 0.0)], None),
        ("Yes", [], None),
    ],
    ids=["all told", "a part held back", "nothing told"],
)
def test_a_text_is_as_likely_as_its_tokens_are_on_average(
    text: str, tokens: list[tuple[str, float]], confidence: float | None
) -> None:
    assert typical(text, [TokenLogprob(*token) for token in tokens]) == confidence


@pytest.mark.parametrize("limits", [{}, {"tools": []}], ids=["any tools", "no tools"])
async def test_a_person_replies_in_the_place_of_a_model_that_is_not_sure(
    tmp_path: Path, limits: dict[str, Any]
) -> None:
    """Whoever asks reads nothing of the draft, however he asks."""
    question = {"message": "Which paint do I take for the garden fence?", **limits}
    async with running_service(tmp_path, hand_over_below=0.6) as service:
        text = "Books may be kept for four weeks. A late book costs twenty cents a day."
        await service.client.post("/v1/documents", json={"title": "Loans", "text": text})
        sure = await ask(service, "How long may books be kept?", **limits)
        assert sure[-1].type == "run.completed"
        waits = (await service.client.post("/v1/chat", json=question)).json()
        assert (waits["status"], waits["answer"]) == ("waiting_approval", "")
        (asked,) = waits["approvals"]
        shown = (await service.client.get(f"/v1/approvals/{asked['approval_id']}")).json()
        assert shown["kind"] == "hand_over"
        assert "The agent is not sure of its answer" in shown["reason"]
        reply = {"decision": "approve", "reason": "Take the green one."}
        path = f"/v1/approvals/{asked['approval_id']}"
        assert (await service.client.post(path, json=reply)).status_code == 200
        events = await service.client.get(f"/v1/runs/{waits['run_id']}/events")
        waited = str(events.text.count("id: "))
        if "run.completed" not in events.text:
            await service.client.get(f"/v1/runs/{waits['run_id']}/events", headers={"Last-Event-ID": waited})
        done = (await service.client.get(f"/v1/runs/{waits['run_id']}")).json()
    assert done["status"] == "completed"
    assert "Take the green one." in done["answer"]
