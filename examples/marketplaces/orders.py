"""What an order is, whichever marketplace it was placed at: the one model that tools, policy and people see."""

from decimal import Decimal
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from cairn import ToolContext

Status = Literal["placed", "shipped", "delivered", "cancelled"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Money(_Frozen):
    """An amount of money."""

    amount: Annotated[Decimal, Field(decimal_places=2)]
    currency: Literal["EUR"] = "EUR"

    @classmethod
    def of_cents(cls, cents: int, currency: Literal["EUR"] = "EUR") -> Self:
        """So many hundredths."""
        return cls(amount=Decimal(cents).scaleb(-2), currency=currency)

    @property
    def cents(self) -> int:
        """The amount in hundredths."""
        return int(self.amount.scaleb(2))


class Order(_Frozen):
    """An order as it stands in the marketplace's own record."""

    id: str
    status: Status
    buyer: str
    total: Money
    refunded: Money

    @property
    def refundable(self) -> Decimal:
        """What can still be paid back."""
        return self.total.amount - self.refunded.amount


class Refund(_Frozen):
    """Money that was paid back, or will be."""

    id: str
    order_id: str
    amount: Money
    status: Literal["settled", "pending"]


class Market(Protocol):
    """A marketplace, in the words of this model."""

    async def order(self, number: str, context: ToolContext) -> Order:
        """The order with this number, which has no prefix here.

        Raises:
            ApiRefused: With the status 404 when there is none.
        """
        ...

    async def refund(self, number: str, amount: Money, context: ToolContext) -> Refund:
        """Pay money back, once for all attempts at one call.

        Raises:
            ApiRefused: The marketplace will not.
        """
        ...
