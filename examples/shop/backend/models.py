"""What the back end stores and speaks. Money is a decimal string with its currency; days are ISO dates."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from examples.shop.policy import CURRENCY, Country

OrderState = Literal["awaiting_payment", "processing", "packed", "shipped", "delivered", "cancelled"]
ReturnState = Literal["announced", "received", "refunded", "refused"]
ReturnReason = Literal["changed_mind", "faulty", "wrong_item", "damaged_in_transit", "does_not_fit"]
Store = Literal["Cork", "Dublin", "Galway", "Utrecht"]
Category = Literal["headphones", "earphones", "portable speakers", "loudspeakers", "active speakers", "soundbars",
                   "turntables", "electronics", "accessories"]  # fmt: skip


class Model(BaseModel):
    """Base of every shape: unknown fields are refused, values are never changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Money(Model):
    """An amount and its currency, e.g. {"amount": "129.00", "currency": "EUR"}."""

    amount: Annotated[Decimal, Field(max_digits=10, decimal_places=2)]
    currency: Literal["EUR"] = CURRENCY


class Customer(Model):
    """A person or a company that buys."""

    id: int
    name: str
    email: str
    city: str
    country: Country
    level: Literal["Ripple", "Current", "Swell"]
    points: int
    business: bool = False
    since: date


class Product(Model):
    """A product with its specification."""

    sku: str
    name: str
    kind: str
    category: Category
    price: Money
    weight_kg: Decimal
    warranty_years: int
    colours: tuple[str, ...]
    specification: dict[str, str]
    stock: dict[Literal["warehouse", "Cork", "Dublin", "Galway", "Utrecht"], int]
    restock_on: date | None = None


class OrderLine(Model):
    """So many of one product at the price of that day."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1)]
    unit_price: Money


class TrackingEvent(Model):
    """One scan by the carrier."""

    at: datetime
    place: str
    event: str


class Order(Model):
    """An order; `carrier` and what follows are set once it has been shipped."""

    id: int
    customer_id: int
    state: OrderState
    ordered_on: date
    lines: tuple[OrderLine, ...]
    shipping: Money
    total: Money
    payment: Literal["card", "PayPal", "bank transfer", "invoice", "split"]
    country: Country
    express: bool = False
    carrier: str | None = None
    tracking_number: str | None = None
    shipped_on: date | None = None
    expected_delivery: date | None = None
    delivered_on: date | None = None
    cancelled_on: date | None = None
    refunded: Money | None = None
    """What its cancellation paid back."""
    tracking: tuple[TrackingEvent, ...] = ()


class ReturnRequest(Model):
    """What a customer sends to announce a return."""

    order_id: int
    sku: Annotated[str, Field(min_length=1, max_length=20)]
    quantity: Annotated[int, Field(ge=1, le=100)] = 1
    reason: ReturnReason
    opened: bool
    seal_unbroken: bool = True
    """Whether the hygiene seal of headphones or earphones is unbroken."""
    comment: Annotated[str, Field(max_length=1000)] = ""


class Return(Model):
    """A return that the shop has accepted; `refund` is what the customer gets back when it arrives in order."""

    id: int
    order_id: int
    sku: str
    product: str
    quantity: int
    reason: ReturnReason
    state: ReturnState
    announced_on: date
    send_by: date
    refund: Money
    label: str
    refunded_on: date | None = None


class Refund(Model):
    """Money on its way back to the customer."""

    id: int
    order_id: int
    return_id: int | None
    amount: Money
    method: str
    issued_on: date


class StockLevel(Model):
    """How many of a product can be sent or fetched."""

    sku: str
    name: str
    warehouse: int
    stores: dict[Store, int]
    restock_on: date | None


class ProductPage(Model):
    """One page of a product search; pass `next_cursor` as `cursor` for the next one."""

    items: tuple[Product, ...]
    total: int
    next_cursor: str | None


class Problem(BaseModel):
    """An error as RFC 9457 problem details, with a stable `code`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
