"""What the shop's tools answer with: flat, with plain names, so that any model can phrase them."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Self

from pydantic import BaseModel


class OrderStatus(BaseModel):
    """Where an order stands."""

    order: int
    status: str
    carrier: str | None = None
    tracking_number: str | None = None
    expected_delivery: date | None = None
    delivered_on: date | None = None
    last_scan: str | None = None
    ordered_on: date
    items: list[str]
    total: str

    @classmethod
    def of(cls, order: Mapping[str, Any]) -> Self:
        """Flatten the API's order."""
        scans = order["tracking"]
        delivered = order["delivered_on"]
        return cls(
            order=order["id"],
            status=order["state"].replace("_", " "),
            carrier=order["carrier"],
            tracking_number=order["tracking_number"],
            expected_delivery=None if delivered else order["expected_delivery"],
            delivered_on=delivered,
            last_scan=f"{scans[-1]['event']} in {scans[-1]['place']}" if scans else None,
            ordered_on=order["ordered_on"],
            items=[f"{line['quantity']} × {line['name']}" for line in order["lines"]],
            total=money(order["total"]),
        )


class ProductDetails(BaseModel):
    """A product with its price and specification."""

    product: str
    sku: str
    kind: str
    price: str
    colours: list[str]
    warranty: str
    specification: dict[str, str]
    in_stock: bool

    @classmethod
    def of(cls, product: Mapping[str, Any]) -> Self:
        """Flatten the API's product."""
        years = product["warranty_years"]
        return cls(
            product=product["name"],
            sku=product["sku"],
            kind=product["kind"],
            price=money(product["price"]),
            colours=product["colours"],
            warranty=f"{years} year{'s' if years > 1 else ''}",
            specification=product["specification"],
            in_stock=any(product["stock"].values()),
        )


class Stock(BaseModel):
    """Where a product can be had."""

    product: str
    in_stock: bool
    warehouse: int
    stores: dict[str, int]
    back_in_stock_on: date | None = None

    @classmethod
    def of(cls, stock: Mapping[str, Any]) -> Self:
        """Flatten the API's stock level."""
        return cls(
            product=stock["name"],
            in_stock=stock["warehouse"] > 0 or any(stock["stores"].values()),
            warehouse=stock["warehouse"],
            stores=stock["stores"],
            back_in_stock_on=stock["restock_on"],
        )


class FoundProducts(BaseModel):
    """The first products that fit a search, and how many fit in all."""

    found: int
    products: list[str]


class ReturnStatus(BaseModel):
    """Where a return stands."""

    return_number: int
    status: str
    order: int
    product: str
    quantity: int
    refund: str
    announced_on: date
    send_by: date | None = None
    label: str | None = None
    refunded_on: date | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Flatten the API's return."""
        open_ = entry["state"] == "announced"
        return cls(
            return_number=entry["id"],
            status=entry["state"],
            order=entry["order_id"],
            product=entry["product"],
            quantity=entry["quantity"],
            refund=money(entry["refund"]),
            announced_on=entry["announced_on"],
            send_by=entry["send_by"] if open_ else None,
            label=entry["label"] if open_ else None,
            refunded_on=entry["refunded_on"],
        )


class CustomerOrders(BaseModel):
    """A customer's orders, newest first."""

    customer: int
    orders: list[str]


class Refunds(BaseModel):
    """What has been paid back for an order."""

    order: int
    refunds: list[str]


class Cancellation(BaseModel):
    """A cancelled order and what is paid back."""

    order: int
    status: str
    refunded: str

    @classmethod
    def of(cls, order: Mapping[str, Any]) -> Self:
        """Flatten the API's order."""
        return cls(order=order["id"], status=order["state"], refunded=money(order["refunded"]))


class OrderToCancel(BaseModel):
    """What whoever agrees to a cancellation should see."""

    order: int
    customer: str
    status: str
    amount: str


class ShippingCost(BaseModel):
    """What a delivery costs and how long it takes."""

    country: str
    service: str
    price: str
    delivery_time: str
    free_from: str | None = None


def money(value: Mapping[str, str]) -> str:
    """An amount of the API as text, e.g. "129.00 EUR"."""
    return f"{value['amount']} {value['currency']}"
