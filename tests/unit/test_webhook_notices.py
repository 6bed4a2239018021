"""What is told of runs: written with the transition that makes it true, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from agent.approvals.approval import Decision
from agent.runs import RunRequest
from agent.webhooks.deliveries import Deliveries
from agent.webhooks.endpoints import Endpoint, Endpoints
from agent.webhooks.notices import Notices
from agent.webhooks.reminders import Reminders
from agent.webhooks.signing import new_secret
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.database import Database
from records.ids import now
from tests.support.runs import ALICE, Bureau, own_stores, runs_over
from tools.hand_over import HAND_OVER, hand_over_tool

URL = "https://hooks.example.org/cairn"
SECRET = "the account is 4711"


def endpoints(**given: Any) -> Endpoints:
    return Endpoints([Endpoint(url=URL, **{"secret": new_secret(), **given})])


@asynccontextmanager
async def office(folder: Path, model: Any = None, tools: Any = (), **given: Any) -> AsyncIterator[Bureau]:
    notices = Notices(endpoints(**given))
    async with own_stores(folder) as stores, runs_over(stores, model, tools, notices=notices) as bureau:
        yield bureau


async def told(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """What is to be told, oldest first, as type and data."""
    found = list(reversed(await Deliveries(database).list()))
    bodies = [orjson.loads(each.body) for each in found]
    assert [body["type"] for body in bodies] == [each.event for each in found]
    return [(body["type"], body["data"]) for body in bodies]


async def test_the_end_of_a_run_is_told_without_what_was_said(tmp_path: Path) -> None:
    async with office(tmp_path, ScriptedModel([[SECRET]])) as bureau:
        run_id, session_id = await bureau.start(SECRET)
        await bureau.end_of(run_id)
        ((kind, data),) = await told(bureau.database)
        (row,) = await Deliveries(bureau.database).list()
    assert kind == "run.completed"
    assert data == {
        "run_id": run_id,
        "session_id": session_id,
        "tenant": "default",
        "status": "completed",
        "finish_reason": "stop",
    }
    assert SECRET not in row.body
    assert (row.tenant, row.url, row.run_id, row.status) == ("default", URL, run_id, "pending")


async def test_a_failure_is_told_by_its_code(tmp_path: Path) -> None:
    def broken(_: ModelRequest) -> list[ScriptItem]:
        raise RuntimeError(SECRET)

    async with office(tmp_path, ScriptedModel(broken)) as bureau:
        run_id, _ = await bureau.start()
        await bureau.end_of(run_id)
        ((kind, data),) = await told(bureau.database)
    assert (kind, data["error"]) == ("run.failed", {"code": "internal", "retryable": False})


async def test_a_run_that_was_cancelled_names_what_it_has_done(tmp_path: Path) -> None:
    acted, hold = asyncio.Event(), asyncio.Event()

    @tool(effect="write", autonomy="auto")
    async def pay() -> str:
        """Pay."""
        return "paid"

    @tool
    async def wait() -> str:
        """Wait."""
        acted.set()
        await hold.wait()
        return ""

    def script(request: ModelRequest) -> list[ScriptItem]:
        name = "wait" if request.messages[-1].role == "tool" else "pay"
        return [ToolCall(id="c", name=name, arguments="{}")]

    async with office(tmp_path, ScriptedModel(script), [pay, wait]) as bureau:
        run_id, _ = await bureau.start()
        await acted.wait()
        await bureau.runs.cancel(ALICE, run_id, "enough")
        await bureau.end_of(run_id)
        ((kind, data),) = await told(bureau.database)
    assert (kind, data["reason"], data["effects"]) == ("run.cancelled", "enough", ["pay"])


def asks(request: ModelRequest) -> list[ScriptItem]:
    """Pays, and then says so."""
    if request.messages[-1].role == "tool":
        return ["Done."]
    return [ToolCall(id="c", name="pay", arguments='{"account": "the account is 4711"}')]


@tool(effect="write")
async def pay(account: str) -> str:
    """Pay."""
    return account


async def test_a_run_that_waits_tells_for_what_but_not_with_which_arguments(tmp_path: Path) -> None:
    async with office(tmp_path, ScriptedModel(asks), [pay]) as bureau:
        run_id, _ = await bureau.start()
        await bureau.end_of(run_id)
        ((kind, data),) = await told(bureau.database)
        (asked,) = await bureau.approvals.of_run(run_id)
        assert asked.expires_at is not None
        assert kind == "run.waiting_approval"
        assert data["status"] == "waiting_approval"
        assert data["approvals"] == [
            {
                "approval_id": asked.id,
                "kind": "call",
                "tool": "pay",
                "effect": "write",
                "reason": asked.reason,
                "approvers": [],
                "expires_at": asked.expires_at.isoformat(),
            }
        ]
        (row,) = await Deliveries(bureau.database).list()
        assert SECRET not in row.body
        await bureau.approvals.decide(ALICE, asked.id, Decision(decision="approve"))
        await bureau.runs.wake(run_id)
        await bureau.idle()
        assert [kind for kind, _ in await told(bureau.database)] == ["run.waiting_approval", "run.completed"]


async def test_the_help_desk_is_told_with_a_summary(tmp_path: Path) -> None:
    summary = ToolCall(id="c", name=HAND_OVER, arguments='{"summary": "He has a broken lamp."}')
    async with office(tmp_path, ScriptedModel([[summary]]), [hand_over_tool()], events=("run.handed_over",)) as bureau:
        run_id, _ = await bureau.start()
        await bureau.end_of(run_id)
        ((kind, data),) = await told(bureau.database)
    assert (kind, data["summary"], data["sources"]) == ("run.handed_over", "He has a broken lamp.", [])
    assert data["approval_id"]


def test_sources_are_named_and_not_quoted() -> None:
    source = {"label": 1, "document_id": "d", "version": "v", "title": "Lamps", "uri": "lamps.md", "page": None}
    asked = {"id": "a", "kind": "hand_over", "tool": HAND_OVER, "effect": "read", "reason": "help", "approvers": []}
    run = RunRecordLike()
    rows = Notices(endpoints()).of_questions(
        run, [{**asked, "expires_at": None, "sources": [{**source, "heading_path": ["Lamps"], "text": SECRET}] * 50}]
    )
    waiting, handed_over = (orjson.loads(row["body"]) for row in rows)
    assert waiting["type"] == "run.waiting_approval"
    assert handed_over["data"]["sources"][0] == {**source, "heading_path": ["Lamps"]}
    assert len(handed_over["data"]["sources"]) == 20
    assert SECRET not in str(rows)


class RunRecordLike:
    run_id = "r"
    tenant = "default"
    session_id = "s"
    webhook = None


async def test_nothing_is_told_of_other_tenants_or_of_other_events(tmp_path: Path) -> None:
    async with office(tmp_path, tenant="acme") as bureau:
        await bureau.end_of((await bureau.start())[0])
        assert await told(bureau.database) == []
    async with office(tmp_path, events=("run.failed",)) as bureau:
        await bureau.end_of((await bureau.start())[0])
        assert await told(bureau.database) == []


async def test_a_run_is_told_at_the_url_that_it_named(tmp_path: Path) -> None:
    async with office(tmp_path, for_runs=True) as bureau:
        await bureau.end_of((await bureau.start())[0])
        named = "https://hooks.example.org/jobs/1"
        request = RunRequest(message="Hello", collection="default", retrieval="off", webhook=named)
        run_id, _ = await bureau.runs.start(ALICE, request)
        await bureau.end_of(run_id)
        assert [(each.url, each.run_id) for each in await Deliveries(bureau.database).list()] == [(named, run_id)]


async def test_reminders_come_once_and_in_time_and_of_what_is_open(tmp_path: Path) -> None:
    async with office(tmp_path, ScriptedModel(asks), [pay], events=("approval.reminder",)) as bureau:
        run_id, _ = await bureau.start()
        await bureau.end_of(run_id)
        decided_run, _ = await bureau.start()
        await bureau.end_of(decided_run)
        (decided,) = await bureau.approvals.of_run(decided_run)
        await bureau.approvals.decide(ALICE, decided.id, Decision(decision="reject"))
        (asked,) = await bureau.approvals.of_run(run_id)
        given = endpoints(events=("approval.reminder",))
        reminders = Reminders(bureau.database, given, Notices(given), timedelta(minutes=10))
        assert await reminders.remind(now()) == 0
        assert asked.expires_at is not None
        soon = asked.expires_at - timedelta(minutes=9)
        assert await reminders.remind(asked.expires_at) == 0, "it is too late"
        assert sorted(await asyncio.gather(*(reminders.remind(soon) for _ in range(3)))) == [0, 0, 1]
        assert await reminders.remind(soon) == 0
        ((kind, data),) = await told(bureau.database)
        assert (kind, data["run_id"], data["approval"]["approval_id"]) == ("approval.reminder", run_id, asked.id)
        (after,) = await bureau.approvals.of_run(run_id)
        assert bureau.approvals.genuine(after), "to remind changes nothing that was signed"
