"""The same request, sent again with its key: one run, one answer, nothing done twice; whatever happened in between."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from service.api import create_app
from service.idempotency import IdempotentRoute, request_key
from service.metrics import Metrics
from tests.e2e.test_killed_service import TOOLS, serving
from tests.support.service import LocalService, running_service, share_models

KEY = {"Idempotency-Key": "order-1042/attempt"}
QUESTION = {"message": "Is it done?", "retrieval": "off"}
TEXT = {"title": "Hours", "text": "We open at 9."}


@tool(effect="write")
async def refund(order: str) -> str:
    """Pay back."""
    return f"{order} paid back"


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    if "refund" in request.messages[-1].content:
        return [ToolCall(id="c", name="refund", arguments='{"order": "R-7"}')]
    return ["It ", "is."]


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(script)


@pytest.fixture
async def service(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path, model=model, tools=[refund]) as service:
        yield service


async def post(service: LocalService, path: str, **request: Any) -> httpx.Response:
    return await service.client.post(path, **{"headers": KEY, **request})


async def twenty(service: LocalService, path: str, **request: Any) -> list[httpx.Response]:
    """The same request twenty times at once."""
    return await asyncio.gather(*(post(service, path, **request) for _ in range(20)))


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
async def test_of_twenty_equal_questions_one_is_asked(service: LocalService, model: ScriptedModel, path: str) -> None:
    answers = await twenty(service, path, json=QUESTION)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert "run.completed" in answers[0].text or answers[0].json()["answer"] == "It is."
    assert len(model.requests) == 1
    assert len((await service.client.get("/v1/sessions")).json()["items"]) == 1


async def test_of_twenty_equal_documents_one_is_taken_in(service: LocalService) -> None:
    answers = await twenty(service, "/v1/documents", json=TEXT)
    assert {(answer.status_code, answer.json()["outcome"]) for answer in answers} == {(201, "added")}
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers].count("true") == 19
    unkeyed = await service.client.post("/v1/documents", json=TEXT)
    assert (unkeyed.status_code, unkeyed.json()["outcome"]) == (200, "unchanged")


async def test_an_upload_sent_again_is_the_same_though_its_parts_are_separated_otherwise(service: LocalService) -> None:
    def form(text: bytes, boundary: str) -> dict[str, Any]:
        files = {"file": ("hours.md", text, "text/markdown")}
        headers = {**KEY, "content-type": f"multipart/form-data; boundary={boundary}"}
        return {"files": files, "headers": headers}

    first = await post(service, "/v1/documents", **form(b"We open at 9.", "one"))
    again = await post(service, "/v1/documents", **form(b"We open at 9.", "two-and-more"))
    other = await post(service, "/v1/documents", **form(b"We open at 8.", "one"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert other.json()["code"] == "idempotency_key_reused"


async def test_a_decision_sent_again_is_answered_as_the_first_time(service: LocalService) -> None:
    waiting = (await service.client.post("/v1/chat", json={"message": "refund it", "retrieval": "off"})).json()
    path = f"/v1/approvals/{waiting['approvals'][0]['approval_id']}"
    answers = await twenty(service, path, json={"decision": "reject"})
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    unkeyed = await service.client.post(path, json={"decision": "reject"})
    assert unkeyed.status_code == 409


async def test_an_answer_without_a_body_is_repeated_too(service: LocalService) -> None:
    run = (await service.client.post("/v1/chat", json={"message": "refund it", "retrieval": "off"})).json()["run_id"]
    first = await post(service, f"/v1/runs/{run}/cancel")
    again = await post(service, f"/v1/runs/{run}/cancel")
    assert (first.status_code, again.status_code, again.content) == (202, 202, b"")
    assert again.headers["Idempotent-Replayed"] == "true"
    elsewhere = await post(service, "/v1/runs/another/cancel")
    assert elsewhere.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream", "/v1/search"])
async def test_another_body_with_the_same_key_is_refused(
    service: LocalService, model: ScriptedModel, path: str
) -> None:
    body, other = ({"query": "a"}, {"query": "b"}) if "search" in path else (QUESTION, QUESTION | {"message": "Why?"})
    await post(service, "/v1/documents", json=TEXT, headers={})
    first = await post(service, path, json=body)
    refused = await post(service, path, json=other)
    assert first.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert len(model.requests) == (path != "/v1/search")


async def test_how_the_json_is_written_does_not_matter(service: LocalService, model: ScriptedModel) -> None:
    headers = KEY | {"content-type": "application/json"}
    first = await post(service, "/v1/chat", json=QUESTION)
    again = await post(
        service, "/v1/chat", content=b'{ "retrieval":"off",\n "message": "Is it \\u0064one?"}', headers=headers
    )
    assert again.json() == first.json()
    assert len(model.requests) == 1


async def test_a_key_belongs_to_its_principal_and_its_route(service: LocalService) -> None:
    keys = KeyStore(service.services.knowledge.database)
    made = [await keys.create(tenant=tenant, name="n", scopes=["admin"]) for tenant in ("a", "a", "b")]
    runs = set()
    for key in made:
        for path in ("/v1/chat", "/v1/chat"):
            headers = KEY | {"Authorization": f"Bearer {key.text}"}
            runs.add((await post(service, path, json=QUESTION, headers=headers)).json()["run_id"])
    streamed = await post(service, "/v1/chat/stream", json=QUESTION, headers=headers)
    assert len(runs) == 3
    assert streamed.headers["x-run-id"] not in runs


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "é".encode()])
async def test_what_is_no_key_is_refused(service: LocalService, key: str | bytes) -> None:
    for path in ("/v1/chat", "/v1/search"):
        refused = await post(service, path, json=QUESTION, headers={"Idempotency-Key": key})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_idempotency_key")


async def test_one_request_has_one_key(service: LocalService) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await service.client.post("/v1/chat", json=QUESTION, headers=headers)).status_code == 400


async def test_what_was_refused_may_be_sent_again_once_it_can_be_done(service: LocalService) -> None:
    missing = await post(service, "/v1/search", json={"query": "hours", "collection": "shop"})
    assert missing.json()["code"] == "collection_not_found"
    await service.client.post("/v1/documents", json=TEXT | {"collection": "shop"})
    found = await post(service, "/v1/search", json={"query": "hours", "collection": "shop"})
    assert found.status_code == 200


async def test_a_run_that_goes_on_is_followed_from_its_first_event(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    model = ScriptedModel([["one ", go_on.wait, "two"]])
    async with running_service(tmp_path, model=model) as service:
        seen = b""
        async with service.client.stream("POST", "/v1/chat/stream", json=QUESTION, headers=KEY) as first:
            async for piece in first.aiter_bytes():
                seen += piece
                if b"one" in seen:
                    break
        async with service.client.stream("POST", "/v1/chat/stream", json=QUESTION, headers=KEY) as second:
            go_on.set()
            whole = await second.aread()
    assert whole.startswith(seen)
    assert b"run.completed" in whole
    assert first.headers["x-run-id"] == second.headers["x-run-id"]


async def test_after_a_restart_a_key_still_stands_for_what_it_stood_for(tmp_path: Path) -> None:
    model = ScriptedModel(script)
    answers = []
    for _ in range(2):
        async with running_service(tmp_path, model=model) as service:
            streamed = await post(service, "/v1/chat/stream", json=QUESTION)
            asked = await post(service, "/v1/chat", json=QUESTION)
            added = await post(service, "/v1/documents", json=TEXT)
            answers.append([(each.status_code, each.content) for each in (streamed, asked, added)])
            refused = await post(service, "/v1/chat", json=QUESTION | {"message": "Why?"})
            assert refused.status_code == 422
    assert answers[0] == answers[1]
    assert len(model.requests) == 2


def test_killed_before_it_has_answered_a_request_may_be_sent_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    share_models(data_dir)
    (tmp_path / "jobs.py").write_text(TOOLS)
    long = {"title": "Long", "text": "\n\n".join(f"Rule {n}: whoever comes {n} days late pays." for n in range(300))}
    with (tmp_path / "log").open("w") as log, ThreadPoolExecutor() as pool:
        with serving(data_dir, log) as client:
            cut = pool.submit(client.post, "/v1/documents", json=long, headers=KEY)
            reserved = first_row(data_dir / "cairn.db")
        assert isinstance(cut.exception(), httpx.TransportError)
        with serving(data_dir, log) as client:
            before = client.get("/v1/documents").json()["items"]
            added = client.post("/v1/documents", json=long, headers=KEY)
            again = client.post("/v1/documents", json=long, headers=KEY)
            after = client.get("/v1/documents").json()["items"]
    assert reserved == (None, None)
    assert before == []
    assert added.status_code == 201, added.text
    assert again.content == added.content
    assert len(after) == 1


def first_row(database: Path) -> tuple[Any, ...]:
    """The first key that anybody keeps, as soon as there is one."""
    deadline = time.monotonic() + 30
    with closing(sqlite3.connect(database)) as connection:
        while time.monotonic() < deadline:
            row = connection.execute("SELECT run_id, response FROM idempotency").fetchone()
            if row is not None:
                return tuple(row)
            time.sleep(0.005)
    raise AssertionError("no key was kept")


async def test_there_is_no_post_without_it(service: LocalService) -> None:
    app = create_app(service.services, Metrics())
    posts = [context.route for context in iter_route_contexts(app.routes) if "POST" in (context.methods or ())]
    assert len(posts) >= 6
    for route in posts:
        assert isinstance(route, APIRoute)
        starts_a_run = any(needed.call is request_key for needed in route.dependant.dependencies)
        assert isinstance(route, IdempotentRoute) != starts_a_run, route.path
