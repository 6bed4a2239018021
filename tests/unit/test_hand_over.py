"""A question that is handed over waits for a person, whose reply goes on in the same run and the same stream."""

from pathlib import Path

import orjson
import pytest

from agent.approvals.approval import Decision, DecisionImpossible
from agent.log.encoding import RunEvent
from agent.log.outcome import outcome
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.runs import ALICE, Bureau, opened_runs, terminals
from tools.hand_over import HAND_OVER, hand_over_tool
from tools.policy import Rule


def script(request: ModelRequest) -> list[ScriptItem]:
    """Hands over at once, and says what the person said."""
    last = request.messages[-1]
    if last.role == "tool":
        return [f"Our desk says: {last.content}"]
    return ["One moment.", ToolCall(id="c", name=HAND_OVER, arguments='{"summary": "He has a broken lamp."}')]


async def decided(bureau: Bureau, run_id: str, approval: str, decision: Decision) -> list[RunEvent]:
    """All events of the run, once a person has decided."""
    before = await bureau.log.read(run_id)
    await bureau.approvals.decide(ALICE, approval, decision)
    await bureau.runs.wake(run_id)
    return [*before, *[event async for event in bureau.runs.follow(run_id, len(before))]]


async def asked(bureau: Bureau) -> tuple[str, str]:
    """A run that waits for a person; gives its id and its approval's."""
    run_id, _ = await bureau.start("I want to talk to a person.")
    events = await bureau.end_of(run_id)
    assert [event.type for event in events][-2:] == ["approval.requested", "run.waiting"]
    (approval,) = await bureau.approvals.of_run(run_id)
    assert (approval.kind, approval.reason, approval.effect) == ("hand_over", "He has a broken lamp.", "read")
    return run_id, approval.id


async def test_the_reply_of_a_person_goes_on_in_the_same_stream(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, ScriptedModel(script), [hand_over_tool()]) as bureau:
        run_id, approval = await asked(bureau)
        with pytest.raises(DecisionImpossible, match="reply"):
            await bureau.approvals.decide(ALICE, approval, Decision(decision="approve", reason="  "))
        with pytest.raises(DecisionImpossible, match="reply"):
            edit = Decision(decision="edit", arguments={"summary": "x"}, reason="y")
            await bureau.approvals.decide(ALICE, approval, edit)
        reply = Decision(decision="approve", reason="We send a new one.")
        events = await decided(bureau, run_id, approval, reply)
        assert terminals(events) == ["run.completed"]
        assert outcome(events)["answer"] == "One moment.\n\nOur desk says: We send a new one."
        (returned,) = [orjson.loads(event.data) for event in events if event.type == "tool.result"]
        assert (returned["ok"], returned["content"]) == (True, "We send a new one.")


async def test_nobody_has_to_take_over(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, ScriptedModel(script), [hand_over_tool()]) as bureau:
        run_id, approval = await asked(bureau)
        events = await decided(bureau, run_id, approval, Decision(decision="reject", reason="We are closed."))
        assert "Nobody can take over now: We are closed." in outcome(events)["answer"]


async def test_the_policy_says_who_replies_and_whether_it_is_offered(tmp_path: Path) -> None:
    rules = [Rule(tool=HAND_OVER, approvers=("desk",))]
    async with opened_runs(tmp_path, ScriptedModel(script), [hand_over_tool()], rules) as bureau:
        _, approval = await asked(bureau)
        assert (await bureau.approvals.get(ALICE, approval)).approvers == ("desk",)
