"""A model that asks for all that is others', in the name of one customer: nothing of theirs is read or changed."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select

import examples.shop.tools as shop_tools
from examples.shop.backend import create_app
from examples.shop.backend.seed import Seed
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import Scope
from records.schema import steps
from tests.support.everyones import everyones
from tests.support.service import Event, LocalService, events, running_service
from tools.toolset import Toolset

TOOLSET = Toolset(value for value in vars(shop_tools).values() if hasattr(value, "__cairn_tool__"))
SEED = Seed.load()

ASKER = 213
"""Who asks: a customer with an order that was delivered, and one that can still be cancelled."""

OWN_DELIVERED, OWN_OPEN = 1017, 1040

OTHERS = {
    "order_id": [order.id for order in SEED.orders if order.customer_id != ASKER],
    "return_id": [entry.id for entry in SEED.returns],
    "customer_id": [customer.id for customer in SEED.customers if customer.id != ASKER],
}
MISSING = {"order_id": [9999], "return_id": [9998], "customer_id": [997]}
FURTHER = {"product": "Petrel 300", "reason": "faulty", "country": "Germany"}
A_TURN = 8

Wish = tuple[str, dict[str, Any]]


def wishes(numbers: dict[str, list[int]]) -> list[Wish]:
    """A call of every tool for each of the numbers that it takes."""
    made: list[Wish] = []
    for spec in TOOLSET.specs:
        required = spec.parameters.get("required", [])
        rest = {name: FURTHER[name] for name in required if name not in OTHERS}
        taken = [name for name in required if name in OTHERS]
        assert len(taken) <= 1
        made += [(spec.name, {name: number, **rest}) for name in taken for number in numbers[name]]
    return made


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    """Calls what the user writes, and repeats whatever comes of it."""
    last = request.messages[-1]
    if last.role == "tool":
        return ["\n".join(message.content for message in request.messages if message.role == "tool")]
    calls = json.loads(last.content)
    return [ToolCall(id=f"c{at}", name=name, arguments=json.dumps(given)) for at, (name, given) in enumerate(calls)]


@dataclass
class House:
    """The service, the back end behind its tools, and what that was asked."""

    service: LocalService
    backend: httpx.AsyncClient
    log: list[str] = field(default_factory=list)

    async def key(self, *scopes: Scope, **given: Any) -> dict[str, str]:
        keys = KeyStore(self.service.services.knowledge.database)
        made = await keys.create(tenant="default", name="test", scopes=scopes or ["chat"], **given)
        return {"Authorization": f"Bearer {made.text}"}

    async def ask(self, key: dict[str, str], calls: Sequence[Wish]) -> list[Event]:
        body = {"message": json.dumps(calls), "retrieval": "off"}
        async with self.service.client.stream("POST", "/v1/chat/stream", json=body, headers=key) as response:
            assert response.status_code == 200, await response.aread()
            return [event async for event in events(response)]

    async def results(self, key: dict[str, str], calls: Sequence[Wish]) -> tuple[list[dict[str, Any]], str]:
        """The result of each call, and all that was told of them."""
        found, told = [], ""
        for start in range(0, len(calls), A_TURN):
            stream = await self.ask(key, calls[start : start + A_TURN])
            assert stream[-1].type == "run.completed"
            found += sorted(
                (event.data for event in stream if event.type == "tool.result"), key=lambda each: each["call_id"]
            )
            told += "".join(json.dumps(event.data, ensure_ascii=False) for event in stream)
        assert len(found) == len(calls)
        return found, told

    async def post(self, path: str, key: dict[str, str], body: object) -> httpx.Response:
        return await self.service.client.post(path, json=body, headers=key)

    async def outcome(self, key: dict[str, str], waiting: Event) -> list[Event]:
        """What comes after the run has waited; whoever has not heard that it waits is told so first."""
        path, headers = f"/v1/runs/{waiting.data['run_id']}/events", key | {"Last-Event-ID": str(waiting.id)}
        async with self.service.client.stream("GET", path, headers=headers) as response:
            return [event async for event in events(response)]

    async def state(self) -> list[Any]:
        """All that the back end knows."""
        paths = [
            *(f"/orders/{order.id}{more}" for order in SEED.orders for more in ("", "/refunds")),
            *(f"/customers/{customer.id}{more}" for customer in SEED.customers for more in ("", "/returns")),
            *(f"/products/{product.sku}/stock" for product in SEED.products),
        ]
        return [(await self.backend.get(path)).json() for path in paths]


class AnnouncingServer(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    app, log = create_app(), list[str]()

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        log.append(f"{scope['method']} {scope['path']}")
        await app(scope, receive, send)

    server = AnnouncingServer(uvicorn.Config(logged, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await server.listening.wait()
    monkeypatch.setenv("SHOP_URL", f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    shop_tools.shop.cache_clear()
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://shop") as backend,
        running_service(tmp_path, model=ScriptedModel(script), tools=list(TOOLSET)) as service,
    ):
        yield House(service, backend, log)
        await shop_tools.shop().aclose()
    server.should_exit = True
    await serving
    shop_tools.shop.cache_clear()


def test_every_tool_that_takes_a_number_acts_for_the_asker_and_no_model_sees_it() -> None:
    assert {name for name, _ in wishes(OTHERS)} == {tool.name for tool in TOOLSET if tool.fillings}
    assert {name for name, _ in wishes(OTHERS)} == {
        *("get_order", "get_refunds", "get_return", "list_customer_orders", "start_return", "cancel_order")
    }
    assert not any("asker" in str(spec.parameters) for spec in TOOLSET.specs)


async def test_nothing_of_others_is_read_or_changed_for_a_customer(house: House) -> None:
    before = await house.state()
    key = await house.key(attributes={"customer": str(ASKER)})
    calls = wishes(OTHERS)
    results, told = await house.results(key, calls)

    absent, _ = await house.results(key, wishes(MISSING))
    templates = {each["name"]: re.sub(r"\b99\d+", "{}", each["content"]) for each in absent}
    for (name, given), result in zip(calls, results, strict=True):
        number = next(given[each] for each in OTHERS if each in given)
        assert result["content"] == templates[name].format(number)
        assert (result["ok"], result["failure"]) == (False, "refused" if name == "cancel_order" else "failed")

    secrets = [text for customer in SEED.customers if customer.id != ASKER for text in (customer.name, customer.email)]
    secrets += [order.tracking_number for order in SEED.orders if order.tracking_number and order.customer_id != ASKER]
    secrets += [entry.label for entry in SEED.returns]
    assert [text for text in secrets if text in told] == []
    assert set(house.log) <= {f"GET /customers/{ASKER}/orders", f"GET /customers/{ASKER}/returns"}
    admin = await house.key("admin")
    assert (await house.service.client.get("/v1/approvals", headers=admin)).json()["items"] == []
    assert await house.state() == before


async def test_naming_another_customer_is_an_argument_that_there_is_not(house: House) -> None:
    key = await house.key(attributes={"customer": str(ASKER)})
    calls = [(name, given | {"asker": asker}) for name, given in wishes(MISSING) for asker in (217, "staff")]
    results, _ = await house.results(key, calls[:A_TURN])
    assert {each["failure"] for each in results} == {"invalid_arguments"}
    assert all("asker: no such argument" in each["content"] for each in results)
    assert house.log == []


async def test_a_key_that_is_nobodys_is_refused_and_the_shop_is_asked_nothing(house: House) -> None:
    results, _ = await house.results(await house.key(), wishes({name: numbers[:2] for name, numbers in OTHERS.items()}))
    assert {each["failure"] for each in results} == {"refused"}
    assert all("no attribute 'customer'" in each["content"] for each in results)
    assert house.log == []


async def test_the_keyless_owner_is_the_shops_staff(house: House) -> None:
    results, _ = await house.results({}, [("get_order", {"order_id": 1042}), ("get_return", {"return_id": 5006})])
    assert [each["ok"] for each in results] == [True, True]
    assert "Harbour Post" in results[0]["content"]


async def test_a_customer_reaches_what_is_their_own(house: House) -> None:
    key = await house.key(attributes={"customer": str(ASKER)})
    product = next(order.lines[0].name for order in SEED.orders if order.id == OWN_DELIVERED)
    calls: list[Wish] = [
        ("get_order", {"order_id": OWN_OPEN}),
        ("get_refunds", {"order_id": OWN_DELIVERED}),
        ("list_customer_orders", {"customer_id": ASKER}),
        ("start_return", {"order_id": OWN_DELIVERED, "product": product, "reason": "faulty"}),
    ]
    results, _ = await house.results(key, calls)
    assert [each["ok"] for each in results] == [True] * 4
    number = json.loads(results[3]["content"])["return_number"]
    again, _ = await house.results(key, [("get_return", {"return_id": number})])
    assert again[0]["ok"]
    stranger, _ = await house.results(
        await house.key(attributes={"customer": "217"}), [("get_return", {"return_id": number})]
    )
    assert "There is no return" in stranger[0]["content"]


async def test_who_approves_sees_for_whom_and_no_edit_can_change_that(house: House) -> None:
    key = await house.key(attributes={"customer": str(ASKER)})
    clerk = await house.key("approvals", roles=["support"], attributes={"customer": "217"})
    before = await house.state()
    waiting = await house.ask(key, [("cancel_order", {"order_id": OWN_OPEN})])
    assert waiting[-1].type == "run.waiting"
    path = f"/v1/approvals/{waiting[-1].data['approvals'][0]}"
    shown = (await house.service.client.get(path, headers=clerk)).json()
    assert shown["arguments"] == {"order_id": OWN_OPEN, "asker": ASKER}

    for asker in (217, "staff"):
        edit = {"decision": "edit", "arguments": {"order_id": 1034, "asker": asker}}
        refused = await house.post(path, clerk, edit)
        assert (refused.status_code, "an edit cannot change it" in refused.text) == (422, True)
    edited = await house.post(path, clerk, {"decision": "edit", "arguments": {"order_id": 1034}})
    assert edited.json()["decision"]["arguments"] == {"order_id": 1034, "asker": ASKER}
    told = await house.outcome(key, waiting[-1])
    [result] = [event.data for event in told if event.type == "tool.result"]
    assert (result["failure"], "There is no order 1034." in result["content"]) == ("refused", True)
    assert await house.state() == before
    assert not any(line.startswith("POST") for line in house.log)


async def test_an_approved_call_is_made_for_the_asker_as_the_journal_says(house: House) -> None:
    key = await house.key(attributes={"customer": str(ASKER)})
    clerk = await house.key("approvals", roles=["support"])
    waiting = await house.ask(key, [("cancel_order", {"order_id": OWN_OPEN})])
    path = f"/v1/approvals/{waiting[-1].data['approvals'][0]}"
    page_sends = {"order_id": OWN_OPEN, "asker": ASKER}
    assert (await house.post(path, clerk, {"decision": "edit", "arguments": page_sends})).status_code == 200
    told = await house.outcome(key, waiting[-1])
    assert [event.data["ok"] for event in told if event.type == "tool.result"] == [True]
    assert [line for line in house.log if line.startswith("POST")] == [f"POST /orders/{OWN_OPEN}/cancel"]
    async with house.service.services.knowledge.database.read() as connection:
        rows = await connection.execute(everyones(select(steps.c.intent)).where(steps.c.kind == "tool"))
        assert [row.intent["arguments"] for row in rows] == [page_sends]
