"""The tools, written once: an order's prefix says which marketplace has it, and nothing else here differs by that."""

import os
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from cairn import ApiKey, ApiRefused, HttpApi, OAuth2, ToolContext, ToolError, tool
from examples.marketplaces import bazaar, harbour
from examples.marketplaces.bazaar import Bazaar
from examples.marketplaces.harbour import Harbour
from examples.marketplaces.orders import Market, Money, Order, Refund

_HARBOUR = os.environ.get("HARBOUR_URL", "http://127.0.0.1:8101")
_BAZAAR = os.environ.get("BAZAAR_URL", "http://127.0.0.1:8102")

MARKETS: dict[str, Market] = {
    harbour.PREFIX: Harbour(
        HttpApi(
            _HARBOUR,
            auth=ApiKey(os.environ.get("HARBOUR_KEY", "harbour-4711"), name="X-Harbour-Key"),
            honours_idempotency_key=True,
            rate="20/second",
        )
    ),
    bazaar.PREFIX: Bazaar(
        HttpApi(
            _BAZAAR,
            auth=OAuth2(f"{_BAZAAR}/oauth/token", "cairn", os.environ.get("BAZAAR_SECRET", "bazaar-4712")),
            rate=("10/second", "5000/day"),
        )
    ),
}

OrderId = Annotated[
    str,
    Field(
        pattern=r"^(HB|BZ)-[0-9]{1,9}$",
        description="The order's number: HB-1001 was placed at Harbour, BZ-2001 at Bazaar",
    ),
]
Euros = Annotated[float, Field(gt=0, le=10_000, multiple_of=0.01, description="How much is paid back, in euros")]


@tool(
    examples=(
        "Where is order HB-1001?",
        "What is the state of order BZ-2001?",
        "Has order BZ-2003 been delivered?",
    )
)
async def find_order(order_id: OrderId, context: ToolContext) -> Order:
    """Look up an order: its state, its buyer, what was paid and what was paid back."""
    return await _order(order_id, context)


async def refundable(order_id: str, amount: float, context: ToolContext) -> Order:
    """The order as it stands, if so much of it can be paid back: read before anybody decides, and again after.

    Raises:
        ToolError: It cannot.
    """
    order = await _order(order_id, context)
    if order.status == "cancelled":
        raise ToolError(f"Order {order_id} was cancelled.")
    if _money(amount).amount > order.refundable:
        raise ToolError(f"Only {order.refundable} {order.total.currency} of order {order_id} can be paid back.")
    return order


@tool(
    effect="write",
    autonomy="auto",
    idempotent=True,
    verify=refundable,
    examples=(
        "Refund 20 euros of order HB-1001.",
        "Please refund 35.50 euros for order BZ-2001.",
        "Pay back 80 euros of order HB-1003.",
    ),
)
async def refund_order(order_id: OrderId, amount: Euros, context: ToolContext) -> Refund:
    """Refund an order: pay some or all of its money back."""
    market, number = _place(order_id)
    return await market.refund(number, _money(amount), context)


async def _order(order_id: str, context: ToolContext) -> Order:
    market, number = _place(order_id)
    try:
        return await market.order(number, context)
    except ApiRefused as refused:
        if refused.status == 404:
            raise ToolError(f"There is no order {order_id}.") from None
        raise


def _place(order_id: str) -> tuple[Market, str]:
    prefix, _, number = order_id.partition("-")
    return MARKETS[prefix], number


def _money(euros: float) -> Money:
    return Money(amount=Decimal(str(euros)).quantize(Decimal("0.01")))
