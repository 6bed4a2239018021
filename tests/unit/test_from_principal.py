"""Arguments that are filled from who asks: no model sees them, gives them, or changes them."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from cairn import NOT_DONE, FromPrincipal, NotDone, ToolContext, ToolError, tool
from models.messages import ToolCall
from records.principal import LOCAL, Principal
from tests.support.context import CONTEXT
from tools.errors import ToolDefinitionError
from tools.results import ToolResult
from tools.toolset import CheckedCall, Toolset, coerce

Customer = Annotated[int, FromPrincipal("id")]

ADA = Principal(tenant="acme", id="201")
BEN = Principal(tenant="acme", id="202")
NOBODY = Principal(tenant="acme", id=" ")


def asked_by(principal: Principal) -> ToolContext:
    return replace(CONTEXT, principal=principal)


def find_orders(product: str, customer: Customer) -> list[Any]:
    """Find orders."""
    return [product, customer]


async def find_orders_later(product: str, customer: Customer) -> list[Any]:
    """Find orders."""
    return [product, customer]


class FindOrders:
    """Find orders."""

    def __call__(self, product: str, customer: Customer) -> list[Any]:
        return [product, customer]


async def own_order(order: int, customer: Customer) -> dict[str, Any]:
    if customer != 201:
        raise ToolError(f"There is no order {order}.")
    return {"owner": customer}


def was_cancelled(customer: Customer) -> Any:
    return f"cancelled for {customer}" if customer == 201 else NOT_DONE


@tool(effect="write", verify=own_order, reconcile=was_cancelled)
def cancel(order: int, customer: Customer) -> str:
    """Cancel an order."""
    return f"{order} of {customer}"


def ways() -> list[Any]:
    inline = [tool(find_orders), tool(find_orders_later), tool(FindOrders)]
    return [coerce(each) for each in inline] + [
        coerce(tool(isolation="process")(each)) for each in (find_orders, find_orders_later, FindOrders)
    ]


WAYS = pytest.mark.parametrize("made", ways(), ids=lambda made: f"{made.name}-{made.isolation}")


@WAYS
async def test_a_marked_argument_is_who_asks_however_the_tool_is_made(made: Any) -> None:
    assert (await made.call({"product": "cable"}, asked_by(ADA))).value == ["cable", 201]
    assert (await made.call({"product": "cable"}, asked_by(BEN))).value == ["cable", 202]


@WAYS
async def test_what_stood_in_its_place_is_gone_when_the_tool_is_called(made: Any) -> None:
    assert (await made.call({"product": "cable", "customer": 202}, asked_by(ADA))).value == ["cable", 201]


@WAYS
def test_the_model_neither_sees_it_nor_may_give_it(made: Any) -> None:
    assert list(made.spec.parameters["properties"]) == made.spec.parameters["required"] == ["product"]
    given = Toolset([made]).check(
        ToolCall(id="1", name=made.name, arguments='{"product": "cable", "customer": 201}'), ADA
    )
    assert isinstance(given, ToolResult)
    assert (given.failure, "customer: no such argument" in given.content) == ("invalid_arguments", True)


@WAYS
async def test_who_lacks_it_is_refused_and_told_what_is_missing(made: Any) -> None:
    result = await made.call({"product": "cable"}, asked_by(NOBODY))
    assert (result.failure, result.value) == ("refused", None)
    assert "was not called: whoever asks has no attribute 'id'" in result.content


@pytest.mark.parametrize("value", ["", "  ", "two", "-"])
async def test_a_blank_attribute_or_one_that_does_not_fit_is_no_filter_but_a_refusal(value: str) -> None:
    result = await coerce(tool(find_orders)).call({"product": "cable"}, asked_by(replace(ADA, id=value)))
    assert result.failure == "refused"


async def test_the_hooks_are_told_who_asks_too() -> None:
    made = coerce(cancel)
    assert (await made.verify({"order": 1}, asked_by(ADA))).value == {"owner": 201}  # type: ignore[union-attr]
    assert (await made.verify({"order": 1, "customer": 201}, asked_by(BEN))).failure == "refused"  # type: ignore[union-attr]
    done = await made.reconcile({"order": 1}, asked_by(ADA))
    assert not isinstance(done, NotDone)
    assert done.value == "cancelled for 201"
    assert await made.reconcile({"order": 1, "customer": 201}, asked_by(BEN)) is NOT_DONE


async def test_the_hooks_do_not_run_for_who_lacks_it() -> None:
    refused = await coerce(cancel).verify({"order": 1}, asked_by(NOBODY))
    asked = await coerce(cancel).reconcile({"order": 1}, asked_by(NOBODY))
    assert refused is not None
    assert "no attribute 'id'" in refused.content
    assert not isinstance(asked, NotDone)
    assert (refused.failure, asked.failure) == ("refused", "unknown")


def test_a_checked_call_shows_it_as_filled() -> None:
    checked = Toolset([cancel]).check(ToolCall(id="1", name="cancel", arguments='{"order": 1}'), ADA)
    assert isinstance(checked, CheckedCall)
    assert checked.data == {"order": 1, "customer": 201}
    refused = Toolset([cancel]).check(ToolCall(id="1", name="cancel", arguments='{"order": 1}'), NOBODY)
    assert isinstance(refused, ToolResult)
    assert refused.failure == "refused"


async def test_a_tenant_may_fill_an_argument_too() -> None:
    @tool
    def who(key: Annotated[str, FromPrincipal("id")], tenant: Annotated[str, FromPrincipal("tenant")]) -> str:
        """Say who asks."""
        return f"{key} of {tenant}"

    assert (await coerce(who).call({}, asked_by(ADA))).value == "201 of acme"


Shopper = Annotated[int | Literal["staff"], FromPrincipal("customer", admin="staff")]


@tool
def orders_of(customer: Shopper) -> int | str:
    """List a customer's orders."""
    return customer


@pytest.mark.parametrize(
    ("asker", "acts_as"),
    [
        (replace(ADA, attributes={"customer": "7"}), 7),
        (replace(LOCAL, attributes={"customer": "7"}), 7),
        (LOCAL, "staff"),
        (ADA, None),
        (replace(LOCAL, attributes={"customer": " "}), None),
        (replace(ADA, attributes={"customer": "seven"}), None),
    ],
    ids=["a customer", "an administrator who is one", "an administrator", "nobody", "blank", "no number"],
)
async def test_an_attribute_goes_before_what_administrators_act_as(asker: Principal, acts_as: object) -> None:
    result = await coerce(orders_of).call({}, asked_by(asker))
    assert (result.value, result.failure) == (acts_as, None if acts_as else "refused")


async def test_where_the_tool_says_nothing_of_administrators_they_are_refused() -> None:
    @tool
    def find(customer: Annotated[str, FromPrincipal("customer")]) -> str:
        """Find."""
        return customer

    assert (await coerce(find).call({}, asked_by(LOCAL))).failure == "refused"


def test_no_attribute_hides_the_id_or_the_tenant() -> None:
    posing = replace(ADA, attributes={"id": "202", "tenant": "other"})
    assert (posing.attribute("id"), posing.attribute("tenant")) == ("201", "acme")


async def test_what_nobody_has_is_refused() -> None:
    @tool
    def find(colour: Annotated[str, FromPrincipal("colour")]) -> str:
        """Find."""
        return colour

    result = await coerce(find).call({}, asked_by(ADA))
    assert (result.failure, "no attribute 'colour'" in result.content) == ("refused", True)


class Wish(BaseModel):
    product: str


def test_a_mark_where_it_could_not_be_filled_is_refused_when_the_tool_is_made() -> None:
    mark = FromPrincipal("id")

    def optional(customer: Annotated[int, mark] | None) -> None: ...
    def listed(customers: list[Annotated[int, mark]]) -> None: ...
    def with_default(customer: Annotated[int, mark] = 0) -> None: ...
    def twice(customer: Annotated[int, mark, FromPrincipal("tenant")]) -> None: ...
    def no_instance(customer: Annotated[int, FromPrincipal]) -> None: ...

    for function in (optional, listed, with_default, twice, no_instance):
        with pytest.raises(ToolDefinitionError):
            tool(function)


def test_a_hook_with_a_mark_of_its_own_is_refused() -> None:
    def check(number: int, customer: Annotated[int | None, FromPrincipal("id")] = None) -> None: ...
    def other(customer: Annotated[str, FromPrincipal("tenant")]) -> None: ...

    def act(number: int) -> None: ...
    def act_for(customer: Customer) -> None: ...

    for acting, hook in ((act, check), (act_for, other)):
        with pytest.raises(ToolDefinitionError, match="'customer' is not filled so for the tool"):
            tool(effect="write", verify=hook)(acting)


async def test_a_field_may_say_what_the_attribute_looks_like() -> None:
    @tool
    def find(customer: Annotated[str, Field(pattern=r"^C\d+$"), FromPrincipal("id")], wish: Wish) -> str:
        """Find."""
        return f"{customer} wants {wish.product}"

    made = coerce(find)
    arguments = made.validate(json.dumps({"wish": {"product": "cable"}}))
    right, wrong = (asked_by(replace(ADA, id=value)) for value in ("C1", "1"))
    assert (await made.call(arguments, right)).value == "C1 wants cable"
    assert (await made.call(arguments, wrong)).failure == "refused"
