"""Harbour: flat, snake_case, money in cents, an API key, and an ``Idempotency-Key`` that it honours.

Run it with ``uvicorn examples.marketplaces.backends.harbour:app --port 8101``.
"""

import hmac
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field

KEY = "harbour-4711"


class RefundOrder(BaseModel):
    """What a refund takes here."""

    amount_cents: Annotated[int, Field(gt=0)]
    reason: str = ""


def _clerk(key: Annotated[str, Depends(APIKeyHeader(name="X-Harbour-Key"))]) -> None:
    if not hmac.compare_digest(key.encode(), KEY.encode()):
        raise HTTPException(401, "This key is not known.")


def create_app() -> FastAPI:
    """The marketplace with fresh data of its own."""
    app = FastAPI(title="Harbour", dependencies=[Depends(_clerk)])
    orders: dict[int, dict[str, Any]] = {
        1001: _order(1001, "shipped", 12_900, "Ada Brandt"),
        1002: _order(1002, "awaiting_payment", 4_950, "Ben Okafor"),
        1003: _order(1003, "delivered", 23_000, "Cleo Marsh"),
    }
    refunds: dict[str, dict[str, Any]] = {}
    app.state.refunds = refunds

    @app.get("/v1/orders/{number}")
    async def get_order(number: int) -> dict[str, Any]:
        if number not in orders:
            raise HTTPException(404, f"no order {number}")
        return orders[number]

    @app.post("/v1/orders/{number}/refunds", status_code=201)
    async def refund(number: int, wanted: RefundOrder, idempotency_key: Annotated[str, Header()]) -> dict[str, Any]:
        order = await get_order(number)
        if idempotency_key in refunds:
            return refunds[idempotency_key]
        if order["refunded_cents"] + wanted.amount_cents > order["total_cents"]:
            raise HTTPException(422, "more than was paid")
        order["refunded_cents"] += wanted.amount_cents
        made = {
            "refund_id": 9000 + len(refunds),
            "order_id": number,
            "amount_cents": wanted.amount_cents,
            "settled": True,
        }
        refunds[idempotency_key] = made
        return made

    return app


def _order(number: int, status: str, cents: int, buyer: str) -> dict[str, Any]:
    return {
        "order_id": number,
        "status": status,
        "total_cents": cents,
        "refunded_cents": 0,
        "currency": "EUR",
        "buyer_name": buyer,
    }


app = create_app()
