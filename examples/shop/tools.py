"""The shop's tools for Cairn: `cairn serve --tools examples/shop/tools.py`.

With `SHOP_URL` set they call the back end that listens there (`python -m examples.shop.backend` listens on
http://127.0.0.1:8100). Without it they run against a back end of their own in this process, seeded with the example
data and forgotten when the process ends: a demo needs no second process.
"""

import os
from decimal import Decimal
from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from cairn import NOT_DONE, NotDone, ToolContext, ToolError, tool
from examples.shop.backend.models import Category, ReturnReason
from examples.shop.behalf import Asker, order_for, orders_for, return_for
from examples.shop.client import ShopClient
from examples.shop.policy import CURRENCY, FREIGHT_KG, RATES, Country, shipping_price, zone_of
from examples.shop.views import (
    Cancellation,
    CustomerOrders,
    FoundProducts,
    OrderStatus,
    OrderToCancel,
    ProductDetails,
    Refunds,
    ReturnStatus,
    ShippingCost,
    Stock,
    money,
)

CANCELLABLE = frozenset({"awaiting_payment", "processing", "cancelled"})
"""The states in which cancelling does no harm: once more is the same as once."""

FREIGHT_DAYS = "5–10 working days"

OrderNumber = Annotated[int, Field(description="The order number, e.g. 1042", ge=1)]
ProductName = Annotated[
    str,
    Field(
        description="The product's name or SKU, e.g. Petrel 500 or PET-500",
        pattern=r"^([A-Za-z]{3}-\d{1,4}|[A-Za-z]+ \d{1,4})$",
        examples=["Petrel 500", "PET-500", "Heron 1"],
    ),
]


@cache
def shop() -> ShopClient:
    """The client that every tool here shares, made at the first call."""
    return ShopClient(os.environ.get("SHOP_URL"))


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "Where is order 1042?",
        "Has my order 1007 been shipped?",
        "When will order 1038 arrive?",
        "What is the status of order 1034?",
        "What is the tracking number for 1036?",
    ),
)
async def get_order(order_id: OrderNumber, asker: Asker) -> OrderStatus:
    """Look up an order: its state, carrier, tracking number and expected delivery."""
    return OrderStatus.of(await order_for(asker, shop(), order_id))


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "How much does the Petrel 500 cost?",
        "Show me the specification of the Curlew 5.",
        "What is the price of PET-300?",
        "Which colours does the Tern 40 come in?",
    ),
)
async def get_product(product: ProductName) -> ProductDetails:
    """Look up a product: its current price, colours, warranty and specification."""
    return ProductDetails.of(await shop().get(f"/products/{product}"))


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "Is the Petrel 700 in stock?",
        "Does the Dublin store have the Heron 1?",
        "Do you have the Tern 40 in Galway?",
        "When will the Gannet 5 be back in stock?",
        "How many Wren 200 are left?",
    ),
)
async def check_stock(product: ProductName) -> Stock:
    """Check the stock of a product in the warehouse and in the stores."""
    return Stock.of(await shop().get(f"/products/{product}/stock"))


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "Which headphones cost less than 150 euros?",
        "Show me turntables under 300 euros.",
        "List all portable speakers.",
        "Find soundbars that are available.",
    ),
)
async def find_products(
    category: Annotated[Category | None, Field(description="The kind of product")] = None,
    max_price: Annotated[float | None, Field(description="The highest price in euros", ge=0)] = None,
    words: Annotated[str, Field(description="Words that name or describe it, e.g. noise-cancelling")] = "",
) -> FoundProducts:
    """Find products of the catalogue by category, highest price and words."""
    params: dict[str, str | int] = {"query": words, "limit": 10}
    if category is not None:
        params["category"] = category
    if max_price is not None:
        params["max_price"] = str(max_price)
    page = await shop().get("/products", params)
    return FoundProducts(
        found=page["total"],
        products=[f"{item['name']}, {item['kind']}, {money(item['price'])}" for item in page["items"]],
    )


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "What is the state of return 5006?",
        "Has return 5005 arrived?",
        "Has my return number 5002 been refunded?",
    ),
)
async def get_return(
    return_id: Annotated[int, Field(description="The return number, e.g. 5006", ge=1)], asker: Asker
) -> ReturnStatus:
    """Look up a return: its state, refund and the day by which to send it."""
    return ReturnStatus.of(await return_for(asker, shop(), return_id))


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "Show the refunds of order 1012.",
        "Have I been refunded for order 1023?",
        "How much was paid back for order 1008?",
    ),
)
async def get_refunds(order_id: OrderNumber, asker: Asker) -> Refunds:
    """List what has been paid back for an order."""
    await order_for(asker, shop(), order_id)
    refunds = await shop().get(f"/orders/{order_id}/refunds")
    return Refunds(
        order=order_id,
        refunds=[f"{money(one['amount'])} to {one['method']} on {one['issued_on']}" for one in refunds],
    )


@tool(
    effect="read",
    timeout=5.0,
    examples=(
        "List the orders of customer 201.",
        "What has customer 207 ordered?",
        "Show me all orders for customer number 224.",
    ),
)
async def list_customer_orders(
    customer_id: Annotated[int, Field(description="The customer number, e.g. 201", ge=1)], asker: Asker
) -> CustomerOrders:
    """List the orders of a customer, newest first."""
    orders = await orders_for(asker, shop(), customer_id)
    lines = [
        f"{order['id']}: {order['state'].replace('_', ' ')}, ordered on {order['ordered_on']}, {money(order['total'])}"
        for order in orders
    ]
    return CustomerOrders(customer=customer_id, orders=lines)


@tool(
    effect="write",
    autonomy="auto",  # it costs nothing, and a return that is never sent lapses
    idempotent=True,
    timeout=10.0,
    examples=(
        "I want to return the Petrel 300 from order 1025, it is faulty.",
        "Start a return for order 1030.",
        "Please register a return of the Plover 2 of order 1031.",
    ),
)
async def start_return(
    order_id: OrderNumber,
    product: ProductName,
    reason: Annotated[ReturnReason, Field(description="Why it goes back")],
    asker: Asker,
    context: ToolContext,
    *,
    opened: Annotated[bool, Field(description="Whether the box has been opened")] = True,
    seal_unbroken: Annotated[bool, Field(description="Whether the hygiene seal of headphones is unbroken")] = True,
    quantity: Annotated[int, Field(description="How many go back", ge=1, le=100)] = 1,
) -> ReturnStatus:
    """Announce a return of a product from a delivered order and get its label."""
    await order_for(asker, shop(), order_id)
    item = await shop().get(f"/products/{product}")
    body = {
        "order_id": order_id,
        "sku": item["sku"],
        "quantity": quantity,
        "reason": reason,
        "opened": opened,
        "seal_unbroken": seal_unbroken,
    }
    return ReturnStatus.of(await shop().post("/returns", body, key=context.idempotency_key))


async def order_to_cancel(order_id: int, asker: Asker) -> OrderToCancel:
    """Read whose order it is, how far it has come and what is at stake; refuse what the shop would refuse."""
    order = await order_for(asker, shop(), order_id)
    if order["state"] not in CANCELLABLE:
        raise ToolError(f"Order {order_id} is already {order['state']} and cannot be cancelled any more.")
    customer = await shop().get(f"/customers/{order['customer_id']}")
    return OrderToCancel(
        order=order_id,
        customer=f"{customer['id']}, {customer['name']}",
        status=order["state"].replace("_", " "),
        amount=money(order["total"]),
    )


async def cancelled_after_all(order_id: int, asker: Asker) -> Cancellation | NotDone:
    """Ask the shop whether an order has been cancelled."""
    order = await order_for(asker, shop(), order_id)
    return Cancellation.of(order) if order["state"] == "cancelled" else NOT_DONE


@tool(
    effect="irreversible",
    autonomy="confirm",
    approvers=("support",),
    idempotent=True,
    verify=order_to_cancel,
    reconcile=cancelled_after_all,
    timeout=10.0,
    examples=(
        "Cancel order 1034.",
        "Please cancel my order 1040.",
        "I no longer want order 1041, cancel it.",
    ),
)
async def cancel_order(order_id: OrderNumber, asker: Asker, context: ToolContext) -> Cancellation:
    """Cancel an order that has not been packed yet and refund it."""
    await order_for(asker, shop(), order_id)
    return Cancellation.of(await shop().post(f"/orders/{order_id}/cancel", key=context.idempotency_key))


@tool(
    effect="read",
    timeout=1.0,
    examples=(
        "How much is express shipping to Germany?",
        "What does shipping to Norway cost?",
        "What are the delivery costs to France?",
        "Calculate the shipping of 12 kg to Poland.",
    ),
)
def shipping_cost(
    country: Annotated[Country, Field(description="The country of delivery")],
    service: Annotated[Literal["standard", "express"], Field(description="The shipping service")] = "standard",
    weight_kg: Annotated[float, Field(description="The weight of the parcel in kilograms", gt=0, le=500)] = 1.0,
) -> ShippingCost:
    """Work out the price and the time of a delivery to a country."""
    rates = RATES[zone_of(country)]
    weight, express = Decimal(str(weight_kg)), service == "express"
    price = shipping_price(country, weight_kg=weight, goods=Decimal(0), express=express)
    freight = weight > FREIGHT_KG
    return ShippingCost(
        country=country,
        service="pallet freight" if freight else service,
        price=f"{price} {CURRENCY}",
        delivery_time=FREIGHT_DAYS if freight else rates.express_days if express else rates.standard_days,
        free_from=f"{rates.free_from} {CURRENCY}" if rates.free_from and not (express or freight) else None,
    )
