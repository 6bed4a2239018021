"""How sure a model is of its calls: what it says of that, and that a policy may have a person asked about the rest."""

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from agent.approvals.approval import Decision
from agent.log.encoding import RunEvent
from cairn import tool
from models.confidence import token_logprobs
from models.messages import ModelRequest, ToolCall, ToolSpec
from models.openai import OpenAIModel
from models.scripted import ScriptedModel, ScriptItem
from tests.support.provider import DONE, Provider, chunk, serve, text
from tests.support.runs import ALICE, Bureau, opened_runs, terminals
from tests.unit.test_langchain_model import Chunks, collect
from tools.policy import Rule

UNSURE = [Rule(tool="pay", confidence_below=0.7, autonomy="confirm", approvers=("clerk",)), Rule(autonomy="auto")]
CLERK = replace(ALICE, roles=frozenset({"clerk"}))
PAY = ToolSpec(name="pay", description="Pay.", parameters={"type": "object"})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve() as running:
        yield running


def piece(arguments: str, *probabilities: float, told: str | None = None, **call: Any) -> bytes:
    """A piece of a call, with what a server tells of its tokens: the last has all of the text."""
    texts = ["" for _ in probabilities[1:]] + [told if told is not None else arguments]
    tokens: list[dict[str, Any]] = [
        {"token": text, "logprob": math.log(each), "bytes": None, "top_logprobs": []}
        for text, each in zip(texts, probabilities, strict=False)
    ]
    delta = {"tool_calls": [{"index": 0, "function": {"arguments": arguments, **call}}]}
    whole: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": {"content": tokens}}
    return chunk(choices=[whole])


async def confidence_of(provider: Provider, *pieces: bytes, logprobs: bool = True) -> float | None:
    """What the client makes of a call that comes in these pieces."""
    provider.says(*pieces, chunk(finish="tool_calls"), DONE)
    model = OpenAIModel("m", base_url=provider.url, logprobs=logprobs)
    request = ModelRequest(messages=(), tools=(PAY,))
    calls = [item async for item in model.stream(request) if isinstance(item, ToolCall)]
    await model.aclose()
    assert [(call.name, call.arguments) for call in calls] == [("pay", '{"order":1042}')]
    return calls[0].confidence


async def test_a_call_is_as_likely_as_its_least_likely_token(provider: Provider) -> None:
    pieces = (piece("", 0.99, name="pay"), piece('{"order":', 0.9, 1.0), piece("1042}", 0.31, 0.8))
    assert await confidence_of(provider, *pieces) == 0.31
    assert provider.requests[0]["logprobs"] is True


async def test_a_call_of_which_a_part_is_not_told_has_no_confidence(provider: Provider) -> None:
    assert await confidence_of(provider, piece('{"order":', 0.9, name="pay"), piece("1042}")) is None


@pytest.mark.parametrize(
    ("told", "confidence"),
    [
        ('<tool_call>\n{"name": "pay", "arguments": {"order": 1042}}', 0.9),
        ("<parameter=order>\n1042\n</parameter>", 0.9),
        ("2}", None),
        ('{"order":', None),
        ("", None),
    ],
    ids=["as JSON", "in another notation", "only its end", "without its value", "without its text"],
)
async def test_tokens_that_a_server_held_back_and_did_not_tell_of_leave_no_confidence(
    provider: Provider, told: str, confidence: float | None
) -> None:
    """vLLM sends a piece of several tokens, of which it tells the last only, where its parser has to wait."""
    whole = piece('{"order":1042}', 0.9, told=told, name="pay")
    assert await confidence_of(provider, whole) == confidence


async def test_a_server_is_not_asked_unless_that_was_set(provider: Provider) -> None:
    assert await confidence_of(provider, piece('{"order":1042}', name="pay"), logprobs=False) is None
    assert "logprobs" not in provider.requests[0]


async def test_a_server_is_not_asked_where_there_is_nothing_to_call(provider: Provider) -> None:
    provider.says(*text("Hi"), DONE)
    model = OpenAIModel("m", base_url=provider.url, logprobs=True)
    assert "Hi" in [item async for item in model.stream(ModelRequest(messages=()))]
    await model.aclose()
    assert "logprobs" not in provider.requests[0]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "logprobs is not supported with tools + stream"),
        (500, "logprobs is not supported with tools + stream"),
        (403, "You are not allowed to request logprobs"),
    ],
)
async def test_a_server_that_refuses_to_tell_is_not_asked_again(provider: Provider, status: int, said: str) -> None:
    provider.refuses(status, {"error": {"message": said}})
    assert await confidence_of(provider, piece('{"order":1042}', name="pay")) is None
    assert ["logprobs" in request for request in provider.requests] == [True, False]


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"content": None},
        {"content": ["t"]},
        {"content": [{"token": "t"}]},
        {"content": [{"token": "t", "logprob": "-0.1"}]},
        {"content": [{"token": "t", "logprob": 0.5}]},
        {"content": [{"token": "t", "logprob": math.nan}]},
        {"content": [{"token": "t", "logprob": -0.1}, {"token": "t", "logprob": None}]},
        {"content": [{"logprob": -0.1}]},
    ],
)
def test_what_cannot_be_read_tells_nothing(told: Any) -> None:
    assert token_logprobs(told) == ()


async def test_langchains_models_tell_it_too_where_they_know() -> None:
    def told(args: str, logprob: float) -> AIMessageChunk:
        return AIMessageChunk(
            content="",
            tool_call_chunks=[{"index": 0, "id": "a", "name": "f" if args == "{" else None, "args": args}],
            response_metadata={"logprobs": {"content": [{"token": args, "logprob": logprob}]}},
        )  # type: ignore[call-arg, unused-ignore]

    items = await collect(Chunks(chunks=[told("{", -0.5), told("}", -0.1)]))
    assert items[0] == ToolCall(id="a", name="f", arguments="{}", confidence=round(math.exp(-0.5), 4))


paid: list[int] = []


@tool(effect="write", idempotent=True)
def pay(order: int) -> str:
    """Pay for an order."""
    paid.append(order)
    return "paid"


def proposing(*confidences: float | None) -> ScriptedModel:
    """A model that proposes a call for each, and is as sure of it as that."""

    def script(request: ModelRequest) -> Sequence[ScriptItem]:
        if request.messages[-1].role == "tool":
            return ["Done."]
        return [
            ToolCall(id=str(number), name="pay", arguments=f'{{"order": {number}}}', confidence=confidence)
            for number, confidence in enumerate(confidences)
        ]

    return ScriptedModel(script)


async def ended(bureau: Bureau) -> tuple[str, list[RunEvent]]:
    paid.clear()
    run_id, _ = await bureau.start()
    return run_id, await bureau.end_of(run_id)


@pytest.mark.parametrize("confidence", [0.7, 1.0])
async def test_a_call_that_the_model_is_sure_of_is_made(tmp_path: Path, confidence: float) -> None:
    async with opened_runs(tmp_path, proposing(confidence), [pay], UNSURE) as bureau:
        assert terminals((await ended(bureau))[1]) == ["run.completed"]
    assert paid == [0]


@pytest.mark.parametrize(
    ("confidence", "said"), [(0.6999, "0.699"), (0.0, "0"), (None, "unknown"), (math.nan, "unknown")]
)
async def test_a_call_that_it_is_less_sure_of_waits_and_the_approval_says_why(
    tmp_path: Path, confidence: float | None, said: str
) -> None:
    async with opened_runs(tmp_path, proposing(confidence), [pay], UNSURE) as bureau:
        run_id, events = await ended(bureau)
        assert events[-1].type == "run.waiting"
        (approval,) = await bureau.approvals.of_run(run_id)
    assert approval.reason == f"rule 1 of the policy (the model's confidence is {said}, below 0.7)"
    assert approval.approvers == ("clerk",)
    assert paid == []


async def test_one_unsure_call_holds_back_the_sure_ones_of_its_turn(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, proposing(0.9, 0.5), [pay], UNSURE) as bureau:
        run_id, _ = await ended(bureau)
        (approval,) = await bureau.approvals.of_run(run_id)
    assert approval.arguments == {"order": 1}
    assert paid == []


async def test_after_a_restart_a_call_is_judged_by_the_confidence_that_it_was_proposed_with(tmp_path: Path) -> None:
    """The journal has it: the model is not asked again, and what was sure stays sure."""
    async with opened_runs(tmp_path, proposing(0.9, 0.5), [pay], UNSURE) as bureau:
        run_id, events = await ended(bureau)
    later = proposing(None, None)
    async with opened_runs(tmp_path, later, [pay], UNSURE) as bureau:
        await bureau.runs.recover()
        (approval,) = await bureau.approvals.of_run(run_id)
        await bureau.approvals.decide(CLERK, approval.id, Decision(decision="approve"))
        await bureau.runs.wake(run_id)
        events += [event async for event in bureau.runs.follow(run_id, len(events))]
        assert terminals(events) == ["run.completed"]
        assert len(await bureau.approvals.of_run(run_id)) == 1
    assert sorted(paid) == [0, 1]
    assert [request.messages[-1].role for request in later.requests] == ["tool"]
