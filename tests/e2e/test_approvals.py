"""Approvals over HTTP: a run waits, a person decides, and the call is made as decided, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from agent.run import RunRequest
from cairn import tool
from models.messages import Message, ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import Principal, Scope
from records.schema import approvals
from tests.support.everyones import everyones
from tests.support.service import LocalService, ask, events, running_service

PROPOSED = {"order": "R-7", "amount": 12.5}


@dataclass
class Shop:
    """A service with a tool that pays money back, and what it has paid."""

    service: LocalService
    paid: list[tuple[str, float]]
    seen: dict[str, int] = field(default_factory=dict)

    async def request(self, message: str = "Refund R-7, please.") -> dict[str, Any]:
        """Ask for a refund; gives the approval that the run then waits for."""
        told = await ask(self.service, message)
        assert told[-1].type == "run.waiting"
        self.seen[told[-1].data["run_id"]] = told[-1].id
        return (await self.get(f"/v1/approvals/{told[-1].data['approvals'][0]}")).json()  # type: ignore[no-any-return]

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.service.client.get(path, params=params)

    async def decide(self, approval: dict[str, Any], decision: str, **more: Any) -> httpx.Response:
        path = f"/v1/approvals/{approval['id']}"
        return await self.service.client.post(path, json={"decision": decision, **more})

    async def outcome(self, approval: dict[str, Any]) -> list[Any]:
        """The events of the run that waited, from the decision on, to its end."""
        run_id = approval["run_id"]
        headers = {"Last-Event-ID": str(self.seen[run_id])}
        async with self.service.client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response:
            return [event async for event in events(response)]


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    """Proposes a refund, and says what came of it."""
    last: Message = request.messages[-1]
    if last.role == "tool":
        return [f"It came to this: {last.content}"]
    return [ToolCall(id="c", name="refund", arguments='{"order": "R-7", "amount": 12.5}')]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    paid: list[tuple[str, float]] = []

    @tool(effect="irreversible")
    def refund(order: str, amount: float) -> dict[str, float]:
        """Pay money back."""
        paid.append((order, amount))
        return {"paid": amount}

    policy = [{"tool": "refund", "argument": "amount", "above": 100, "autonomy": "refuse"}]
    async with running_service(tmp_path, model=ScriptedModel(script), tools=[refund], policy=policy) as service:
        yield Shop(service, paid)


async def test_a_call_with_an_effect_waits_and_is_shown_with_all_that_matters(shop: Shop) -> None:
    approval = await shop.request()
    assert shop.paid == []
    shown = {
        name: approval[name] for name in ("tool", "effect", "kind", "arguments", "status", "approvers", "asked_by")
    }
    assert shown == {
        "tool": "refund",
        "effect": "irreversible",
        "kind": "call",
        "arguments": PROPOSED,
        "status": "pending",
        "approvers": [],
        "asked_by": "local",
    }
    assert approval["reason"] == "refund acts only once a person agrees"
    assert approval["genuine"] is True


async def test_an_approved_call_is_made_once_and_the_run_goes_on(shop: Shop) -> None:
    approval = await shop.request()
    decided = (await shop.decide(approval, "approve", reason="fine")).json()
    assert (decided["status"], decided["decided_by"]) == ("approved", "local")
    told = await shop.outcome(approval)
    assert [event.type for event in told[:3]] == ["approval.decided", "run.resumed", "tool.result"]
    assert told[0].data["decision"] == "approved"
    assert told[-1].data["answer"] == 'It came to this: {"paid":12.5}'
    assert shop.paid == [("R-7", 12.5)]


async def test_an_edited_call_is_made_with_the_edited_arguments_as_the_tool_reads_them(shop: Shop) -> None:
    approval = await shop.request()
    decided = (await shop.decide(approval, "edit", arguments={"order": "R-7", "amount": "5"})).json()
    assert decided["decision"]["arguments"] == {"order": "R-7", "amount": 5.0}
    assert decided["arguments"] == PROPOSED
    assert (await shop.outcome(approval))[-1].type == "run.completed"
    assert shop.paid == [("R-7", 5.0)]


async def test_a_rejected_call_is_not_made_and_the_model_reads_why(shop: Shop) -> None:
    approval = await shop.request()
    await shop.decide(approval, "reject", reason="paid already")
    told = await shop.outcome(approval)
    result = next(event for event in told if event.type == "tool.result")
    assert (result.data["ok"], result.data["failure"]) == (False, "rejected")
    assert "paid already" in told[-1].data["answer"]
    assert shop.paid == []


async def test_an_edit_does_not_get_around_the_policy(shop: Shop) -> None:
    approval = await shop.request()
    await shop.decide(approval, "edit", arguments={"order": "R-7", "amount": 1000})
    result = next(event for event in await shop.outcome(approval) if event.type == "tool.result")
    assert result.data["failure"] == "refused"
    assert shop.paid == []


async def test_of_ten_clicks_at_once_one_decides_and_the_call_is_made_once(shop: Shop) -> None:
    approval = await shop.request()
    clicks = await asyncio.gather(*(shop.decide(approval, verb) for verb in ["approve", "reject"] * 5))
    won = [click for click in clicks if click.status_code == 200]
    lost = [click.json() for click in clicks if click.status_code == 409]
    assert (len(won), len(lost)) == (1, 9)
    status = won[0].json()["status"]
    assert {(problem["code"], problem["approval"]["status"]) for problem in lost} == {("approval_decided", status)}
    await shop.outcome(approval)
    assert len(shop.paid) == (status == "approved")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"decision": "edit", "arguments": {"order": "R-7", "amount": "much"}}, "invalid_arguments"),
        ({"decision": "edit", "arguments": {"order": "R-7"}}, "invalid_arguments"),
        ({"decision": "edit"}, "decision_impossible"),
        ({"decision": "approve", "arguments": PROPOSED}, "decision_impossible"),
        ({"decision": "perhaps"}, "invalid_request"),
        ({"decision": "approve", "argumens": {}}, "invalid_request"),
    ],
)
async def test_a_decision_that_cannot_be_is_refused_and_leaves_it_pending(
    shop: Shop, body: dict[str, Any], code: str
) -> None:
    approval = await shop.request()
    refused = await shop.decide(approval, **body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert (await shop.get(f"/v1/approvals/{approval['id']}")).json()["status"] == "pending"


async def test_what_does_not_exist_is_404(shop: Shop) -> None:
    assert (await shop.get("/v1/approvals/nothing")).json()["code"] == "approval_not_found"
    assert (await shop.decide({"id": "nothing"}, "approve")).status_code == 404


async def test_a_row_that_was_changed_in_the_database_is_not_acted_on(shop: Shop) -> None:
    approval = await shop.request()
    async with shop.service.services.knowledge.database.write() as connection:
        await connection.execute(everyones(update(approvals)).values(arguments={"order": "R-7", "amount": 99.0}))
    refused = await shop.decide(approval, "approve")
    assert (refused.status_code, refused.json()["code"]) == (409, "approval_not_genuine")
    assert (await shop.get(f"/v1/approvals/{approval['id']}")).json()["genuine"] is False
    async with shop.service.services.knowledge.database.write() as connection:
        await connection.execute(everyones(update(approvals)).values(status="approved", decided_by="local"))
    await shop.service.services.runs.wake(approval["run_id"])
    result = next(event for event in await shop.outcome(approval) if event.type == "tool.result")
    assert result.data["failure"] == "refused"
    assert shop.paid == []


async def test_who_decides_reads_only_the_sources_that_are_for_him(shop: Shop) -> None:
    keys, client = KeyStore(shop.service.services.knowledge.database), shop.service.client

    async def key(scope: Scope) -> dict[str, str]:
        return {"Authorization": f"Bearer {(await keys.create(tenant='default', name=scope, scopes=[scope])).text}"}

    admin, clerk = await key("admin"), await key("approvals")
    document = {"title": "Refunds", "text": "# Refunds\n\nR-7 may be refunded, please."}
    for acl in ({}, {"acl": ["staff"], "uri": "memo"}):
        (await client.post("/v1/documents", json=document | acl, headers=admin)).raise_for_status()
    staff = Principal(groups=frozenset({"staff"}), roles=frozenset({"manager"}))
    store = shop.service.services.approvals
    run_id, _ = await shop.service.services.runs.start(staff, RunRequest(message="Refund R-7.", collection="default"))
    async for _event in shop.service.services.runs.follow(run_id):
        pass
    (asked,) = await store.of_run(run_id)
    assert {source["uri"] for source in asked.sources} >= {"memo"}
    assert len(asked.sources) == 2
    shown = (await client.get(f"/v1/approvals/{asked.id}", headers=clerk)).json()
    assert [source["uri"] != "memo" for source in shown["sources"]] == [True]
    assert shown["withheld"] == 1
    assert shown["genuine"] is True
    all_of_it = (await client.get(f"/v1/approvals/{asked.id}", headers=admin)).json()
    assert (len(all_of_it["sources"]), all_of_it["withheld"]) == (2, 0)


async def test_the_list_is_cut_into_pages_newest_first(shop: Shop) -> None:
    asked = [(await shop.request(f"Refund {number}, please."))["id"] for number in range(3)]
    first = (await shop.get("/v1/approvals", status="pending", limit=2)).json()
    rest = (await shop.get("/v1/approvals", status="pending", limit=2, cursor=first["next_cursor"])).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == sorted(asked, reverse=True)
    assert rest["next_cursor"] is None
    assert (await shop.get("/v1/approvals", status="approved")).json()["items"] == []
    assert (await shop.get("/v1/approvals", cursor="nonsense")).json()["code"] == "invalid_cursor"
    assert (await shop.get("/v1/approvals", status="nonsense")).status_code == 422
