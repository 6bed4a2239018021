"""A small shop that nobody owns, made up by rule: so that the chaos needs no data."""

from collections.abc import Sequence
from typing import Any

from evals.retail.shop import Data, Record
from evals.retail.tasks import Call, Task

CUSTOMERS = 10
_PRODUCTS = ("Lantern", "Kettle", "Satchel")
_ADDRESS = {
    "address1": "1 Mill Lane",
    "address2": "",
    "city": "Lund",
    "state": "SK",
    "country": "Sweden",
    "zip": "22100",
}


def generated() -> tuple[Data, Sequence[Task]]:
    """The shop, and one task for each customer."""
    numbers = range(CUSTOMERS)
    data = {
        "products": {f"p{number}": _product(number, name) for number, name in enumerate(_PRODUCTS)},
        "users": {f"user_{number}": _user(number) for number in numbers},
        "orders": {
            order["order_id"]: order
            for number in numbers
            for order in (_order(number, "A", "pending"), _order(number, "B", "delivered"))
        },
    }
    return data, [_task(number) for number in numbers]


def _product(number: int, name: str) -> Record:
    variants = {
        f"i{number}{size}": {
            "item_id": f"i{number}{size}",
            "options": {"size": str(size)},
            "available": True,
            "price": 10.0 * (number + 1) + size,
        }
        for size in range(3)
    }
    return {"name": name, "product_id": f"p{number}", "variants": variants}


def _user(number: int) -> Record:
    return {
        "user_id": f"user_{number}",
        "name": {"first_name": "Guest", "last_name": f"No{number}"},
        "address": _ADDRESS,
        "email": f"guest{number}@shop.example",
        "payment_methods": {
            f"gift_{number}": {"source": "gift_card", "id": f"gift_{number}", "balance": 500.0},
            f"card_{number}": {"source": "credit_card", "id": f"card_{number}"},
        },
        "orders": [f"#{number}A", f"#{number}B"],
    }


def _order(number: int, letter: str, status: str) -> Record:
    items = [
        {
            "name": name,
            "product_id": f"p{index}",
            "item_id": f"i{index}0",
            "price": 10.0 * (index + 1),
            "options": {"size": "0"},
        }
        for index, name in enumerate(_PRODUCTS)
    ]
    paid = {"transaction_type": "payment", "amount": 60.0, "payment_method_id": f"gift_{number}"}
    return {
        "order_id": f"#{number}{letter}",
        "user_id": f"user_{number}",
        "address": _ADDRESS,
        "items": items,
        "status": status,
        "fulfillments": [],
        "payment_history": [paid],
    }


def _task(number: int) -> Task:
    pending, delivered, gift = f"#{number}A", f"#{number}B", f"gift_{number}"
    swap = {"item_ids": ["i00"], "new_item_ids": ["i01"], "payment_method_id": gift}
    on_pending: tuple[str, dict[str, Any]] = (
        ("cancel_pending_order", {"reason": "no longer needed"}),
        ("modify_pending_order_items", swap),
        ("modify_pending_order_payment", {"payment_method_id": f"card_{number}"}),
        ("modify_pending_order_address", {**_ADDRESS, "address1": "2 Mill Lane"}),
    )[number % 4]
    on_delivered: tuple[str, dict[str, Any]] = (
        ("exchange_delivered_order_items", swap),
        ("return_delivered_order_items", {"item_ids": ["i10", "i20"], "payment_method_id": gift}),
    )[number % 2]
    calls = [
        Call("find_user_id_by_email", {"email": f"guest{number}@shop.example"}),
        Call("get_order_details", {"order_id": pending}),
        Call(on_pending[0], {"order_id": pending, **on_pending[1]}),
        Call(on_delivered[0], {"order_id": delivered, **on_delivered[1]}),
        Call("modify_user_address", {"user_id": f"user_{number}", **_ADDRESS, "address1": "3 Mill Lane"}),
    ]
    return Task(f"{number}", f"I am guest {number}; please see to my orders.", calls)
