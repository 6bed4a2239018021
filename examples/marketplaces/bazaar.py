"""Bazaar in the words of the model: its nested names, its decimal strings, its tokens."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from cairn import HttpApi, ToolContext
from examples.marketplaces.orders import Money, Order, Refund, Status

PREFIX = "BZ"

_STATUSES: dict[str, Status] = {
    "OPEN": "placed",
    "IN_TRANSIT": "shipped",
    "COMPLETED": "delivered",
    "CLOSED": "cancelled",
}


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class _Amount(_Camel):
    value: Decimal
    currency: Literal["EUR"]

    @property
    def money(self) -> Money:
        return Money(amount=self.value, currency=self.currency)


class _Buyer(_Camel):
    first_name: str
    last_name: str


class _Amounts(_Camel):
    grand_total: _Amount
    refunded_total: _Amount


class _Purchase(_Camel):
    id: str
    state: Literal["OPEN", "IN_TRANSIT", "COMPLETED", "CLOSED"]
    buyer: _Buyer
    amounts: _Amounts


class _PurchaseAnswer(_Camel):
    purchase: _Purchase


class _Refund(_Camel):
    ref: str
    purchase_id: str
    amount: _Amount
    outcome: Literal["ACCEPTED", "PAID_OUT"]


class _RefundAnswer(_Camel):
    refund_request: _Refund


@dataclass(frozen=True)
class Bazaar:
    """The marketplace behind this API, which knows a refund again by its ``clientReference``."""

    api: HttpApi

    async def order(self, number: str, context: ToolContext) -> Order:
        """The order with this number."""
        path = {"purchase_id": f"P-{number}"}
        answer = await self.api.get("/api/purchases/{purchase_id}", _PurchaseAnswer, fields=path, context=context)
        found = answer.purchase
        return Order(
            id=_canonical(found.id),
            status=_STATUSES[found.state],
            buyer=f"{found.buyer.first_name} {found.buyer.last_name}",
            total=found.amounts.grand_total.money,
            refunded=found.amounts.refunded_total.money,
        )

    async def refund(self, number: str, amount: Money, context: ToolContext) -> Refund:
        """Pay money back; the key of the call goes along in the body."""
        body = {
            "purchaseId": f"P-{number}",
            "clientReference": context.idempotency_key,
            "amount": {"value": f"{amount.amount:.2f}", "currency": amount.currency},
        }
        answer = await self.api.post("/api/refundRequests", _RefundAnswer, json=body, context=context)
        made = answer.refund_request
        return Refund(
            id=made.ref,
            order_id=_canonical(made.purchase_id),
            amount=made.amount.money,
            status="settled" if made.outcome == "PAID_OUT" else "pending",
        )


def _canonical(purchase_id: str) -> str:
    return f"{PREFIX}-{purchase_id.removeprefix('P-')}"
