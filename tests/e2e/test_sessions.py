"""Sessions over HTTP: their summary, expanded on demand; exported, deleted for real, and out of time."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from agent.webhooks.endpoints import Endpoint
from agent.webhooks.signing import new_secret
from cairn import ToolContext, tool
from models.errors import Transient
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.ids import now
from records.principal import LOCAL
from records.schema import (
    event_logs,
    messages,
    metadata,
    runs,
    session_tombstones,
    sessions,
    steps,
    webhook_deliveries,
)
from tests.support.everyones import everyones
from tests.support.postgres import fresh_postgres
from tests.support.redis import URL, reachable_redis
from tests.support.service import LocalService, ask, running_service

SECRET = "zebra-4711-quartz"


@tool(effect="write", autonomy="auto")
async def order(item: str, context: ToolContext) -> dict[str, Any]:
    """Order something."""
    before = await context.scratch.get("ordered", [])
    await context.scratch.set("ordered", [*before, item])
    return {"ordered": item, "all": [*before, item]}


@tool(effect="irreversible")
async def ship(item: str) -> str:
    """Ship something, once a person agrees."""
    return f"{item} is on its way"


@tool
def ordered(context: ToolContext) -> list[str]:
    """List what was ordered."""
    found: list[str] = context.scratch.blocking.get("ordered", [])
    return found


class Script:
    """A model that does as the last message says."""

    def __init__(self) -> None:
        self.model = ScriptedModel(self._turn)
        self.last = ModelRequest(messages=())
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    def _turn(self, request: ModelRequest) -> Sequence[ScriptItem]:
        said = request.messages[-1].content
        if request.messages[0].role == "system":
            raise Transient("it is not asked to sum up")
        self.last = request
        if request.messages[-1].role == "tool":
            return [f"Done: {said}"]
        if said.startswith("Order "):
            return [ToolCall(id="c", name="order", arguments=json.dumps({"item": said[6:]}))]
        if said.startswith("Ship "):
            return [ToolCall(id="s", name="ship", arguments=json.dumps({"item": said[5:]}))]
        if said.startswith("Read "):
            first, last = said.split()[1:]
            arguments = {"first_message": int(first), "last_message": int(last)}
            return [ToolCall(id="r", name="read_conversation", arguments=json.dumps(arguments))]
        if said == "List":
            return [ToolCall(id="l", name="ordered", arguments="{}")]
        if said == "Wait":
            return [self._reach, "Waited."]
        return [f"You said: {said[:40]}"]

    async def _reach(self) -> None:
        self.reached.set()
        await self.go.wait()


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def service(tmp_path: Path, script: Script) -> AsyncIterator[LocalService]:
    async with running_service(
        tmp_path, model=script.model, tools=[order, ordered, ship], history_tokens=600, hand_over=False
    ) as service:
        yield service
        script.go.set()


async def say(service: LocalService, message: str, session: str | None = None) -> tuple[str, str]:
    """Ask; gives the answer and the session."""
    events = await ask(service, message, session_id=session, retrieval="off")
    return events[-1].data["answer"], events[0].data["session_id"]


async def test_a_long_conversation_is_summed_up_expanded_exported_and_noted(
    service: LocalService, script: Script
) -> None:
    answer, session = await say(service, f"Order {SECRET}")
    assert SECRET in answer
    for number in range(8):
        await say(service, f"Number {number} has 12 sides, does it? " + "Well. " * 60, session)
    async with asyncio.timeout(60):
        while (await service.client.get(f"/v1/sessions/{session}")).json()["summary"] is None:
            await asyncio.sleep(0.01)
    body = (await service.client.get(f"/v1/sessions/{session}")).json()
    summary = body["summary"]
    assert summary["first_message"] == body["messages"][0]["id"]
    assert SECRET in summary["text"]
    assert body["messages"][1]["tool_calls"][0]["name"] == "order"

    # The model sees the summary, and may read what it stands for; tools find what they noted down.
    answer, _ = await say(service, f"Read {summary['first_message']} {summary['first_message'] + 1}", session)
    assert f"({summary['first_message']}) user: Order {SECRET}" in answer
    assert "[called order with" in answer
    assert json.loads((await say(service, "Order lamp", session))[0][6:])["all"] == [SECRET, "lamp"]
    assert json.loads((await say(service, "List", session))[0][6:]) == [SECRET, "lamp"]
    shown = script.last
    assert shown.messages[0].name == "conversation_summary"
    assert "read_conversation" in [spec.name for spec in shown.tools]
    # In another session there is neither.
    other = (await say(service, "List"))[1]
    assert "read_conversation" not in [spec.name for spec in script.last.tools]
    answer, _ = await say(service, f"Read 1 {10**6}", other)
    assert SECRET not in answer

    part = {"from": summary["first_message"], "to": summary["last_message"], "limit": 3}
    page = (await service.client.get(f"/v1/sessions/{session}/messages", params=part)).json()
    assert [item["role"] for item in page["items"]] == ["user", "assistant", "tool"]
    rest = (
        await service.client.get(f"/v1/sessions/{session}/messages", params={**part, "from": page["next_from"]})
    ).json()
    assert rest["items"][0]["id"] == page["next_from"]
    assert all(item["id"] <= summary["last_message"] for item in rest["items"])
    for wrong in ({"from": 0}, {"from": 2**63}, {"to": "x"}):
        assert (await service.client.get(f"/v1/sessions/{session}/messages", params=wrong)).status_code == 422

    exported = (await service.client.get(f"/v1/sessions/{session}/export")).json()
    assert exported["format"] == "cairn.session/1"
    assert exported["summary"]["last"] >= summary["last_message"]
    assert exported["scratch"] == {"ordered": [SECRET, "lamp"]}
    assert len(exported["messages"]) > len(exported["runs"]) == 12
    first = exported["runs"][0]
    assert [step["kind"] for step in first["steps"]] == ["model", "tool", "model"]
    assert first["events"][-1]["type"] == "run.completed"
    assert first["request"]["message"] == f"Order {SECRET}"
    for path in ("", "/messages", "/export"):
        assert (await service.client.get(f"/v1/sessions/nope{path}")).json()["code"] == "session_not_found"


async def test_a_deleted_session_is_gone_with_all_that_was_said(service: LocalService, tmp_path: Path) -> None:
    key = {"Idempotency-Key": "once"}
    asked = {"message": f"Order {SECRET}", "retrieval": "off"}
    run = (await service.client.post("/v1/chat", json=asked, headers=key)).json()
    session = run["session_id"]
    kept = (await say(service, "Keep this, please"))[1]
    assert _grep(tmp_path, SECRET)

    assert (await service.client.delete(f"/v1/sessions/{session}")).status_code == 204
    for path in (f"/v1/sessions/{session}", f"/v1/runs/{run['run_id']}", f"/v1/runs/{run['run_id']}/events"):
        assert (await service.client.get(path)).status_code == 404
    assert (await service.client.delete(f"/v1/sessions/{session}")).status_code == 404
    again = await service.client.post("/v1/chat", json={**asked, "session_id": session})
    assert again.json()["code"] == "session_not_found"
    # Nowhere: not in the database, its log, the events or the vectors.
    assert _grep(tmp_path, SECRET) == []
    assert (await service.client.get(f"/v1/sessions/{kept}")).json()["messages"][0]["content"] == "Keep this, please"

    [tombstone] = await _tombstones(service)
    assert (tombstone.id, tombstone.run_count, tombstone.reason) == (session, 1, "deleted")
    assert [(act["tool"], act["outcome"]) for act in tombstone.acts] == [("order", "done")]
    # With the same key the request is a new one.
    anew = (await service.client.post("/v1/chat", json=asked, headers=key)).json()
    assert anew["run_id"] != run["run_id"]


async def test_it_is_refused_while_a_run_goes_on_or_waits_and_then_all_goes(script: Script, tmp_path: Path) -> None:
    """With PostgreSQL and Redis: approvals are left without what they were about, webhooks and streams are gone."""
    hook = Endpoint(url="http://127.0.0.1:9/hook", secret=new_secret(), private=True)
    async with reachable_redis() as redis, fresh_postgres() as url:
        stores: dict[str, Any] = {"database_url": url, "redis_url": URL, "webhooks": (hook,)}
        async with running_service(tmp_path, model=script.model, tools=[ship], **stores) as service:
            client = service.client
            asked = await ask(service, f"Ship {SECRET}", retrieval="off")
            assert asked[-1].type == "run.waiting"
            session = asked[0].data["session_id"]
            running = asyncio.create_task(ask(service, "Wait", session_id=session, retrieval="off"))
            await script.reached.wait()
            refused = await client.delete(f"/v1/sessions/{session}")
            assert (refused.status_code, refused.json()["code"]) == (409, "session_busy")
            assert (await client.get(f"/v1/sessions/{session}")).status_code == 200
            approval = asked[-1].data["approvals"][0]
            assert (await client.get(f"/v1/approvals/{approval}")).json()["arguments"] == {"item": SECRET}
            script.go.set()
            assert (await running)[-1].type == "run.completed"
            assert (await client.delete(f"/v1/sessions/{session}")).json()["code"] == "session_busy"  # it waits

            gone = await client.delete(f"/v1/sessions/{session}", params={"cancel": True})
            assert gone.status_code == 204, gone.text
            left = (await client.get(f"/v1/approvals/{approval}")).json()
            assert (left["tool"], left["status"], left["arguments"]) == ("ship", "cancelled", {})
            assert (await client.get("/v1/approvals")).json()["items"][0]["reason"] == ""
            assert [key for key in await redis.keys("*") if b"log" in key] == []
            async with service.services.knowledge.database.read() as connection:
                for table in (runs, steps, messages, sessions, webhook_deliveries, event_logs):
                    assert (await connection.execute(everyones(select(table)))).all() == [], table.name
                for table in metadata.sorted_tables:
                    assert SECRET not in str((await connection.execute(everyones(select(table)))).all()), table.name


async def test_sessions_that_nobody_uses_expire(service: LocalService) -> None:
    old = (await say(service, "Long ago"))[1]
    new = (await say(service, "Just now"))[1]
    await service.services.runs.settled()
    database, deletion = service.services.knowledge.database, service.services.session_deletion
    async with database.write() as connection:
        mine = (sessions.c.tenant == LOCAL.tenant, sessions.c.id == old)
        await connection.execute(update(sessions).where(*mine).values(updated_at=now() - timedelta(days=31)))
    assert await deletion.expire(40) == 0
    assert await deletion.expire(30) == 1
    assert await deletion.expire(30) == 0
    listed = (await service.client.get("/v1/sessions")).json()["items"]
    assert [item["id"] for item in listed] == [new]
    assert [(each.id, each.reason) for each in await _tombstones(service)] == [(old, "expired")]


async def test_nothing_is_remembered_for_good_by_itself(tmp_path: Path, script: Script) -> None:
    """Sessions are short-term memory: with learning off, whatever is said, long-term memory stays empty."""
    off = {"learn": "off", "tools": False}
    async with running_service(tmp_path, model=script.model, tools=[order], history_tokens=300, memory=off) as service:
        session = None
        for said in ("Remember that I like tea.", "My name is Ada.", "Order tea", "From now on call me Ada. " * 30) * 2:
            _, session = await say(service, said, session)
        assert session is not None
        await service.services.session_deletion.tend()
        assert (await service.client.get("/v1/memory")).json()["items"] == []


async def _tombstones(service: LocalService) -> Sequence[Any]:
    async with service.services.knowledge.database.read() as connection:
        return (await connection.execute(everyones(select(session_tombstones)))).all()


def _grep(folder: Path, text: str) -> list[str]:
    """The files beneath the folder that hold the text."""
    files = [path for path in folder.rglob("*") if path.is_file() and "models" not in path.parts]
    return [str(path) for path in files if text.encode() in path.read_bytes()]
