"""The shop's tools, loaded and called the way Cairn does it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import examples.shop.tools as shop_tools
from cairn import NOT_DONE
from examples.shop.backend import create_app
from examples.shop.client import ShopClient, ShopRefusal, ShopUnreachable
from models.messages import ToolCall
from records.principal import LOCAL
from tests.support.broken_server import broken_server
from tools.loading import load_tools
from tools.results import ToolContext, ToolResult
from tools.toolset import CheckedCall, Toolset

TOOLSET = Toolset(value for value in vars(shop_tools).values() if hasattr(value, "__cairn_tool__"))

CONTEXT = ToolContext(principal=LOCAL, run_id="run", session_id="session", idempotency_key="run:1:0", collection="shop")


@pytest.fixture(autouse=True)
async def own_shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A back end of the test's own, in process."""
    monkeypatch.delenv("SHOP_URL", raising=False)
    shop_tools.shop.cache_clear()
    yield
    await shop_tools.shop().aclose()


class AnnouncingServer(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture
async def served() -> AsyncIterator[str]:
    """The URL of a real server."""
    server = AnnouncingServer(uvicorn.Config(create_app(), port=0, log_level="error", lifespan="off"))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await server.listening.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True


async def call(name: str, key: str = "run:1:0", **arguments: Any) -> ToolResult:
    checked = TOOLSET.check(ToolCall(id="1", name=name, arguments=json.dumps(arguments)))
    if not isinstance(checked, CheckedCall):
        return checked
    return await TOOLSET.run(checked, replace(CONTEXT, idempotency_key=key))


def test_cairn_finds_ten_tools_in_the_file_with_their_effects_and_what_they_may_do() -> None:
    loaded = load_tools("tools.py", Path(shop_tools.__file__).parent)

    assert {tool.name: (tool.effect, tool.default_autonomy) for tool in loaded} == {
        "get_order": ("read", "auto"),
        "get_product": ("read", "auto"),
        "check_stock": ("read", "auto"),
        "find_products": ("read", "auto"),
        "get_return": ("read", "auto"),
        "get_refunds": ("read", "auto"),
        "list_customer_orders": ("read", "auto"),
        "start_return": ("write", "auto"),
        "cancel_order": ("irreversible", "confirm"),
        "shipping_cost": ("read", "auto"),
    }
    assert all(tool.idempotent for tool in loaded if tool.effect != "read")
    assert all(len(tool.spec.examples) >= 3 and tool.spec.description for tool in loaded)


async def test_where_is_order_1042() -> None:
    result = await call("get_order", order_id=1042)

    assert result.failure is None
    assert result.value["status"] == "shipped"
    assert result.value["carrier"] == "Harbour Post"
    assert result.value["expected_delivery"] == "2026-11-24"
    assert result.value["items"] == ["1 × Petrel 500", "1 × Plover 6"]


async def test_an_order_that_does_not_exist_is_a_result_that_says_so() -> None:
    result = await call("get_order", order_id=9999)

    assert result.failure == "failed"
    assert "There is no order 9999." in result.content


@pytest.mark.parametrize("product", ["Petrel 700", "PET-700", "petrel 700"])
async def test_stock_is_found_by_name_and_by_sku(product: str) -> None:
    result = await call("check_stock", product=product)

    assert result.value["product"] == "Petrel 700"
    assert result.value["warehouse"] == 0
    assert result.value["stores"]["Utrecht"] == 2
    assert result.value["back_in_stock_on"] == "2026-12-04"


async def test_products_are_found_by_kind_and_price() -> None:
    result = await call("find_products", category="turntables", max_price=300)

    assert result.value == {"found": 1, "products": ["Heron 1, belt-drive turntable, 229.00 EUR"]}


async def test_a_return_tried_again_under_its_key_is_announced_once() -> None:
    wish = {"order_id": 1033, "product": "Petrel 300", "reason": "faulty", "quantity": 2}
    first = await call("start_return", key="run:4:0", **wish)
    again = await call("start_return", key="run:4:0", **wish)
    other = await call("start_return", key="run:5:0", **wish)

    assert first.value["status"] == "announced"
    assert again.value == first.value
    assert other.value["return_number"] == first.value["return_number"] + 1


async def test_a_cancelled_order_says_what_is_refunded_and_stays_cancelled() -> None:
    cancelled = await call("cancel_order", order_id=1034)

    assert cancelled.value == {"order": 1034, "status": "cancelled", "refunded": "463.90 EUR"}
    assert (await call("get_order", order_id=1034)).value["status"] == "cancelled"
    assert (await call("get_refunds", order_id=1034)).value["refunds"] == ["463.90 EUR to PayPal on 2026-11-20"]


CANCEL = TOOLSET.select(["cancel_order"]).get("cancel_order")


async def test_a_cancellation_tried_again_under_its_key_gives_the_same_result() -> None:
    first = await call("cancel_order", order_id=1034)
    again = await call("cancel_order", order_id=1034)
    other = await call("cancel_order", order_id=1040)

    assert again == first
    assert (other.failure, "was used for another request" in other.content) == ("failed", True)


async def test_whoever_agrees_to_a_cancellation_sees_owner_state_and_amount() -> None:
    assert CANCEL is not None
    record = await CANCEL.verify({"order_id": 1034}, CONTEXT)

    assert record is not None
    assert record.value == {
        "order": 1034,
        "customer": "217, Oliver Hartley",
        "status": "processing",
        "amount": "463.90 EUR",
    }


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (1042, "Order 1042 is already shipped and cannot be cancelled any more."),
        (9999, "There is no order 9999."),
    ],
)
async def test_a_cancellation_that_cannot_be_is_refused_before_anybody_is_asked(order: int, reason: str) -> None:
    assert CANCEL is not None
    refused = await CANCEL.verify({"order_id": order}, CONTEXT)

    assert refused is not None
    assert (refused.failure, refused.content) == ("refused", f"cancel_order was not called: {reason}")


async def test_the_shop_tells_whether_an_order_was_cancelled_after_all() -> None:
    assert CANCEL is not None
    before = await CANCEL.reconcile({"order_id": 1034}, CONTEXT)
    cancelled = await call("cancel_order", order_id=1034)

    assert before is NOT_DONE
    assert await CANCEL.reconcile({"order_id": 1034}, CONTEXT) == cancelled


async def test_an_unpaid_order_is_cancelled_without_a_refund() -> None:
    assert (await call("cancel_order", order_id=1041)).value["refunded"] == "0.00 EUR"


async def test_without_the_back_end_nothing_is_known_but_that_nothing_was_done(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", served.replace("127.0.0.1", "127.0.0.9"))
    result = await call("cancel_order", order_id=1034)

    assert CANCEL is not None
    asked = await CANCEL.reconcile({"order_id": 1034}, CONTEXT)
    assert (result.failure, "does not answer" in result.content) == ("failed", True)
    assert isinstance(asked, ToolResult)
    assert asked.failure == "unknown"


@pytest.mark.parametrize("way", ["status/500", "status/409", "text", "reset"])
async def test_a_back_end_that_breaks_down_leaves_the_outcome_unknown(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with broken_server() as broken:
        monkeypatch.setenv("SHOP_URL", f"{broken}/{way}")
        assert (await call("cancel_order", order_id=1034)).failure == "unknown"


async def test_a_shipped_order_is_not_cancelled_and_the_reason_is_given() -> None:
    result = await call("cancel_order", order_id=1042)

    assert "Order 1042 is already shipped" in result.content


@pytest.mark.parametrize(
    ("arguments", "price", "time"),
    [
        ({"country": "Germany"}, "6.90 EUR", "2–4 working days"),
        ({"country": "Germany", "service": "express"}, "14.90 EUR", "1–2 working days"),
        ({"country": "Poland", "weight_kg": 12}, "17.90 EUR", "4–7 working days"),
        ({"country": "Norway", "weight_kg": 44}, "149.00 EUR", "5–10 working days"),
    ],
)
async def test_shipping_costs_what_the_handbook_says(arguments: dict[str, Any], price: str, time: str) -> None:
    result = await call("shipping_cost", **arguments)

    assert (result.value["price"], result.value["delivery_time"]) == (price, time)


async def test_a_country_that_is_not_served_is_refused_before_the_call() -> None:
    assert (await call("shipping_cost", country="Canada")).failure == "invalid_arguments"


async def test_a_customers_orders_and_a_return_read_as_text() -> None:
    orders = (await call("list_customer_orders", customer_id=201)).value["orders"]
    entry = (await call("get_return", return_id=5006)).value

    assert orders[0] == "1042: shipped, ordered on 2026-11-18, 468.00 EUR"
    assert (entry["status"], entry["send_by"], entry["refund"]) == ("announced", "2026-11-24", "189.00 EUR")


async def test_with_a_shop_url_the_tools_call_the_back_end_there(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", served)
    cancelled = await call("cancel_order", order_id=1034)

    there = ShopClient(served)
    assert cancelled.failure is None
    assert (await there.get("/orders/1034"))["state"] == "cancelled"
    await there.aclose()


async def test_a_back_end_that_is_not_there_is_named(served: str) -> None:
    client = ShopClient(served.replace("127.0.0.1", "127.0.0.9"))

    with pytest.raises(ShopUnreachable, match=r"back end at http://127\.0\.0\.9:\d+ does not answer"):
        await client.get("/orders/1042")
    await client.aclose()


async def test_wrong_fields_are_named_in_the_refusal() -> None:
    client = ShopClient()

    with pytest.raises(ShopRefusal, match="reason: Field required"):
        await client.post("/returns", {"order_id": 1, "sku": "PET-300", "opened": True})
    await client.aclose()


def test_one_client_serves_several_event_loops_with_one_state() -> None:
    client = ShopClient()

    async def cancel_and_close(order: int) -> Any:
        answer = await client.post(f"/orders/{order}/cancel")
        await client.aclose()
        return answer["cancelled_on"], (await client.get("/orders/1034"))["state"]

    assert asyncio.run(cancel_and_close(1034)) == asyncio.run(cancel_and_close(1034)) == ("2026-11-20", "cancelled")
