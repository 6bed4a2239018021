"""The HTTP face of the shop."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse

from examples.shop.backend.catalogue import Catalogue
from examples.shop.backend.errors import ShopError
from examples.shop.backend.models import (
    Category,
    Customer,
    Order,
    Problem,
    Product,
    ProductPage,
    Refund,
    Return,
    ReturnRequest,
    StockLevel,
)
from examples.shop.backend.seed import Seed
from examples.shop.backend.store import ShopStore

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]

SHOP_DAY = date(2026, 11, 20)
"""The day on which the seed data stands still, so that the examples never go out of date."""


def create_app(*, today: Callable[[], date] = lambda: SHOP_DAY) -> FastAPI:
    """A back end with a fresh state of its own.

    Args:
        today: The shop's calendar; by default it stands still at `SHOP_DAY`.
    """
    app = FastAPI(title="Tidewell Audio back end", version="1.0.0")
    store = ShopStore(Seed.load(), today)
    app.include_router(_order_routes(store))
    app.include_router(_product_routes(store.catalogue))
    app.include_router(_return_routes(store))

    @app.exception_handler(ShopError)
    async def as_problem(_: Request, error: ShopError) -> JSONResponse:
        body = Problem(title=error.title, status=error.status, detail=str(error), code=error.code)
        return JSONResponse(body.model_dump(), status_code=error.status, media_type="application/problem+json")

    return app


def _order_routes(store: ShopStore) -> APIRouter:
    router = APIRouter(tags=["orders"], responses=_problems(404))

    @router.get("/orders/{order_id}")
    async def get_order(order_id: int) -> Order:
        """An order with its lines, state and tracking."""
        return store.order(order_id)

    @router.get("/orders/{order_id}/refunds")
    async def list_refunds(order_id: int) -> list[Refund]:
        """The refunds of an order."""
        return store.refunds_of(order_id)

    @router.post("/orders/{order_id}/cancel", responses=_problems(409, 422))
    async def cancel_order(order_id: int, idempotency_key: IdempotencyKey = None) -> Order:
        """Cancel an order that is not packed yet and refund it; twice is the same as once."""
        return store.cancel(order_id, idempotency_key)

    @router.get("/customers/{customer_id}")
    async def get_customer(customer_id: int) -> Customer:
        """A customer with level and points."""
        return store.customer(customer_id)

    @router.get("/customers/{customer_id}/orders")
    async def list_orders(customer_id: int) -> list[Order]:
        """A customer's orders, newest first."""
        return store.orders_of(customer_id)

    return router


def _product_routes(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(tags=["products"], responses=_problems(404))

    @router.get("/products")
    async def find_products(
        *,
        query: Annotated[str, Query(max_length=200)] = "",
        category: Category | None = None,
        max_price: Annotated[Decimal | None, Query(ge=0)] = None,
        in_stock: bool = False,
        cursor: Annotated[str, Query(max_length=20)] = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> ProductPage:
        """Products that contain every word of the query."""
        return catalogue.search(
            query=query, category=category, max_price=max_price, in_stock=in_stock, cursor=cursor, limit=limit
        )

    @router.get("/products/{product}")
    async def get_product(product: str) -> Product:
        """A product by SKU or name."""
        return catalogue.product(product)

    @router.get("/products/{product}/stock")
    async def get_stock(product: str) -> StockLevel:
        """What the warehouse and the stores have of a product."""
        return catalogue.stock(product)

    return router


def _return_routes(store: ShopStore) -> APIRouter:
    router = APIRouter(tags=["returns"], responses=_problems(404))

    @router.get("/returns/{return_id}")
    async def get_return(return_id: int) -> Return:
        """A return and its state."""
        return store.returned(return_id)

    @router.get("/customers/{customer_id}/returns")
    async def list_returns(customer_id: int) -> list[Return]:
        """The returns from a customer's orders, oldest first."""
        return store.returns_of(customer_id)

    @router.post("/returns", status_code=201, responses=_problems(409, 422))
    async def start_return(request: ReturnRequest, idempotency_key: IdempotencyKey = None) -> Return:
        """Announce a return; the same Idempotency-Key and body answer with the same return."""
        return store.start_return(request, idempotency_key)

    @router.post("/returns/{return_id}/receive", responses=_problems(409))
    async def receive_return(return_id: int) -> Return:
        """Book a returned parcel in at the warehouse and refund it."""
        return store.receive(return_id)

    return router


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {status: {"model": Problem} for status in statuses}
