"""Bazaar: nested, camelCase, money as decimal strings, OAuth 2, and a reference in the body that keeps refunds apart.

Run it with ``uvicorn examples.marketplaces.backends.bazaar:app --port 8102``.
"""

import hmac
import secrets
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from pydantic import BaseModel

CLIENT, SECRET = "cairn", "bazaar-4712"


class Amount(BaseModel):
    """Money as Bazaar writes it."""

    value: Decimal
    currency: str


class RefundRequest(BaseModel):
    """What a refund takes here."""

    purchaseId: str  # noqa: N815 - Bazaar's own name
    clientReference: str  # noqa: N815
    amount: Amount
    note: str = ""


class BazaarError(Exception):
    """What Bazaar says when it will not."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": {"code": code, "description": description}}


class Books:
    """What Bazaar knows: purchases, refunds by the caller's reference, and the tokens that it has given out."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()
        self.refunds: dict[str, dict[str, Any]] = {}
        self._purchases = {
            "P-2001": _purchase("P-2001", "IN_TRANSIT", "129.00", "Ada", "Brandt"),
            "P-2002": _purchase("P-2002", "OPEN", "49.50", "Ben", "Okafor"),
            "P-2003": _purchase("P-2003", "COMPLETED", "230.00", "Cleo", "Marsh"),
        }

    def purchase(self, number: str) -> dict[str, Any]:
        """The purchase, or the error that there is none."""
        if number not in self._purchases:
            raise BazaarError(404, "PURCHASE_NOT_FOUND", f"Purchase {number} does not exist.")
        return self._purchases[number]

    def refund(self, wanted: RefundRequest) -> dict[str, Any]:
        """The refund under this reference, made if it is not there yet."""
        amounts = self.purchase(wanted.purchaseId)["amounts"]
        if wanted.clientReference not in self.refunds:
            returned = Decimal(amounts["refundedTotal"]["value"]) + wanted.amount.value
            if returned > Decimal(amounts["grandTotal"]["value"]):
                raise BazaarError(422, "AMOUNT_TOO_HIGH", "The amount exceeds what was paid.")
            amounts["refundedTotal"]["value"] = f"{returned:.2f}"
            self.refunds[wanted.clientReference] = {
                "ref": f"RF-{len(self.refunds) + 1}",
                "purchaseId": wanted.purchaseId,
                "amount": {"value": f"{wanted.amount.value:.2f}", "currency": wanted.amount.currency},
                "outcome": "ACCEPTED",
            }
        return self.refunds[wanted.clientReference]


def create_app() -> FastAPI:
    """The marketplace with fresh data of its own."""
    app = FastAPI(title="Bazaar")
    books = Books()
    app.state.refunds = books.refunds

    @app.exception_handler(BazaarError)
    async def tell(_: Request, error: BazaarError) -> JSONResponse:
        return JSONResponse(error.body, error.status)

    @app.post("/oauth/token")
    async def token(client: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> dict[str, Any]:
        if client.username != CLIENT or not hmac.compare_digest(client.password.encode(), SECRET.encode()):
            raise BazaarError(401, "invalid_client", "This client is not known.")
        made = secrets.token_hex(16)
        books.tokens.add(made)
        return {"access_token": made, "token_type": "Bearer", "expires_in": 600}

    async def known(given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
        if given.credentials not in books.tokens:
            raise BazaarError(401, "UNAUTHENTICATED", "This token is not known.")

    @app.get("/api/purchases/{number}", dependencies=[Depends(known)])
    async def get_purchase(number: str) -> dict[str, Any]:
        return {"purchase": books.purchase(number)}

    @app.post("/api/refundRequests", dependencies=[Depends(known)])
    async def refund(wanted: RefundRequest) -> dict[str, Any]:
        return {"refundRequest": books.refund(wanted)}

    return app


def _purchase(number: str, state: str, total: str, first: str, last: str) -> dict[str, Any]:
    return {
        "id": number,
        "state": state,
        "buyer": {"firstName": first, "lastName": last},
        "amounts": {
            "grandTotal": {"value": total, "currency": "EUR"},
            "refundedTotal": {"value": "0.00", "currency": "EUR"},
        },
    }


app = create_app()
