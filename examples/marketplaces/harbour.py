"""Harbour in the words of the model: its cents, its flat fields, its key."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from cairn import HttpApi, ToolContext
from examples.marketplaces.orders import Money, Order, Refund, Status

PREFIX = "HB"

_STATUSES: dict[str, Status] = {
    "awaiting_payment": "placed",
    "paid": "placed",
    "shipped": "shipped",
    "delivered": "delivered",
    "cancelled": "cancelled",
}


class _Order(BaseModel):
    order_id: int
    status: Literal["awaiting_payment", "paid", "shipped", "delivered", "cancelled"]
    total_cents: int
    refunded_cents: int
    currency: Literal["EUR"]
    buyer_name: str


class _Refund(BaseModel):
    refund_id: int
    order_id: int
    amount_cents: int
    settled: bool


@dataclass(frozen=True)
class Harbour:
    """The marketplace behind this API, which honours ``Idempotency-Key``."""

    api: HttpApi

    async def order(self, number: str, context: ToolContext) -> Order:
        """The order with this number."""
        found = await self.api.get("/v1/orders/{number}", _Order, fields={"number": number}, context=context)
        return Order(
            id=f"{PREFIX}-{found.order_id}",
            status=_STATUSES[found.status],
            buyer=found.buyer_name,
            total=Money.of_cents(found.total_cents, found.currency),
            refunded=Money.of_cents(found.refunded_cents, found.currency),
        )

    async def refund(self, number: str, amount: Money, context: ToolContext) -> Refund:
        """Pay money back; the key of the call goes along as a header."""
        made = await self.api.post(
            "/v1/orders/{number}/refunds",
            _Refund,
            fields={"number": number},
            json={"amount_cents": amount.cents},
            context=context,
        )
        return Refund(
            id=str(made.refund_id),
            order_id=f"{PREFIX}-{made.order_id}",
            amount=Money.of_cents(made.amount_cents),
            status="settled" if made.settled else "pending",
        )
