"""A caller's token of its user: it reaches the back end that it is for while the run lives, and nobody else."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from sqlalchemy import select, update
from structlog.testing import capture_logs

from cairn import ForwardToken, HttpApi, ToolContext, tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.schema import runs
from tests.support.back_end import BackEnd, back_end
from tests.support.service import LocalService, events, running_service

ADA, BEN = "token-of-ada-4711", "token-of-ben-4712"
HEADER = "Cairn-Subject-Token"


@pytest.fixture
async def end() -> AsyncIterator[BackEnd]:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"you_are": request.headers.get("Authorization")})

    async with back_end() as given:
        given.on("*", echo)
        yield given


Serve = Callable[[], Any]


@pytest.fixture
def serve(end: BackEnd, tmp_path: Path) -> Serve:
    """Serve with a model that reads or changes what is the asker's, and tools that blurt out the token."""

    def script(request: ModelRequest) -> Sequence[ScriptItem]:
        last = request.messages[-1]
        if last.role == "tool":
            return [f"It said {last.content}"]
        return [ToolCall(id="c", name="change" if "change" in last.content else "look", arguments="{}")]

    @asynccontextmanager
    async def served() -> AsyncIterator[LocalService]:
        api = HttpApi(end.url, auth=ForwardToken())

        def check(context: ToolContext) -> str:
            return context.subject_token.get_secret_value() if context.subject_token is not None else "nobody"

        @tool
        async def look(context: ToolContext) -> Any:
            """Look."""
            token = context.subject_token
            return [await api.request("GET", "/me", context=context), token.get_secret_value() if token else None]

        @tool(effect="write", idempotent=True, verify=check)
        async def change(context: ToolContext) -> Any:
            """Change."""
            return await api.request("POST", "/me", context=context)

        async with running_service(tmp_path / "data", model=ScriptedModel(script), tools=[look, change]) as service:
            try:
                yield service
            finally:
                await api.aclose()

    return served


async def ask(service: LocalService, message: str, token: str | None, **headers: str) -> httpx.Response:
    sent = {**headers, **({HEADER: token} if token is not None else {})}
    return await service.client.post("/v1/chat", json={"message": message, "retrieval": "off"}, headers=sent)


async def kept(service: LocalService, run_id: str) -> bytes | None:
    query = select(runs.c.subject_token).where(runs.c.tenant == "default", runs.c.id == run_id)
    async with service.services.knowledge.database.read() as connection:
        return await connection.scalar(query)


def tokens_seen(end: BackEnd) -> list[str | None]:
    return [each.headers.get("Authorization") for each in end.asked]


async def test_the_back_end_knows_whom_a_question_is_for_and_nobody_else_does(
    end: BackEnd, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve() as service:
        with capture_logs() as logged:
            answered = await ask(service, "look", ADA)
        told = await service.client.get(f"/v1/runs/{answered.json()['run_id']}/events")
        assert await kept(service, answered.json()["run_id"]) is None
        shown = answered.text + told.text + json.dumps(logged, default=str) + caplog.text
    assert tokens_seen(end) == [f"Bearer {ADA}"]
    assert ADA not in shown
    assert answered.json()["tool_calls"][0]["content"] == '[{"you_are":"Bearer [secret]"},"[secret]"]'
    assert all(ADA.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


async def test_without_a_token_the_back_end_is_not_asked(end: BackEnd, serve: Serve) -> None:
    async with serve() as service:
        answered = (await ask(service, "look", None)).json()
    assert (answered["status"], answered["tool_calls"][0]["failure"]) == ("completed", "token_needed")
    assert end.asked == []


async def test_an_approval_that_another_decides_in_another_process_acts_with_the_askers_token(
    end: BackEnd, serve: Serve, tmp_path: Path
) -> None:
    async with serve() as service:
        keys = KeyStore(service.services.knowledge.database)
        boss = await keys.create(tenant="default", name="boss", scopes=["approvals"])
        asker = await keys.create(tenant="default", name="asker", scopes=["chat"])
        as_asker = {"Authorization": f"Bearer {asker.text}"}
        waiting = (await ask(service, "change", ADA, **as_asker)).json()
        sealed = await kept(service, waiting["run_id"])
        assert sealed is not None
        assert ADA.encode() not in sealed
        assert ADA not in json.dumps(waiting)
    assert all(ADA.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    async with serve() as service:
        path = f"/v1/approvals/{waiting['approvals'][0]['approval_id']}"
        as_boss = {"Authorization": f"Bearer {boss.text}", HEADER: BEN}
        shown = await service.client.get(path, headers=as_boss)
        assert ADA not in shown.text
        assert (await service.client.post(path, json={"decision": "approve"}, headers=as_boss)).status_code == 200
        await ended(service, waiting["run_id"], as_asker)
        assert await kept(service, waiting["run_id"]) is None
    assert tokens_seen(end) == [f"Bearer {ADA}"]


async def ended(service: LocalService, run_id: str, headers: dict[str, str]) -> str:
    """The type of the run's last event."""
    last = ""
    after = {**headers, "Last-Event-ID": "4"}  # which is run.waiting
    async with service.client.stream("GET", f"/v1/runs/{run_id}/events", headers=after) as response:
        async for event in events(response):
            last = event.type
    return last


async def test_a_run_that_is_cancelled_keeps_no_token(serve: Serve) -> None:
    async with serve() as service:
        waiting = (await ask(service, "change", ADA)).json()
        assert await kept(service, waiting["run_id"]) is not None
        await service.client.post(f"/v1/runs/{waiting['run_id']}/cancel")
        assert await ended(service, waiting["run_id"], {}) == "run.cancelled"
        assert await kept(service, waiting["run_id"]) is None


async def test_a_token_that_was_moved_to_another_run_opens_for_nobody(end: BackEnd, serve: Serve) -> None:
    async with serve() as service:
        hers = (await ask(service, "change", ADA)).json()
        his = (await ask(service, "change", BEN)).json()
        stolen = await kept(service, hers["run_id"])
        theft = update(runs).where(runs.c.tenant == "default", runs.c.id == his["run_id"])
        async with service.services.knowledge.database.write() as connection:
            await connection.execute(theft.values(subject_token=stolen))
        with capture_logs() as logged:
            path = f"/v1/approvals/{his['approvals'][0]['approval_id']}"
            await service.client.post(path, json={"decision": "reject"})
            await ended(service, his["run_id"], {})
    assert [entry["reason"] for entry in logged if "cannot be opened" in entry["event"]] == ["InvalidTag"]
    assert end.asked == []


async def test_what_is_no_token_is_refused_and_not_repeated(serve: Serve) -> None:
    malformed: list[list[tuple[str, str | bytes]]] = [
        [(HEADER, "")],
        [(HEADER, "Bearer secret-4711")],
        [(HEADER, "secret-4711" * 1000)],
        [(HEADER, "secret-4711é".encode("latin-1"))],
        [(HEADER, "secret-4711"), (HEADER, "secret-4712")],
    ]
    async with serve() as service:
        for path in ("/v1/chat", "/v1/chat/stream", "/v1/runs"):
            for headers in malformed:
                refused = await service.client.post(path, json={"message": "look"}, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (400, "invalid_subject_token")
                assert "4711" not in refused.text


async def test_one_idempotency_key_is_not_the_same_request_for_another_user(end: BackEnd, serve: Serve) -> None:
    async with serve() as service:
        first, again, other = [
            await ask(service, "look", token, **{"Idempotency-Key": "k1"}) for token in (ADA, ADA, BEN)
        ]
    assert first.json()["run_id"] == again.json()["run_id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert tokens_seen(end) == [f"Bearer {ADA}"]
