"""On whose behalf a tool acts: for a customer it sees that customer's orders and returns, for staff all of them.

What is another's is not there for a customer, and the shop is not even asked for it: the answer is that for a number
that nobody has.
"""

from typing import Annotated, Any, Literal

from cairn import FromPrincipal, ToolError
from examples.shop.client import ShopClient

STAFF = "staff"

Asker = Annotated[int | Literal["staff"], FromPrincipal("customer", admin=STAFF)]
"""The customer number of the key that asks; administrators, and whoever sits at the machine, are the shop's staff."""


async def order_for(asker: int | str, shop: ShopClient, order_id: int) -> Any:
    """An order that the asker may see.

    Raises:
        ToolError: There is none of that number for the asker.
    """
    if asker == STAFF:
        return await shop.get(f"/orders/{order_id}")
    return _own(await shop.get(f"/customers/{asker}/orders"), order_id, "order")


async def return_for(asker: int | str, shop: ShopClient, return_id: int) -> Any:
    """A return that the asker may see.

    Raises:
        ToolError: There is none of that number for the asker.
    """
    if asker == STAFF:
        return await shop.get(f"/returns/{return_id}")
    return _own(await shop.get(f"/customers/{asker}/returns"), return_id, "return")


async def orders_for(asker: int | str, shop: ShopClient, customer_id: int) -> Any:
    """The orders of a customer whom the asker may see.

    Raises:
        ToolError: There is no such customer for the asker.
    """
    if asker not in (STAFF, customer_id):
        raise ToolError(f"There is no customer {customer_id}.")
    return await shop.get(f"/customers/{customer_id}/orders")


def _own(entries: list[Any], number: int, what: str) -> Any:
    found = next((entry for entry in entries if entry["id"] == number), None)
    if found is None:
        raise ToolError(f"There is no {what} {number}.")
    return found
