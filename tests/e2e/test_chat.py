"""Asking, over real HTTP: the stream, the JSON answer, resuming, cancelling, sessions."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cairn import tool
from models.errors import Authentication, ModelNotFound, RateLimited, Transient
from models.messages import Finish, ModelRequest, ToolCall, Usage
from models.scripted import ScriptedModel, Turn
from tests.support.service import LocalService, ask, events, running_service

HANDBOOK = "# Returns\n\nOpened headphones may be returned within 14 days. Cables may be returned within 30 days.\n"


@tool(effect="write", autonomy="auto")
async def open_ticket(subject: str) -> dict[str, str]:
    """Open a ticket at the help desk."""
    return {"ticket": "T-1", "subject": subject}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def explode() -> None:
    """Always fails."""
    raise RuntimeError("the back end is down")


def call(name: str, arguments: str, number: int = 1) -> ToolCall:
    return ToolCall(id=f"c{number}", name=name, arguments=arguments)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[LocalService]:
    """A service with one document and the built-in model."""
    async with running_service(tmp_path) as service:
        added = await service.client.post("/v1/documents", json={"title": "Handbook", "text": HANDBOOK})
        assert added.status_code == 201, added.text
        yield service


async def test_a_question_streams_an_answer_that_cites_its_source(service: LocalService) -> None:
    stream = await ask(service, "How long may I return opened headphones?")
    assert [event.id for event in stream] == list(range(1, len(stream) + 1))
    assert all(event.data["seq"] == event.id and event.data["type"] == event.type for event in stream)
    assert stream[0].type == "run.started"
    assert [event.type for event in stream].count("run.completed") == 1
    assert stream[-1].type == "run.completed"
    answer = "".join(event.data["delta"] for event in stream if event.type == "text.delta")
    assert "14 days" in answer
    assert stream[-1].data["answer"] == answer
    source = next(event for event in stream if event.type == "retrieval.completed").data["sources"][0]
    citation = next(event.data for event in stream if event.type == "citation")
    assert citation["document_id"] == source["document_id"]
    assert "14 days" in answer[citation["start"] : citation["end"]]


async def test_a_source_leads_to_its_passage_in_the_stored_version(service: LocalService) -> None:
    answer = (await service.client.post("/v1/chat", json={"message": "How long for opened headphones?"})).json()
    source = answer["sources"][0]
    path = f"/v1/documents/{source['document_id']}"
    document = (await service.client.get(path, params={"version": source["version"]})).json()
    assert document["text"][source["start"] : source["end"]] == source["text"]


async def test_the_json_answer_holds_what_the_stream_says(service: LocalService) -> None:
    answer = (await service.client.post("/v1/chat", json={"message": "How long for opened headphones?"})).json()
    assert answer["status"] == "completed"
    assert "14 days" in answer["answer"]
    assert answer["citations"][0]["label"] == answer["sources"][0]["label"]
    assert answer["usage"]["model_calls"] == 1
    again = (await service.client.get(f"/v1/runs/{answer['run_id']}")).json()
    assert again == answer


async def test_a_stream_cut_anywhere_and_resumed_is_the_whole_stream(service: LocalService) -> None:
    whole = await ask(service, "How long may I return opened headphones?")
    run = whole[0].data["run_id"]
    for last in range(len(whole) + 1):
        headers = {"Last-Event-ID": str(last)} if last else {}
        async with service.client.stream("GET", f"/v1/runs/{run}/events", headers=headers) as response:
            assert [event async for event in events(response)] == whole[last:]


async def test_a_run_goes_on_when_its_reader_leaves(tmp_path: Path) -> None:
    leave = asyncio.Event()
    model = ScriptedModel([["one ", leave.wait, "two"]])
    async with running_service(tmp_path, model=model) as service:
        async with service.client.stream("POST", "/v1/chat/stream", json={"message": "Hi there"}) as response:
            run = response.headers["x-run-id"]
            async for event in events(response):
                if event.type == "text.delta":
                    break
        leave.set()
        async with service.client.stream("GET", f"/v1/runs/{run}/events") as response:
            stream = [event async for event in events(response)]
        assert stream[-1].type == "run.completed"
        assert stream[-1].data["answer"] == "one two"


async def test_cancel_stops_the_model_and_ends_the_stream(tmp_path: Path) -> None:
    model = ScriptedModel([["one ", asyncio.Event().wait, "never"]])
    async with running_service(tmp_path, model=model) as service:
        async with service.client.stream("POST", "/v1/chat/stream", json={"message": "Hi there"}) as response:
            seen = []
            async for event in events(response):
                seen.append(event)
                if event.type == "text.delta":
                    path = f"/v1/runs/{event.data['run_id']}/cancel"
                    assert (await service.client.post(path, json={"reason": "changed my mind"})).status_code == 202
        assert seen[-1].type == "run.cancelled"
        assert seen[-1].data["reason"] == "changed my mind"
        assert model.closed == 1
        run = (await service.client.get(f"/v1/runs/{seen[0].data['run_id']}")).json()
        assert (run["status"], run["answer"]) == ("cancelled", "one ")
        late = await service.client.post(f"/v1/runs/{run['run_id']}/cancel")
        assert late.status_code == 202


async def test_a_run_that_ended_cannot_be_cancelled(service: LocalService) -> None:
    run = (await service.client.post("/v1/chat", json={"message": "How long for cables?"})).json()["run_id"]
    refused = await service.client.post(f"/v1/runs/{run}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_ended")


async def test_tools_run_side_by_side_and_the_model_sees_their_results(tmp_path: Path) -> None:
    turns: list[Turn] = [[call("add", '{"a": 1, "b": 2}'), call("open_ticket", '{"subject": "x"}', 2)], ["Three."]]
    model = ScriptedModel(turns)
    async with running_service(tmp_path, model=model, tools=[add, open_ticket]) as service:
        stream = await ask(service, "Add and open", retrieval="off")
    calls = {event.data["call_id"]: event.data for event in stream if event.type == "tool.call"}
    results = {event.data["call_id"]: event.data for event in stream if event.type == "tool.result"}
    assert calls.keys() == results.keys()
    assert [called["effect"] for called in calls.values()] == ["read", "write"]
    assert all(result["ok"] for result in results.values())
    told = [message for message in model.requests[1].messages if message.role == "tool"]
    assert [message.tool_call_id for message in told] == ["c1", "c2"]
    assert told[0].content == "3"


@pytest.mark.parametrize(
    ("name", "arguments", "failure"),
    [
        ("add", '{"a": "x", "b": 2}', "invalid_arguments"),
        ("add", '{"a": 1', "malformed_arguments"),
        ("subtract", "{}", "unknown_tool"),
        ("explode", "{}", "failed"),
    ],
)
async def test_a_call_that_goes_wrong_is_told_to_the_model_and_the_run_goes_on(
    tmp_path: Path, name: str, arguments: str, failure: str
) -> None:
    model = ScriptedModel([[call(name, arguments)], ["Sorry."]])
    async with running_service(tmp_path, model=model, tools=[add, explode]) as service:
        stream = await ask(service, "Do it", retrieval="off")
    result = next(event.data for event in stream if event.type == "tool.result")
    assert (result["ok"], result["failure"]) == (False, failure)
    assert model.requests[1].messages[-1].content == result["content"]
    assert stream[-1].data["answer"] == "Sorry."


async def test_a_model_may_search_again_and_cite_what_it_finds(tmp_path: Path) -> None:
    model = ScriptedModel([[call("search_documents", '{"query": "cables"}')], ["Thirty days. [1]"]])
    async with running_service(tmp_path, model=model) as service:
        await service.client.post("/v1/documents", json={"title": "Handbook", "text": HANDBOOK})
        stream = await ask(service, "Cables?", retrieval="off")
    found = next(event.data for event in stream if event.type == "retrieval.completed")
    assert found["query"] == "cables"
    assert next(event.data for event in stream if event.type == "citation")["label"] == found["sources"][0]["label"]
    assert [passage.label for passage in model.requests[1].passages] == [1]


async def test_only_the_tools_that_were_named_are_offered(tmp_path: Path) -> None:
    model = ScriptedModel([["Fine."]])
    async with running_service(tmp_path, model=model, tools=[add, explode]) as service:
        await ask(service, "Hi", tools=["add"])
        unknown = await service.client.post("/v1/chat", json={"message": "Hi", "tools": ["nothing"]})
    assert [spec.name for spec in model.requests[0].tools] == ["add"]
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_tool")


async def test_a_session_remembers_and_its_window_always_fits(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> list[str]:
        return [f"turn {sum(message.role == 'user' for message in request.messages)} " + "long " * 400]

    model = ScriptedModel(answer, context_tokens=4000)
    async with running_service(tmp_path, model=model) as service:
        first = (await service.client.post("/v1/chat", json={"message": "Remember me"})).json()
        for number in range(6):
            body = {"message": f"Question {number}", "session_id": first["session_id"]}
            assert (await service.client.post("/v1/chat", json=body)).status_code == 200
        session = (await service.client.get(f"/v1/sessions/{first['session_id']}")).json()
        listed = (await service.client.get("/v1/sessions")).json()
    assert [message["role"] for message in session["messages"]] == ["user", "assistant"] * 7
    assert session["messages"][-2]["content"] == "Question 5"
    assert [item["id"] for item in listed["items"]] == [first["session_id"]]
    # The model was asked to sum up what the window has no room for, too.
    for request in [each for each in model.requests if each.messages[0].role != "system"]:
        assert request.messages[0].role == "user"
        assert sum(len(message.content) for message in request.messages) / 3 < 4000
    assert len(model.requests[-1].messages) > 1


async def test_a_follow_up_is_searched_together_with_what_it_leans_on(tmp_path: Path) -> None:
    model = ScriptedModel([["14 days."], ["30 days."]])
    async with running_service(tmp_path, model=model) as service:
        await service.client.post("/v1/documents", json={"title": "Handbook", "text": HANDBOOK})
        first = await ask(service, "How long may I return opened headphones?")
        second = await ask(service, "And cables?", session_id=first[0].data["session_id"])
    query = next(event.data for event in second if event.type == "retrieval.completed")["query"]
    assert query == "How long may I return opened headphones?\nAnd cables?"


async def test_runs_of_one_session_go_one_after_the_other(tmp_path: Path) -> None:
    model = ScriptedModel([["one"], ["two"], ["three"]])
    async with running_service(tmp_path, model=model) as service:
        session = (await service.client.post("/v1/chat", json={"message": "first"})).json()["session_id"]
        bodies = [{"message": message, "session_id": session} for message in ("second", "third")]
        await asyncio.gather(*(service.client.post("/v1/chat", json=body) for body in bodies))
        history = (await service.client.get(f"/v1/sessions/{session}")).json()["messages"]
    assert [message["content"] for message in history][1::2] == ["one", "two", "three"]
    assert len(model.requests[2].messages) == 5


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Authentication("the provider refused the key"), 502, "model_authentication"),
        (ModelNotFound("there is no such model"), 502, "model_not_found"),
        (RateLimited("slow down", retry_after=3), 503, "model_rate_limited"),
        (Transient("cannot reach http://127.0.0.1:9"), 503, "model_unavailable"),
        (ValueError("secret-in-a-message"), 500, "internal"),
    ],
)
async def test_a_model_that_fails_ends_the_run_with_a_code(
    tmp_path: Path, error: Exception, status: int, code: str
) -> None:
    async with running_service(tmp_path, model=ScriptedModel([["Hm "], [error], ["x", error]])) as service:
        await ask(service, "warm up")
        answer = await service.client.post("/v1/chat", json={"message": "Hello there"})
        stream = await ask(service, "Again please")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["run_id"]
    assert "secret" not in answer.text
    assert (stream[-1].type, stream[-1].data["code"]) == ("run.failed", code)


async def test_a_run_that_takes_too_long_says_which_limit_ended_it(tmp_path: Path) -> None:
    model = ScriptedModel([["one ", asyncio.Event().wait]])
    async with running_service(tmp_path, model=model, limits={"seconds": 0.3}) as service:
        stream = await ask(service, "Take your time")
    assert (stream[-1].data["code"], model.closed) == ("usage_limit_exceeded", 1)
    assert "limits.seconds" in stream[-1].data["detail"]


async def test_usage_is_added_up(tmp_path: Path) -> None:
    used = Finish(usage=Usage(input_tokens=7, output_tokens=3))
    called = Finish(reason="tool_calls", usage=Usage(input_tokens=5, output_tokens=1))
    model = ScriptedModel([[call("add", '{"a": 1, "b": 1}'), called], ["Two.", used]])
    async with running_service(tmp_path, model=model, tools=[add]) as service:
        answer = (await service.client.post("/v1/chat", json={"message": "1+1?", "retrieval": "off"})).json()
        metrics = (await service.client.get("/metrics")).text
    assert answer["usage"] == {"input_tokens": 12, "output_tokens": 4, "model_calls": 2, "tool_calls": 1}
    assert 'cairn_tokens_total{direction="input"} 12.0' in metrics
    assert 'cairn_stage_seconds_count{stage="tool"} 1.0' in metrics
    assert "cairn_time_to_first_token_seconds_count 1.0" in metrics
    assert 'cairn_runs_total{status="completed"} 1.0' in metrics


async def test_many_streams_at_once_do_not_mix(tmp_path: Path) -> None:
    def echo(request: ModelRequest) -> list[str]:
        return [f"{word} " for word in request.messages[-1].content.split()]

    async with running_service(tmp_path, model=ScriptedModel(echo)) as service:
        questions = [f"question number {number} of many" for number in range(40)]
        streams = await asyncio.gather(*(ask(service, question) for question in questions))
    for question, stream in zip(questions, streams, strict=True):
        assert stream[-1].data["answer"].strip() == question
        assert {event.data["run_id"] for event in stream} == {stream[0].data["run_id"]}


async def test_any_unicode_comes_through_a_stream_as_it_was(tmp_path: Path) -> None:
    text = 'a\nb\r\nc\u2028d\u0000 🪨 "quoted" data: x\n\nevent: y'
    async with running_service(tmp_path, model=ScriptedModel([[text]])) as service:
        stream = await ask(service, "Say it")
    assert stream[-1].data["answer"] == text
    assert json.loads(json.dumps(stream[-1].data)) == stream[-1].data
