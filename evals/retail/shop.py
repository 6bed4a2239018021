"""A retail shop: its data, and what may be done with an order. Source of the rules: the policy beside tau2's data."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

Record = dict[str, Any]
Data = Mapping[str, Mapping[str, Record]]


class Refused(Exception):
    """The shop will not do it, and has done nothing."""


class World:
    """One state of the shop: the data it began with, and a copy of all that was changed since."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._changed: dict[tuple[str, str], Record] = {}
        self._transfers: list[str] = []

    def state(self) -> Record:
        """All that differs from the beginning."""
        changed = {
            f"{kind}/{key}": record
            for (kind, key), record in self._changed.items()
            if record != self._data[kind].get(key)
        }
        return {**changed, "transfers": self._transfers}

    def find_user_id_by_email(self, email: str) -> Record:
        return self._user_where(lambda user: user["email"].lower() == email.lower())

    def find_user_id_by_name_zip(self, first_name: str, last_name: str, zip: str) -> Record:  # noqa: A002 - the data's name
        def fits(user: Record) -> bool:
            name = (user["name"]["first_name"].lower(), user["name"]["last_name"].lower())
            return name == (first_name.lower(), last_name.lower()) and user["address"]["zip"] == zip

        return self._user_where(fits)

    def get_user_details(self, user_id: str) -> Record:
        return self._read("users", user_id)

    def get_order_details(self, order_id: str) -> Record:
        return self._read("orders", order_id)

    def get_product_details(self, product_id: str) -> Record:
        return self._read("products", product_id)

    def get_item_details(self, item_id: str) -> Record:
        return self._variant(item_id)[1]

    def list_all_product_types(self) -> Record:
        return {product["name"]: key for key, product in sorted(self._data["products"].items())}

    def calculate(self, expression: str) -> Record:
        return {"result": f"{_value(ast.parse(expression.strip(), mode='eval').body):.2f}"}

    def transfer_to_human_agents(self, summary: str) -> Record:
        self._transfers.append(summary)
        return {"transferred": True}

    def cancel_pending_order(self, order_id: str, reason: Literal["no longer needed", "ordered by mistake"]) -> Record:
        order = self._order(order_id, "pending")
        refunds = [
            {**paid, "transaction_type": "refund"}
            for paid in order["payment_history"]
            if paid["transaction_type"] == "payment"
        ]
        for refund in refunds:
            self._credit(order["user_id"], refund["payment_method_id"], refund["amount"])
        order = self._change("orders", order_id)
        order["status"], order["cancel_reason"] = "cancelled", reason
        order["payment_history"] += refunds
        return order

    def modify_pending_order_address(
        self,
        order_id: str,
        address1: str,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,  # noqa: A002
    ) -> Record:
        self._order(order_id, "pending")
        order = self._change("orders", order_id)
        order["address"] = _address(address1, address2, city, state, country, zip)
        return order

    def modify_user_address(
        self,
        user_id: str,
        address1: str,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,  # noqa: A002
    ) -> Record:
        user = self._change("users", user_id)
        user["address"] = _address(address1, address2, city, state, country, zip)
        return user

    def modify_pending_order_payment(self, order_id: str, payment_method_id: str) -> Record:
        order = self._order(order_id, "pending")
        method = self._method(order["user_id"], payment_method_id)
        history = order["payment_history"]
        if len(history) != 1 or history[0]["payment_method_id"] == payment_method_id:
            raise Refused("the order must have one payment, by another method")
        paid = history[0]
        if method["source"] == "gift_card" and method["balance"] < paid["amount"]:
            raise Refused("the gift card has not enough on it")
        self._credit(order["user_id"], payment_method_id, -paid["amount"])
        self._credit(order["user_id"], paid["payment_method_id"], paid["amount"])
        order = self._change("orders", order_id)
        order["payment_history"] += [
            {"transaction_type": "payment", "amount": paid["amount"], "payment_method_id": payment_method_id},
            {**paid, "transaction_type": "refund"},
        ]
        return order

    def modify_pending_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> Record:
        order = self._order(order_id, "pending")
        difference = self._swap_difference(order, item_ids, new_item_ids)
        self._afford(order["user_id"], payment_method_id, difference)
        self._credit(order["user_id"], payment_method_id, -difference)
        order = self._change("orders", order_id)
        for old, new in zip(item_ids, new_item_ids, strict=True):
            item = next(item for item in order["items"] if item["item_id"] == old)
            variant = self._variant(new)[1]
            item.update(item_id=new, price=variant["price"], options=variant["options"])
        if difference:
            order["payment_history"].append(
                {
                    "transaction_type": "payment" if difference > 0 else "refund",
                    "amount": abs(difference),
                    "payment_method_id": payment_method_id,
                }
            )
        order["status"] = "pending (item modified)"
        return order

    def return_delivered_order_items(self, order_id: str, item_ids: list[str], payment_method_id: str) -> Record:
        order = self._order(order_id, "delivered")
        method = self._method(order["user_id"], payment_method_id)
        if method["source"] != "gift_card" and payment_method_id != order["payment_history"][0]["payment_method_id"]:
            raise Refused("the refund goes to the original payment method or to a gift card")
        _require(order, item_ids)
        order = self._change("orders", order_id)
        order.update(
            status="return requested", return_items=sorted(item_ids), return_payment_method_id=payment_method_id
        )
        return order

    def exchange_delivered_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> Record:
        order = self._order(order_id, "delivered")
        difference = self._swap_difference(order, item_ids, new_item_ids)
        self._afford(order["user_id"], payment_method_id, difference)
        order = self._change("orders", order_id)
        order.update(
            status="exchange requested",
            exchange_items=sorted(item_ids),
            exchange_new_items=sorted(new_item_ids),
            exchange_payment_method_id=payment_method_id,
            exchange_price_difference=difference,
        )
        return order

    def _read(self, kind: str, key: str) -> Record:
        record = self._changed.get((kind, key)) or self._data[kind].get(key)
        if record is None:
            raise Refused(f"there is no {key} among the {kind}")
        return record

    def _change(self, kind: str, key: str) -> Record:
        return self._changed.setdefault((kind, key), deepcopy(self._read(kind, key)))

    def _user_where(self, fits: Callable[[Record], bool]) -> Record:
        for key in self._data["users"]:
            if fits(self._read("users", key)):
                return {"user_id": key}
        raise Refused("there is no such user")

    def _order(self, order_id: str, status: str) -> Record:
        order = self._read("orders", order_id)
        if order["status"] != status:
            raise Refused(f"the order is {order['status']}, not {status}")
        return order

    def _variant(self, item_id: str) -> tuple[str, Record]:
        for key, product in self._data["products"].items():
            if item_id in product["variants"]:
                return key, product["variants"][item_id]
        raise Refused(f"there is no item {item_id}")

    def _method(self, user_id: str, payment_method_id: str) -> Record:
        method: Record | None = self._read("users", user_id)["payment_methods"].get(payment_method_id)
        if method is None:
            raise Refused(f"the user has no payment method {payment_method_id}")
        return method

    def _swap_difference(self, order: Record, item_ids: Sequence[str], new_item_ids: Sequence[str]) -> float:
        if len(item_ids) != len(new_item_ids):
            raise Refused("as many new items are needed as old ones")
        _require(order, item_ids)
        difference = 0.0
        for old, new in zip(item_ids, new_item_ids, strict=True):
            item = next(item for item in order["items"] if item["item_id"] == old)
            product, variant = self._variant(new)
            if product != item["product_id"] or not variant["available"]:
                raise Refused(f"item {new} is not available as another variant of {old}")
            difference += variant["price"] - item["price"]
        return round(difference, 2)

    def _afford(self, user_id: str, payment_method_id: str, amount: float) -> None:
        method = self._method(user_id, payment_method_id)
        if method["source"] == "gift_card" and method["balance"] < amount:
            raise Refused("the gift card has not enough on it")

    def _credit(self, user_id: str, payment_method_id: str, amount: float) -> None:
        if self._method(user_id, payment_method_id)["source"] == "gift_card":
            method = self._change("users", user_id)["payment_methods"][payment_method_id]
            method["balance"] = round(method["balance"] + amount, 2)


READS: tuple[str, ...] = (
    "find_user_id_by_email",
    "find_user_id_by_name_zip",
    "get_user_details",
    "get_order_details",
    "get_product_details",
    "get_item_details",
    "list_all_product_types",
    "calculate",
)
WRITES: tuple[str, ...] = (
    "transfer_to_human_agents",
    "cancel_pending_order",
    "modify_pending_order_address",
    "modify_user_address",
    "modify_pending_order_payment",
    "modify_pending_order_items",
    "return_delivered_order_items",
    "exchange_delivered_order_items",
)


def _require(order: Record, item_ids: Sequence[str]) -> None:
    held = [item["item_id"] for item in order["items"]]
    for item_id in set(item_ids):
        if list(item_ids).count(item_id) > held.count(item_id):
            raise Refused(f"the order has not so many of item {item_id}")


def _address(address1: str, address2: str, city: str, state: str, country: str, zip_code: str) -> Record:
    return {
        "address1": address1,
        "address2": address2,
        "city": city,
        "state": state,
        "country": country,
        "zip": zip_code,
    }


_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand))
    raise Refused("only numbers and + - * / are worked out")
