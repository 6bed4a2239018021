"""The shop's memory: seeded from `data.json`, changed under one lock, gone with the process."""

import threading
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal

from examples.shop.backend.catalogue import Catalogue
from examples.shop.backend.errors import NotAllowedError, NotFoundError
from examples.shop.backend.models import Customer, Money, Order, Refund, Return, ReturnRequest
from examples.shop.backend.replies import Replies
from examples.shop.backend.rules import check_return
from examples.shop.backend.seed import Seed

CANCELLABLE = frozenset({"awaiting_payment", "processing"})
SEND_WITHIN = timedelta(days=14)


class ShopStore:
    """Orders, returns and refunds, and what may be done with them.

    Safe to share between threads. Every change is all or nothing.

    Args:
        seed: The state to start from.
        today: The shop's calendar.

    Attributes:
        catalogue: The products and their stock.
    """

    def __init__(self, seed: Seed, today: Callable[[], date]) -> None:
        self._today = today
        self._lock = threading.Lock()
        self.catalogue = Catalogue(seed.products)
        self._customers = {customer.id: customer for customer in seed.customers}
        self._orders = {order.id: order for order in seed.orders}
        self._returns = {entry.id: entry for entry in seed.returns}
        self._refunds = {refund.id: refund for refund in seed.refunds}
        self._replies = Replies()

    def customer(self, customer_id: int) -> Customer:
        """The customer of that number.

        Raises:
            NotFoundError: There is none.
        """
        if found := self._customers.get(customer_id):
            return found
        raise NotFoundError(f"There is no customer {customer_id}.")

    def order(self, order_id: int) -> Order:
        """The order of that number.

        Raises:
            NotFoundError: There is none.
        """
        if found := self._orders.get(order_id):
            return found
        raise NotFoundError(f"There is no order {order_id}.")

    def orders_of(self, customer_id: int) -> list[Order]:
        """A customer's orders, newest first.

        Raises:
            NotFoundError: There is no such customer.
        """
        self.customer(customer_id)
        return [order for order in reversed(self._orders.values()) if order.customer_id == customer_id]

    def returns_of(self, customer_id: int) -> list[Return]:
        """The returns from a customer's orders, oldest first.

        Raises:
            NotFoundError: There is no such customer.
        """
        orders = {order.id for order in self.orders_of(customer_id)}
        return [entry for entry in self._returns.values() if entry.order_id in orders]

    def returned(self, return_id: int) -> Return:
        """The return of that number.

        Raises:
            NotFoundError: There is none.
        """
        if found := self._returns.get(return_id):
            return found
        raise NotFoundError(f"There is no return {return_id}.")

    def refunds_of(self, order_id: int) -> list[Refund]:
        """The refunds of an order, oldest first.

        Raises:
            NotFoundError: There is no such order.
        """
        self.order(order_id)
        return [refund for refund in self._refunds.values() if refund.order_id == order_id]

    def cancel(self, order_id: int, key: str | None) -> Order:
        """Cancel an order that is not packed yet, give its stock back and refund what was paid.

        Cancelling a cancelled order changes nothing and answers with the order.

        Raises:
            KeyReusedError: `key` was used for another request.
            NotFoundError: There is no such order.
            NotAllowedError: The order is packed, shipped or delivered.
        """
        with self._lock:
            return self._replies.once(key, ("cancel", order_id), lambda: self._cancel(order_id))

    def start_return(self, request: ReturnRequest, key: str | None) -> Return:
        """Announce a return; the same `key` with the same request answers with the same return.

        Raises:
            KeyReusedError: `key` was used for another request.
            NotFoundError: There is no such order, or the product is not part of it.
            NotAllowedError: The shop's rules forbid it; the message names the rule.
        """
        with self._lock:
            return self._replies.once(key, request, lambda: self._announce(request))

    def receive(self, return_id: int) -> Return:
        """Book a returned parcel in at the warehouse and refund it; twice is the same as once.

        Raises:
            NotFoundError: There is no such return.
            NotAllowedError: The return was refused.
        """
        with self._lock:
            entry = self.returned(return_id)
            if entry.state == "refunded":
                return entry
            if entry.state == "refused":
                raise NotAllowedError(f"Return {return_id} was refused.")
            self._refund(self.order(entry.order_id), entry.refund, return_id)
            done = entry.model_copy(update={"state": "refunded", "refunded_on": self._today()})
            self._returns[return_id] = done
            return done

    def _cancel(self, order_id: int) -> Order:
        order = self.order(order_id)
        if order.state == "cancelled":
            return order
        if order.state not in CANCELLABLE:
            raise NotAllowedError(f"Order {order_id} is already {order.state} and cannot be cancelled any more.")
        paid = order.state != "awaiting_payment"
        if paid:
            self._refund(order, order.total)
        for line in order.lines:
            self.catalogue.restock(line.sku, line.quantity)
        refunded = order.total if paid else Money(amount=Decimal("0.00"))
        changes = {"state": "cancelled", "cancelled_on": self._today(), "refunded": refunded}
        self._orders[order_id] = order.model_copy(update=changes)
        return self._orders[order_id]

    def _announce(self, request: ReturnRequest) -> Return:
        order = self.order(request.order_id)
        line = next((line for line in order.lines if line.sku == request.sku), None)
        if line is None:
            raise NotFoundError(f"Order {order.id} does not contain {request.sku}.")
        already = _quantity(
            entry for entry in self._returns.values() if (entry.order_id, entry.sku) == (order.id, line.sku)
        )
        if already + request.quantity > line.quantity:
            raise NotAllowedError(f"Order {order.id} has {line.quantity - already} × {line.name} left to return.")
        today = self._today()
        customer = self.customer(order.customer_id)
        check_return(request, order, self.catalogue.product(line.sku), business=customer.business, today=today)
        number = max(self._returns, default=5000) + 1
        entry = Return(
            id=number,
            order_id=order.id,
            sku=line.sku,
            product=line.name,
            quantity=request.quantity,
            reason=request.reason,
            state="announced",
            announced_on=today,
            send_by=today + SEND_WITHIN,
            refund=Money(amount=line.unit_price.amount * request.quantity),
            label=f"RL-{number}-{order.id}",
        )
        self._returns[entry.id] = entry
        return entry

    def _refund(self, order: Order, amount: Money, return_id: int | None = None) -> None:
        number = max(self._refunds, default=7000) + 1
        self._refunds[number] = Refund(
            id=number,
            order_id=order.id,
            return_id=return_id,
            amount=amount,
            method=order.payment,
            issued_on=self._today(),
        )


def _quantity(returns: Iterable[Return]) -> int:
    return sum(entry.quantity for entry in returns if entry.state != "refused")
