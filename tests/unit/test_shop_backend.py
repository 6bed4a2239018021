"""The shop's back end, asked over HTTP within the process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from examples.shop.backend import create_app
from examples.shop.backend.seed import Seed
from examples.shop.policy import return_deadline, shipping_price

RETURN = {"order_id": 1027, "sku": "PET-500", "reason": "changed_mind", "opened": False}


def client_of(today: date | None = None) -> httpx.AsyncClient:
    app = create_app() if today is None else create_app(today=lambda: today)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test")


@pytest.fixture
async def shop() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of() as client:
        yield client


async def announce(shop: httpx.AsyncClient, key: str | None = None, **changes: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await shop.post("/returns", json={**RETURN, **changes}, headers=headers)


async def test_order_1042_is_on_its_way_with_carrier_number_and_date(shop: httpx.AsyncClient) -> None:
    order = (await shop.get("/orders/1042")).json()

    assert order["state"] == "shipped"
    assert order["carrier"] == "Harbour Post"
    assert order["tracking_number"] == "HP-4820-1177-IE"
    assert order["expected_delivery"] == "2026-11-24"


async def test_money_is_a_decimal_string_with_its_currency(shop: httpx.AsyncClient) -> None:
    order = (await shop.get("/orders/1042")).json()

    assert order["total"] == {"amount": "468.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/orders/9999", "There is no order 9999."),
        ("/orders/9999/refunds", "There is no order 9999."),
        ("/customers/1", "There is no customer 1."),
        ("/customers/1/orders", "There is no customer 1."),
        ("/products/Petrel%20900", "There is no product Petrel 900."),
        ("/products/NOPE/stock", "There is no product NOPE."),
        ("/returns/1", "There is no return 1."),
    ],
)
async def test_what_does_not_exist_is_a_problem_that_says_so(shop: httpx.AsyncClient, path: str, detail: str) -> None:
    response = await shop.get(path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == detail
    assert response.json()["code"] == "not_found"


async def test_a_product_is_found_by_sku_and_by_name_in_any_case(shop: httpx.AsyncClient) -> None:
    by_sku = await shop.get("/products/pet-500")
    by_name = await shop.get("/products/PETREL 500")

    assert by_sku.json() == by_name.json()
    assert by_sku.json()["name"] == "Petrel 500"


async def test_a_search_finds_products_with_every_word_and_under_the_price(shop: httpx.AsyncClient) -> None:
    params = {"query": "Noise-cancelling headphones", "max_price": "300"}
    found = (await shop.get("/products", params=params)).json()

    assert [item["name"] for item in found["items"]] == ["Petrel 500"]
    assert found["total"] == 1


async def test_pages_of_a_search_together_are_the_whole_catalogue(shop: httpx.AsyncClient) -> None:
    cursor: str | None = ""
    seen: list[str] = []
    while cursor is not None:
        page = (await shop.get("/products", params={"cursor": cursor, "limit": 7})).json()
        seen += [item["sku"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == sorted(product.sku for product in Seed.load().products)


async def test_the_same_key_and_body_is_the_same_return(shop: httpx.AsyncClient) -> None:
    first = await announce(shop, "key-1")
    again = await announce(shop, "key-1")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert (await shop.get("/returns/5009")).status_code == 404


async def test_the_same_key_with_another_body_is_refused_and_does_nothing(shop: httpx.AsyncClient) -> None:
    first = await announce(shop, "key-1")
    other = await announce(shop, "key-1", quantity=2)

    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    assert (await shop.get(f"/returns/{first.json()['id']}")).json() == first.json()


async def test_ten_calls_at_once_under_one_key_make_one_return(shop: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(announce(shop, "key-1") for _ in range(10)))

    assert {response.json()["id"] for response in responses} == {5008}


async def test_a_refused_return_may_be_tried_again_under_its_key(shop: httpx.AsyncClient) -> None:
    refused = await announce(shop, "key-1", quantity=3)
    accepted = await announce(shop, "key-1", quantity=2)

    assert refused.status_code == 409
    assert accepted.status_code == 201


async def test_no_more_can_be_returned_than_was_ordered(shop: httpx.AsyncClient) -> None:
    await announce(shop)
    rest = await announce(shop, quantity=2)

    assert rest.status_code == 409
    assert rest.json()["detail"] == "Order 1027 has 1 × Petrel 500 left to return."


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"order_id": 1042, "sku": "PET-500"}, 409, "Order 1042 has not been delivered; it cannot be returned yet."),
        ({"sku": "HER-1"}, 404, "Order 1027 does not contain HER-1."),
        (
            {"opened": True, "seal_unbroken": False},
            409,
            "The hygiene seal of the Petrel 500 is broken; only a faulty one may go back.",
        ),
        (
            {"order_id": 1033, "sku": "PET-300", "opened": True},
            409,
            "Business customers cannot return an opened product unless it is faulty.",
        ),
        (
            {"order_id": 1031, "sku": "LAP-2", "opened": True},
            409,
            "The Lapwing 2 cannot be returned once it is opened, unless it is faulty.",
        ),
        (
            {"order_id": 1001, "sku": "PET-300", "opened": True},
            409,
            "The return period for the Petrel 300 of order 1001 ended on 2026-09-09.",
        ),
    ],
)
async def test_a_return_against_the_rules_is_refused_with_the_rule(
    shop: httpx.AsyncClient, changes: dict[str, Any], status: int, detail: str
) -> None:
    response = await announce(shop, **changes)

    assert response.status_code == status
    assert response.json()["detail"] == detail


async def test_a_faulty_product_may_go_back_after_the_period_and_without_a_seal(shop: httpx.AsyncClient) -> None:
    response = await announce(shop, order_id=1001, sku="PET-300", reason="faulty", opened=True, seal_unbroken=False)

    assert response.status_code == 201


@pytest.mark.parametrize(("day", "status"), [(date(2026, 11, 18), 201), (date(2026, 11, 19), 409)])
async def test_opened_headphones_go_back_until_the_fourteenth_day(day: date, status: int) -> None:
    """Order 1027 was delivered on 4 November 2026."""
    async with client_of(day) as shop:
        assert (await announce(shop, opened=True)).status_code == status


@pytest.mark.parametrize(
    "body", [{}, {**RETURN, "quantity": 0}, {**RETURN, "reason": "bored"}, {**RETURN, "surprise": True}, "text"]
)
async def test_a_malformed_return_is_refused(shop: httpx.AsyncClient, body: Any) -> None:
    assert (await shop.post("/returns", json=body)).status_code == 422


async def test_a_received_return_is_refunded_once(shop: httpx.AsyncClient) -> None:
    first = await shop.post("/returns/5006/receive")
    again = await shop.post("/returns/5006/receive")
    refunds = (await shop.get("/orders/1029/refunds")).json()

    assert first.json()["state"] == "refunded"
    assert again.json() == first.json()
    assert [refund["amount"]["amount"] for refund in refunds] == ["189.00"]


async def test_cancelling_twice_refunds_and_restocks_once(shop: httpx.AsyncClient) -> None:
    before = (await shop.get("/products/OSP-4/stock")).json()["warehouse"]
    first = await shop.post("/orders/1034/cancel")
    again = await shop.post("/orders/1034/cancel")

    assert first.json()["state"] == "cancelled"
    assert again.json() == first.json()
    assert [refund["amount"]["amount"] for refund in (await shop.get("/orders/1034/refunds")).json()] == ["463.90"]
    assert (await shop.get("/products/OSP-4/stock")).json()["warehouse"] == before + 1


async def test_a_cancellation_tried_again_under_its_key_is_answered_alike(shop: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first, again = [await shop.post("/orders/1034/cancel", headers=headers) for _ in range(2)]

    assert first.json()["refunded"] == {"amount": "463.90", "currency": "EUR"}
    assert (again.status_code, again.json()) == (200, first.json())


@pytest.mark.parametrize("path", ["/orders/1040/cancel", "/returns"])
async def test_a_key_belongs_to_one_request_whatever_it_asks_for(shop: httpx.AsyncClient, path: str) -> None:
    await shop.post("/orders/1034/cancel", headers={"Idempotency-Key": "key-1"})
    other = await shop.post(path, headers={"Idempotency-Key": "key-1"}, json=RETURN)

    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    assert (await shop.get("/orders/1040")).json()["state"] == "processing"
    assert (await shop.get("/returns/5008")).status_code == 404


async def test_a_return_is_answered_as_it_was_though_it_has_gone_on(shop: httpx.AsyncClient) -> None:
    first = (await announce(shop, "key-1")).json()
    await shop.post(f"/returns/{first['id']}/receive")

    assert (await announce(shop, "key-1")).json() == first


async def test_an_unpaid_order_is_cancelled_without_a_refund(shop: httpx.AsyncClient) -> None:
    assert (await shop.post("/orders/1041/cancel")).json()["state"] == "cancelled"
    assert (await shop.get("/orders/1041/refunds")).json() == []


@pytest.mark.parametrize("order", [1035, 1042, 1033])
async def test_an_order_that_is_packed_or_gone_stays_as_it_is(shop: httpx.AsyncClient, order: int) -> None:
    before = (await shop.get(f"/orders/{order}")).json()
    response = await shop.post(f"/orders/{order}/cancel")

    assert response.status_code == 409
    assert (await shop.get(f"/orders/{order}")).json() == before


async def test_two_back_ends_share_nothing(shop: httpx.AsyncClient) -> None:
    await shop.post("/orders/1034/cancel")
    async with client_of() as other:
        assert (await other.get("/orders/1034")).json()["state"] == "processing"


def test_the_seed_fits_together() -> None:
    seed = Seed.load()
    customers = {customer.id: customer for customer in seed.customers}
    products = {product.sku: product for product in seed.products}

    for order in seed.orders:
        refunds = [refund for refund in seed.refunds if refund.order_id == order.id and refund.return_id is None]
        assert [order.refunded] == [refund.amount for refund in refunds] or order.state != "cancelled"
    assert (len(seed.orders), len(seed.customers), len(seed.products)) == (42, 25, 30)
    for order in seed.orders:
        goods = sum((line.unit_price.amount * line.quantity for line in order.lines), Decimal(0))
        weight = sum((products[line.sku].weight_kg * line.quantity for line in order.lines), Decimal(0))
        assert order.total.amount == goods + order.shipping.amount
        assert order.shipping.amount == shipping_price(
            order.country, weight_kg=weight, goods=goods, express=order.express
        )
        assert customers[order.customer_id].country == order.country
        assert (order.tracking_number is not None) == (order.state in {"shipped", "delivered"})
    assert {entry.order_id for entry in seed.returns} <= {order.id for order in seed.orders}


@pytest.mark.parametrize(
    ("kind", "ordered", "deadline"),
    [
        ("opened headphones", date(2026, 10, 1), date(2026, 10, 19)),
        ("unopened headphones", date(2026, 10, 1), date(2026, 11, 4)),
        ("opened turntables", date(2026, 10, 1), date(2026, 11, 4)),
        ("unopened headphones", date(2026, 11, 1), date(2027, 1, 31)),
        ("opened headphones", date(2026, 11, 1), date(2026, 11, 19)),
        ("unopened headphones", date(2026, 12, 24), date(2027, 1, 31)),
        ("unopened business headphones", date(2026, 11, 1), date(2026, 11, 19)),
    ],
)
def test_the_last_day_of_a_return(kind: str, ordered: date, deadline: date) -> None:
    """Each order is delivered on the fifth of its month, or on Boxing Day."""
    opened, *business, category = kind.split()
    delivered = date(2026, 12, 26) if ordered.month == 12 else ordered.replace(day=5)
    last = return_deadline(
        category=category,
        opened=opened == "opened",
        business=bool(business),
        ordered_on=ordered,
        delivered_on=delivered,
    )

    assert last == deadline
