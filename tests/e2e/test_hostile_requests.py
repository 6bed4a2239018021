"""Requests that no honest client sends, and clients that leave or lag: a clear problem each, and harm to nobody."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from models.messages import ModelRequest
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import LocalService, running_service

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"content-type": "application/json"}
MAX_BODY = 200_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    limits = {"max_body_bytes": MAX_BODY}
    folder = tmp_path_factory.mktemp("hostile")
    async with running_service(folder, model=ScriptedModel(lambda _: ["Fine."]), http=limits) as running:
        yield running


def cursor(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/documents"])
@pytest.mark.parametrize("wrong", ["%%%", "é", cursor(["x"]), cursor("[" * 2900), cursor({"a": 1}), cursor([1, 2, 3])])
async def test_a_cursor_that_no_page_gave_is_refused(service: LocalService, path: str, wrong: str) -> None:
    answer = await service.client.get(path, params={"cursor": wrong})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_a_cursor_with_no_time_is_refused(service: LocalService) -> None:
    answer = await service.client.get("/v1/sessions", params={"cursor": cursor(["x", "y"])})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("wrong", ["-1", "1.5", "x", "9" * 5000])
async def test_a_last_event_id_that_is_none_is_refused(service: LocalService, wrong: str) -> None:
    run = (await service.client.post("/v1/chat", json={"message": "Hello"})).json()["run_id"]
    answer = await service.client.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": wrong})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_last_event_id")


DEEP = "[" * 50_000 + "]" * 50_000
FIELDS = {"/v1/chat": '"message": "x"', "/v1/documents": '"title": "x", "text": "y"'}


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("metadata", ["NaN", "-Infinity", '"\\ud800"', "[" * 60 + "]" * 60, "[" * 400 + "]" * 400])
async def test_metadata_that_not_every_store_can_hold_is_refused(
    service: LocalService, path: str, metadata: str
) -> None:
    body = "{" + FIELDS[path] + ', "metadata": {"a": ' + metadata + "}}"
    answer = await service.client.post(path, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "metadata" in answer.json()["detail"]


@pytest.mark.parametrize("path", [*FIELDS, "/v1/search"])
@pytest.mark.parametrize("body", [b"", b"junk", b"[]", b'{"a": \xff}', f'{{"metadata": {DEEP}}}'.encode(), b"null"])
async def test_a_body_that_is_no_request_is_refused(service: LocalService, path: str, body: bytes) -> None:
    answer = await service.client.post(path, content=body, headers=JSON)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", [*FIELDS, "/v1/search"])
async def test_a_body_that_grows_too_large_on_the_way_is_refused(service: LocalService, path: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b'{"message": "' + b"x" * (MAX_BODY // 10)

    answer = await service.client.post(path, content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_heartbeats_come_while_a_model_is_silent_and_mean_nothing_else(tmp_path: Path) -> None:
    silent = asyncio.Event()
    model = ScriptedModel([["one ", silent.wait, "two"]])
    async with (
        running_service(tmp_path, model=model, http={"heartbeat_seconds": 0.2}) as running,
        running.client.stream("POST", "/v1/chat/stream", json={"message": "Hello there"}) as response,
    ):
        lines = []
        async for line in response.aiter_lines():
            lines.append(line)
            if sum(line.startswith(":") for line in lines) == 3:
                silent.set()
    assert [line for line in lines if line.startswith("event:")][-1] == "event: run.completed"
    ids = [int(line[4:]) for line in lines if line.startswith("id: ")]
    assert ids == list(range(1, len(ids) + 1))


async def test_a_client_of_json_that_leaves_does_not_stop_the_run(tmp_path: Path) -> None:
    begun, hold = asyncio.Event(), asyncio.Event()

    def script(_: ModelRequest) -> list[ScriptItem]:
        async def tell() -> None:
            begun.set()

        return [tell, hold.wait, "done"]

    async with running_service(tmp_path, model=ScriptedModel(script)) as running:
        body = {"message": "Hello there", "metadata": {"ticket": 7}}
        asking = asyncio.create_task(running.client.post("/v1/chat", json=body))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        session = (await running.client.get("/v1/sessions")).json()["items"][0]["id"]
        hold.set()
        while running.services.runs.active:
            await asyncio.sleep(0)
        history = (await running.client.get(f"/v1/sessions/{session}")).json()["messages"]
        run = (await running.client.get(f"/v1/runs/{history[0]['run_id']}")).json()
        record = await running.services.run_store.unsealed()
    assert [message["content"] for message in history] == ["Hello there", "done"]
    assert run["status"] == "completed"
    assert not record


async def test_a_reader_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """A slow reader's socket fills up; the run ends, others are served, and the reader still gets every event."""

    def script(_: ModelRequest) -> list[ScriptItem]:
        return [item for number in range(400) for item in (f"{number} " + "x" * 20_000, lambda: asyncio.sleep(0))]

    async with (
        running_service(tmp_path, model=ScriptedModel(script)) as running,
        running.client.stream("POST", "/v1/chat/stream", json={"message": "Hello there"}) as slow,
    ):
        quick = await running.client.post("/v1/chat", json={"message": "Hello too"})
        assert quick.json()["status"] == "completed"
        while running.services.runs.active:
            await asyncio.sleep(0)
        text = "".join([piece async for piece in slow.aiter_text()])
    assert text.count("event: run.completed") == 1
    assert all(f"{number} xxx" in text for number in (0, 199, 399))
