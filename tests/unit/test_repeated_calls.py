"""A call whose answer was lost is repeated; what the repetition proves, it proves of itself, not of the first."""

import asyncio
from pathlib import Path

import orjson

from agent.approvals.approval import Decision
from cairn import NOT_DONE, NotDone, ToolContext, ToolError, tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.runs import ALICE, opened_runs

Answers = list[str | BaseException]


def pay_once(request: ModelRequest) -> list[ScriptItem]:
    if request.messages[-1].role == "tool":
        return [request.messages[-1].content]
    return [ToolCall(id="c", name="pay", arguments="{}")]


async def told(folder: Path, answers: Answers, *, idempotent: bool) -> tuple[list[str], str, list[str]]:
    """The types of a run's events, the last event, and the keys that the tool was called with."""
    keys: list[str] = []

    async def was_paid() -> NotDone:
        return NOT_DONE

    @tool(effect="write", autonomy="auto", idempotent=idempotent, reconcile=None if idempotent else was_paid)
    async def pay(context: ToolContext) -> str:
        """Pay."""
        keys.append(context.idempotency_key)
        answer = answers[min(len(keys), len(answers)) - 1]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async with opened_runs(folder, ScriptedModel(pay_once), [pay]) as bureau:
        run_id, _ = await bureau.start()
        events = await bureau.end_of(run_id)
    return [event.type for event in events], orjson.loads(events[-1].data).get("answer", ""), keys


async def test_a_refused_connection_does_not_prove_that_the_lost_call_before_it_did_nothing(tmp_path: Path) -> None:
    lost, refused = ConnectionResetError("cut"), ConnectionRefusedError("nobody listens")
    _, answer, keys = await told(tmp_path, [lost, refused, "paid"], idempotent=True)
    assert answer == "paid"
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_person_is_asked_where_no_repetition_tells_what_became_of_the_lost_call(tmp_path: Path) -> None:
    types, _, keys = await told(tmp_path, [TimeoutError(), ToolError("closed")], idempotent=True)
    assert types[-2:] == ["approval.requested", "run.waiting"]
    assert "tool.result" not in types
    assert len(keys) == 3


async def test_a_repetition_that_fails_has_failed_where_the_first_call_is_known_not_to_be_done(tmp_path: Path) -> None:
    _, answer, keys = await told(tmp_path, [TimeoutError(), ToolError("closed")], idempotent=False)
    assert answer == "pay failed: closed"
    assert len(keys) == 2


async def test_a_read_in_which_the_service_keeps_dying_fails_and_is_no_question_to_a_person(tmp_path: Path) -> None:
    looks = asyncio.Queue[str]()

    @tool(name="pay")
    async def look(context: ToolContext) -> str:
        """Look."""
        looks.put_nowait(context.run_id)
        await asyncio.Event().wait()
        return "seen"

    async with opened_runs(tmp_path, ScriptedModel(pay_once), [look]) as bureau:
        run_id, _ = await bureau.start()
        await looks.get()
    for _ in range(2):
        async with opened_runs(tmp_path, ScriptedModel(pay_once), [look]) as bureau:
            await bureau.runs.recover()
            await looks.get()
    async with opened_runs(tmp_path, ScriptedModel(pay_once), [look]) as bureau:
        await bureau.runs.recover()
        events = await bureau.end_of(run_id)
    result = next(orjson.loads(event.data) for event in events if event.type == "tool.result")
    assert result["failure"] == "failed"
    assert events[-1].type == "run.completed"


async def test_a_call_that_a_person_has_repeated_again_and_again_is_made_at_once(tmp_path: Path) -> None:
    attempts = 0

    @tool(effect="write", autonomy="auto")
    async def pay() -> str:
        """Pay."""
        nonlocal attempts
        attempts += 1
        if attempts < 8:
            raise TimeoutError
        return "paid"

    async with opened_runs(tmp_path, ScriptedModel(pay_once), [pay]) as bureau, asyncio.timeout(60):
        run_id, _ = await bureau.start()
        seen = await bureau.end_of(run_id)
        while seen[-1].type == "run.waiting":
            (asked,) = [each for each in await bureau.approvals.of_run(run_id) if each.status == "pending"]
            await bureau.approvals.decide(ALICE, asked.id, Decision(decision="approve"))
            await bureau.runs.wake(run_id)
            seen += [event async for event in bureau.runs.follow(run_id, seen[-1].seq)]
    assert orjson.loads(seen[-1].data)["answer"] == "paid"
    assert attempts == 8
