"""Which returns the shop accepts."""

from datetime import date

from examples.shop.backend.errors import NotAllowedError
from examples.shop.backend.models import Order, Product, ReturnRequest
from examples.shop.policy import HYGIENE_CATEGORIES, WEARING_PARTS, return_deadline

VOLUNTARY = frozenset({"changed_mind", "does_not_fit"})
"""Reasons that give no right to a remedy; the others are the shop's fault and know no period."""


def check_return(request: ReturnRequest, order: Order, product: Product, *, business: bool, today: date) -> None:
    """Refuse a return that the handbook's chapter "Returns and refunds" does not grant.

    Raises:
        NotAllowedError: The message names the rule.
    """
    if order.delivered_on is None:
        raise NotAllowedError(f"Order {order.id} has not been delivered; it cannot be returned yet.")
    if request.reason not in VOLUNTARY:
        return
    if request.opened:
        _check_opened(request, product, business=business)
    deadline = return_deadline(
        category=product.category,
        opened=request.opened,
        business=business,
        ordered_on=order.ordered_on,
        delivered_on=order.delivered_on,
    )
    if today > deadline:
        raise NotAllowedError(f"The return period for the {product.name} of order {order.id} ended on {deadline}.")


def _check_opened(request: ReturnRequest, product: Product, *, business: bool) -> None:
    if business:
        raise NotAllowedError("Business customers cannot return an opened product unless it is faulty.")
    if product.sku in WEARING_PARTS:
        raise NotAllowedError(f"The {product.name} cannot be returned once it is opened, unless it is faulty.")
    if product.category in HYGIENE_CATEGORIES and not request.seal_unbroken:
        raise NotAllowedError(f"The hygiene seal of the {product.name} is broken; only a faulty one may go back.")
