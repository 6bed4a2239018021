"""Calls are checked before they run, and whatever a tool does becomes a result that the model sees."""

import asyncio
import contextvars
import json
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, field_validator

from cairn import ToolContext, ToolResult, tool
from models.messages import ToolCall
from records.principal import Principal
from retrieval.documents import Source
from tools.errors import ToolDefinitionError, UnknownToolError
from tools.search import search_documents_tool
from tools.serialise import MAX_CHARACTERS
from tools.threads import ToolThreads
from tools.toolset import CheckedCall, Toolset

CONTEXT = ToolContext(
    principal=Principal(tenant="acme"), run_id="run", session_id="session", idempotency_key="run:1:0", collection="docs"
)


def call(name: str, arguments: str = "") -> ToolCall:
    return ToolCall(id="1", name=name, arguments=arguments)


async def result_of(given: Any, arguments: str = "") -> ToolResult:
    tools = Toolset([given])
    (only,) = tools
    checked = tools.check(call(only.name, arguments))
    assert isinstance(checked, CheckedCall), checked
    return await tools.run(checked, CONTEXT)


async def returned(value: Any) -> ToolResult:
    @tool
    async def give() -> Any:
        """Give it."""
        return value

    return await result_of(give)


class Point(NamedTuple):
    x: int


@dataclass
class Box:
    size: Decimal


class Order(BaseModel):
    at: datetime


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "content", "data"),
    [
        ("plain text", "plain text", "plain text"),
        (None, "null", None),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}', {"a": [1, 2.5, True]}),
        (Decimal("12.50"), '"12.50"', "12.50"),
        (Box(Decimal("1.10")), '{"size":"1.10"}', {"size": "1.10"}),
        (Order(at=NOON), '{"at":"2026-01-01T12:00:00Z"}', {"at": "2026-01-01T12:00:00Z"}),
        ([NOON], '["2026-01-01T12:00:00+00:00"]', ["2026-01-01T12:00:00+00:00"]),
        (timedelta(minutes=90), '"PT1H30M"', "PT1H30M"),
        ({3: {"b", "a"}}, '{"3":["a","b"]}', {"3": ["a", "b"]}),
        ((Point(1), PurePosixPath("/x")), '[{"x":1},"/x"]', [{"x": 1}, "/x"]),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"', "00000000-0000-0000-0000-000000000001"),
    ],
)
async def test_what_a_tool_returns_is_shown_as_text_or_json(value: Any, content: str, data: Any) -> None:
    assert await returned(value) == ToolResult(content=content, value=data)


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"raw", "bytes is not JSON"),
        ({"file": b"raw"}, "bytes is not JSON"),
        (object(), "object has no JSON form"),
        ("\ud800", "lone surrogates"),
        (circle(), "ecursion"),
        (2**70, "64-bit"),
        ((number for number in range(3)), "generator has no JSON form"),
    ],
)
async def test_what_has_no_json_form_is_a_failure_that_says_so(value: Any, said: str) -> None:
    result = await returned(value)
    assert result.failure == "unserialisable"
    assert said in result.content


async def test_a_long_result_is_cut_with_a_note() -> None:
    result = await returned(["x" * 1000] * 1000)
    assert result.failure is None
    assert len(result.content) < MAX_CHARACTERS + 200
    assert result.content.endswith("ask for less at a time]")
    assert result.metadata["truncated"] is True


@pytest.mark.parametrize(
    "error", [ValueError("no such order"), SystemExit("no such order"), ExceptionGroup("no such order", [OSError()])]
)
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_an_exception_becomes_a_failure_without_a_traceback(error: BaseException, asynchronous: bool) -> None:
    @tool(name="find")
    async def find_async() -> None:
        raise error

    @tool(name="find")
    def find_sync() -> None:
        raise error

    result = await result_of(find_async if asynchronous else find_sync)
    assert result.failure == "failed"
    assert result.content.startswith(f"find failed: {type(error).__name__}: no such order")
    assert "Traceback" not in result.content


async def test_the_message_of_an_exception_is_bounded() -> None:
    @tool
    def find() -> None:
        raise ValueError("x" * 100_000)

    assert len((await result_of(find)).content) < 600


async def test_an_exception_without_a_readable_message_is_a_failure_too() -> None:
    class Mute(BaseException):
        def __str__(self) -> str:
            raise ValueError

    @tool
    def find() -> None:
        raise Mute

    assert await result_of(find) == ToolResult(content="find failed: Mute", failure="failed")


@pytest.mark.parametrize("error", [StopIteration(), asyncio.CancelledError(), TimeoutError("of its own")])
async def test_errors_that_steer_python_are_failures_like_any_other(error: BaseException) -> None:
    @tool
    def find() -> None:
        raise error

    result = await result_of(find)
    assert (result.failure, type(error).__name__ in result.content) == ("failed", True)


async def test_a_hanging_tool_times_out_and_the_loop_goes_on() -> None:
    forever = threading.Event()

    @tool(timeout=0.05)
    def hang() -> None:
        forever.wait()

    @tool(timeout=0.05, effect="write")
    async def hang_too() -> None:
        await asyncio.Event().wait()

    blocked, waiting = await asyncio.gather(result_of(hang), result_of(hang_too))
    forever.set()
    assert blocked == ToolResult(content="hang timed out after 0.05 s", failure="timeout")
    assert waiting.failure == "unknown"
    assert "not known" in waiting.content


async def test_a_tool_that_always_hangs_starves_only_itself_and_recovers() -> None:
    forever = threading.Event()
    threads = ToolThreads("stuck", limit=2)
    others = ToolThreads("other", limit=2)
    try:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await threads.run(forever.wait)
        assert await others.run(lambda: "fine") == "fine"
    finally:
        forever.set()
    assert await threads.run(lambda: "back") == "back"
    assert sum(thread.name == "tool-stuck" for thread in threading.enumerate()) <= 2


async def test_a_call_that_was_given_up_before_its_turn_never_runs() -> None:
    first, ran = threading.Event(), []
    threads = ToolThreads("queue", limit=1)
    holding = asyncio.create_task(threads.run(first.wait))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(threads.run(lambda: ran.append(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    first.set()
    await holding
    await threads.run(lambda: None)
    assert ran == []


async def test_synchronous_calls_run_side_by_side_with_the_context_of_the_caller() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    both = threading.Barrier(2, timeout=10)

    @tool
    def meet() -> str:
        both.wait()
        return variable.get()

    variable.set("set")
    results = await asyncio.gather(result_of(meet), result_of(meet))
    assert [result.content for result in results] == ["set", "set"]


async def test_cancelling_the_caller_cancels_the_call() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(result_of(wait))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_a_tool_receives_its_context() -> None:
    @tool
    def who(context: ToolContext | None = None) -> str:
        return context.principal.tenant if context else "nobody"

    assert (await result_of(who)).content == "acme"


async def test_a_wrapped_coroutine_function_is_awaited() -> None:
    async def real() -> str:
        return "real"

    @tool
    def wrapper() -> Any:
        return real()

    assert (await result_of(wrapper)).content == "real"


@tool
def find_order(number: int, verbose: bool = False) -> str:
    """Find an order."""
    return f"order {number} {verbose}"


@tool
def find_product(sku: str) -> str:
    """Find a product."""
    return sku


def test_deeply_nested_arguments_and_validators_that_break_are_failures_too(langchain_order: Any) -> None:
    class Picky(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, number: int) -> int:
            raise KeyError(number)

    @tool
    def pick(picky: Picky) -> None: ...

    tools = Toolset([pick, langchain_order])
    broken = tools.check(call("pick", '{"picky": {"number": 1}}'))
    deep = [tools.check(call(name, "[" * 100_000)) for name in ("pick", "find_order")]
    assert isinstance(broken, ToolResult)
    assert (broken.failure, broken.content) == ("invalid_arguments", "The arguments do not fit: KeyError: 1")
    assert all(isinstance(check, ToolResult) and check.failure == "malformed_arguments" for check in deep)


async def test_a_checked_call_shows_its_arguments_as_data() -> None:
    checked = Toolset([find_order]).check(call("find_order", '{"number": "7"}'))
    assert isinstance(checked, CheckedCall)
    assert checked.data == {"number": 7, "verbose": False}


def test_the_shown_arguments_can_be_given_again() -> None:
    class Line(BaseModel):
        order: int = Field(alias="orderNumber")

    @tool
    def pick(line: Line, colours: set[str], price: Decimal) -> None: ...

    tools = Toolset([pick])
    first = tools.check(call("pick", '{"line": {"orderNumber": 7}, "colours": ["red"], "price": "1.50"}'))
    assert isinstance(first, CheckedCall)
    assert first.data == {"line": {"orderNumber": 7}, "colours": ["red"], "price": "1.50"}
    again = tools.check(call("pick", json.dumps(first.data)))
    assert isinstance(again, CheckedCall)
    assert again.arguments == first.arguments


@pytest.mark.parametrize(
    ("name", "arguments", "failure", "said"),
    [
        ("find_ordr", "{}", "unknown_tool", "Closest: find_order"),
        ("zzz", "{}", "unknown_tool", "Tools: find_order, find_product."),
        ("z" * 1_000_000, "{}", "unknown_tool", "There is no tool"),
        ("find_order", "{", "malformed_arguments", "JSON"),
        ("find_order", '{"number": "x"}', "invalid_arguments", "number"),
    ],
)
def test_a_call_that_cannot_run_is_a_failure_the_model_can_mend(
    name: str, arguments: str, failure: str, said: str
) -> None:
    checked = Toolset([find_order, find_product]).check(call(name, arguments))
    assert isinstance(checked, ToolResult)
    assert checked.failure == failure
    assert said in checked.content
    assert len(checked.content) < 300


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="two tools are called 'find_order'"):
        Toolset([find_order, tool(name="find_order")(lambda: None)])


def test_a_selection_keeps_the_order_asked_for_and_refuses_unknown_names() -> None:
    tools = Toolset([find_order, find_product])
    assert [spec.name for spec in tools.select(["find_product", "find_order", "find_product"]).specs] == [
        "find_product",
        "find_order",
    ]
    assert len(tools.select([])) == 0
    with pytest.raises(UnknownToolError, match="find_produce"):
        tools.select(["find_produce"])


SOURCE = Source(
    document_id="d", version="v", collection="docs", uri="file:///a", title="Handbook", heading_path=("Returns",),
    page=4, start=0, end=5, text="Thirty days.", trust="trusted", score=1.0,
)  # fmt: skip


class Shelf:
    def __init__(self, *found: Source) -> None:
        self.found = found
        self.asked: list[tuple[str, str, str, int]] = []

    async def search(self, query: str, principal: Principal, collection: str, limit: int) -> list[Source]:
        self.asked.append((query, principal.tenant, collection, limit))
        return list(self.found)


async def test_search_documents_asks_for_the_principal_and_returns_sources() -> None:
    shelf = Shelf(SOURCE)
    result = await result_of(search_documents_tool(shelf), '{"query": "returns", "limit": 3}')

    assert shelf.asked == [("returns", "acme", "docs", 3)]
    assert result.sources == (SOURCE,)
    assert result.content == "Found, and added to the passages:\n- Handbook > Returns, page 4"
    assert result.value == [
        {"title": "Handbook", "heading": "Returns", "page": 4, "uri": "file:///a", "text": "Thirty days."}
    ]


async def test_search_documents_says_when_it_finds_nothing() -> None:
    assert (await result_of(search_documents_tool(Shelf()), '{"query": "x"}')).content == "Nothing found."


@pytest.fixture
async def langchain_order() -> AsyncIterator[Any]:
    from langchain_core.tools import tool as langchain_tool

    @langchain_tool
    async def find_order(number: int, kind: str = "any") -> dict[str, object]:
        """Find an order."""
        if number < 0:
            raise ValueError("no such order")
        return {"number": number, "kind": kind}

    yield find_order


async def test_a_langchain_tool_runs_as_it_is(langchain_order: Any) -> None:
    tools = Toolset([langchain_order])
    assert tools.specs[0].description == "Find an order."
    assert tools.specs[0].parameters["properties"]["number"]["type"] == "integer"
    assert tools.specs[0].parameters["required"] == ["number"]
    assert (await result_of(langchain_order, '{"number": 7}')).value == {"number": 7, "kind": "any"}
    failed = await result_of(langchain_order, '{"number": -1}')
    assert failed.content.startswith("find_order failed: ValueError: no such order")
    assert failed.failure == "unknown"
    refused = tools.check(call("find_order", '{"number": "x"}'))
    assert isinstance(refused, ToolResult)
    assert refused.failure == "invalid_arguments"


async def test_a_langchain_tool_may_say_what_it_changes(langchain_order: Any) -> None:
    assert [(tool.effect, tool.default_autonomy) for tool in Toolset([langchain_order])] == [("write", "confirm")]
    langchain_order.metadata = {"effect": "read", "timeout": 3, "examples": ["Where is order 7?"]}
    (found,) = Toolset([langchain_order])
    assert (found.effect, found.timeout, found.spec.examples) == ("read", 3, ("Where is order 7?",))
    langchain_order.metadata = {"autonomy": "auto", "approvers": ["desk"], "idempotent": True}
    (found,) = Toolset([langchain_order])
    assert (found.default_autonomy, found.approvers, found.idempotent) == ("auto", ("desk",), True)


async def test_a_langchain_tool_finds_its_idempotency_key_in_the_config() -> None:
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import tool as langchain_tool

    @langchain_tool
    def order(config: RunnableConfig) -> str:
        """Order it."""
        return str(config["configurable"]["idempotency_key"])

    assert (await result_of(order)).content == CONTEXT.idempotency_key


async def test_a_langchain_tool_that_hangs_holds_no_thread_that_others_need() -> None:
    from langchain_core.tools import tool as langchain_tool

    forever = threading.Event()

    @langchain_tool
    def hang(number: int) -> bool:
        """Hang."""
        return forever.wait(number * 3600)

    hang.metadata = {"timeout": 0.05, "effect": "read"}
    assert (await result_of(hang, '{"number": 1}')).failure == "timeout"
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "tool-hang"] != []
    forever.set()
