"""The example with two marketplaces: one question, one model of an order, one policy, two unlike back ends."""

import asyncio
import json
import socket
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI

from examples.marketplaces.backends import bazaar, harbour
from records.keys import KeyStore
from tests.support.service import ROOT, LocalService, events, running_service
from tools.loading import load_tools

EXAMPLE = ROOT / "examples" / "marketplaces"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """A back end on a real port; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        serving = asyncio.create_task(server._serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


@dataclass(frozen=True)
class Desk:
    """The service with the example's tools and policy, and what the marketplaces have paid back."""

    service: LocalService
    paid: dict[str, dict[str, Any]]
    clerk: dict[str, str]
    finance: dict[str, str]

    async def ask(self, message: str) -> dict[str, Any]:
        body = {"message": message, "retrieval": "off"}
        answered = await self.service.client.post("/v1/chat", json=body, headers=self.clerk)
        return answered.json()  # type: ignore[no-any-return]

    def refunds(self, order: str) -> list[Any]:
        """What was paid back for this order, in the marketplace's own words."""
        prefix, number = order.split("-")
        own = {"HB": ("order_id", int(number)), "BZ": ("purchaseId", f"P-{number}")}[prefix]
        return [refund for refund in self.paid[prefix].values() if own in refund.items()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        apps = {"HB": harbour.create_app(), "BZ": bazaar.create_app()}
        environment.setenv("HARBOUR_URL", await stack.enter_async_context(served(apps["HB"])))
        environment.setenv("BAZAAR_URL", await stack.enter_async_context(served(apps["BZ"])))
        settings = tomllib.loads((EXAMPLE / "cairn.toml").read_text())
        tools = [tool for name in settings.pop("tools") for tool in load_tools(name, EXAMPLE)]
        folder = tmp_path_factory.mktemp("marketplaces")
        service = await stack.enter_async_context(running_service(folder, tools=tools, **settings))
        keys = KeyStore(service.services.knowledge.database)

        async def key(scope: Any, *roles: str) -> dict[str, str]:
            made = await keys.create(tenant="default", name=scope, scopes=[scope], roles=roles)
            return {"Authorization": f"Bearer {made.text}"}

        paid = {prefix: app.state.refunds for prefix, app in apps.items()}
        yield Desk(service, paid, await key("chat"), await key("approvals", "finance"))


@pytest.mark.parametrize("order", ["HB-1001", "BZ-2001"])
async def test_an_order_is_told_in_the_same_words_wherever_it_was_placed(desk: Desk, order: str) -> None:
    answered = await desk.ask(f"Where is order {order}?")
    [call] = answered["tool_calls"]
    assert (call["name"], call["arguments"], call["failure"]) == ("find_order", {"order_id": order}, None)
    assert json.loads(call["content"]) == {
        "id": order,
        "status": "shipped",
        "buyer": "Ada Brandt",
        "total": {"amount": "129.00", "currency": "EUR"},
        "refunded": {"amount": "0.00", "currency": "EUR"},
    }


@pytest.mark.parametrize("order", ["HB-1002", "BZ-2002"])
async def test_a_small_refund_goes_by_itself(desk: Desk, order: str) -> None:
    answered = await desk.ask(f"Refund 20 euros of order {order}.")
    [call] = answered["tool_calls"]
    refund = json.loads(call["content"])
    assert (answered["status"], refund["order_id"], refund["amount"]) == (
        "completed",
        order,
        {"amount": "20.00", "currency": "EUR"},
    )
    assert len(desk.refunds(order)) == 1


@pytest.mark.parametrize("order", ["HB-1003", "BZ-2003"])
async def test_a_large_refund_waits_for_finance_and_is_paid_once(desk: Desk, order: str) -> None:
    waiting = await desk.ask(f"Refund 80 euros of order {order}.")
    assert (waiting["status"], desk.refunds(order)) == ("waiting_approval", [])
    path = f"/v1/approvals/{waiting['approvals'][0]['approval_id']}"
    client = desk.service.client
    asked = (await client.get(path, headers=desk.finance)).json()
    assert (asked["approvers"], asked["record"]["id"], asked["record"]["buyer"]) == (["finance"], order, "Cleo Marsh")
    assert (await client.post(path, json={"decision": "approve"}, headers=desk.clerk)).status_code == 403
    decided = await asyncio.gather(
        *(client.post(path, json={"decision": "approve"}, headers=desk.finance) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in decided)[0] == 200
    after = {**desk.clerk, "Last-Event-ID": "4"}  # which is run.waiting
    async with client.stream("GET", f"/v1/runs/{waiting['run_id']}/events", headers=after) as response:
        told = [event async for event in events(response)]
    assert told[-1].type == "run.completed"
    [paid] = desk.refunds(order)
    assert paid.get("amount_cents", paid.get("amount")) in (8000, {"value": "80.00", "currency": "EUR"})


@pytest.mark.parametrize("order", ["HB-1001", "BZ-2001"])
async def test_what_cannot_be_paid_back_is_refused_before_anybody_is_asked(desk: Desk, order: str) -> None:
    answered = await desk.ask(f"Refund 500 euros of order {order}.")
    [call] = answered["tool_calls"]
    assert (answered["status"], call["failure"]) == ("completed", "refused")
    assert f"Only 129.00 EUR of order {order} can be paid back." in call["content"]


@pytest.mark.parametrize("order", ["HB-999", "BZ-999"])
async def test_an_order_that_is_not_there_is_told_in_the_same_words(desk: Desk, order: str) -> None:
    [call] = (await desk.ask(f"Where is order {order}?"))["tool_calls"]
    assert (call["failure"], call["content"]) == ("failed", f"find_order failed: There is no order {order}.")
