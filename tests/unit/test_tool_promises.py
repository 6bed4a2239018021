"""What a tool promises beside its work: to be checked before, asked about after, and how far it may go by itself."""

import asyncio
from typing import Any

import pytest

from cairn import NOT_DONE, NotDone, ToolContext, ToolError, ToolResult, tool
from tests.support.context import CONTEXT
from tools.errors import ToolDefinitionError
from tools.results import Effect
from tools.toolset import coerce

ORDERS = {1: "new", 2: "packed"}


async def state_of(order: int) -> dict[str, Any]:
    if order not in ORDERS:
        raise ToolError(f"There is no order {order}.")
    return {"order": order, "state": ORDERS[order]}


def what_became(order: int, context: ToolContext) -> Any:
    if order == 3:
        raise ConnectionRefusedError
    return NOT_DONE if order == 1 else f"Order {order} for {context.principal.tenant} is packed."


@tool(effect="write", reconcile=what_became, verify=state_of)
async def pack(order: int, note: str = "") -> str:
    """Pack an order."""
    return f"{order}{note}"


async def test_reconciling_asks_with_those_arguments_that_the_hook_names() -> None:
    arguments = {"order": 2, "note": "as a gift"}
    done = await coerce(pack).reconcile(arguments, CONTEXT)
    assert done == ToolResult(content="Order 2 for acme is packed.", value="Order 2 for acme is packed.")


async def test_reconciling_may_find_that_nothing_was_done() -> None:
    assert await coerce(pack).reconcile({"order": 1, "note": ""}, CONTEXT) is NOT_DONE


async def outcome(given: Any, **arguments: Any) -> ToolResult:
    result = await coerce(given).reconcile(arguments, CONTEXT)
    assert not isinstance(result, NotDone)
    return result


async def test_whatever_goes_wrong_in_reconciling_leaves_the_outcome_unknown() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    @tool(effect="write", reconcile=hang, timeout=0.05)
    async def act() -> None: ...

    @tool(effect="write")
    async def act_blindly() -> None: ...

    assert (await outcome(pack, order=3, note="")).failure == "unknown"
    assert (await outcome(act)).failure == "unknown"
    assert (await outcome(act_blindly)).failure == "unknown"


async def test_verifying_gives_the_record_that_was_read() -> None:
    record = await coerce(pack).verify({"order": 2, "note": ""}, CONTEXT)
    assert record == ToolResult(content='{"order":2,"state":"packed"}', value={"order": 2, "state": "packed"})


async def test_verifying_refuses_with_the_reason() -> None:
    refused = await coerce(pack).verify({"order": 9, "note": ""}, CONTEXT)
    assert refused == ToolResult(content="pack was not called: There is no order 9.", failure="refused")


async def test_what_cannot_be_verified_is_not_to_be_called() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def break_down() -> None:
        raise KeyError("state")

    async def obscure() -> object:
        return object()

    found = []
    for check in (hang, break_down, obscure):
        act = tool(name="act", effect="write", verify=check, timeout=0.05)(lambda: None)
        result = await coerce(act).verify({}, CONTEXT)
        assert result is not None
        assert result.content.startswith("act was not called: ")
        found.append(result.failure)
    assert found == ["timeout", "failed", "unserialisable"]


async def test_without_a_hook_there_is_nothing_to_verify() -> None:
    assert await coerce(tool(name="act", effect="write")(lambda: None)).verify({}, CONTEXT) is None


async def test_cancelling_the_caller_cancels_the_hook() -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    asking = asyncio.create_task(
        coerce(tool(name="act", effect="write", verify=hang)(lambda: None)).verify({}, CONTEXT)
    )
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    ("effect", "said", "autonomy"),
    [
        ("read", None, "auto"),
        ("write", None, "confirm"),
        ("irreversible", None, "confirm"),
        ("read", "confirm", "confirm"),
        ("write", "auto", "auto"),
        ("irreversible", "suggest", "suggest"),
    ],
)
def test_reads_go_by_themselves_and_writes_ask_unless_the_tool_says_otherwise(
    effect: Effect, said: Any, autonomy: str
) -> None:
    made = coerce(tool(name="act", effect=effect, autonomy=said)(lambda: None))
    assert made.default_autonomy == autonomy


def needs_more(order: int, colour: str) -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"autonomy": "maybe"}, "autonomy 'maybe' is none of suggest, confirm, auto"),
        ({"isolation": "moon"}, "isolation 'moon' is none of thread, process"),
        ({"approvers": "manager"}, "give a list of texts"),
        ({"reconcile": needs_more}, "the reconcile hook of tool pack: 'colour' is no parameter of the tool"),
        ({"verify": 3}, "the verify hook of tool pack is no function"),
    ],
)
def test_an_option_that_is_impossible_says_why(options: dict[str, Any], said: str) -> None:
    def pack(order: int) -> None: ...

    with pytest.raises(ToolDefinitionError) as caught:
        tool(**options)(pack)
    assert said in str(caught.value)
