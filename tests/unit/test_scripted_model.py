"""The scripted model says exactly what it was told, and notes what it was asked."""

import asyncio
from contextlib import aclosing

import pytest

from models.errors import ModelError, RateLimited
from models.messages import Finish, Message, ModelItem, ModelRequest, ToolCall
from models.scripted import ScriptedModel

HELLO = ModelRequest(messages=(Message(role="user", content="Hello"),))
CALL = ToolCall(id="1", name="f", arguments="{}")


async def collect(model: ScriptedModel) -> list[ModelItem]:
    return [item async for item in model.stream(HELLO)]


async def test_turns_are_played_in_order_with_a_finish_that_fits() -> None:
    model = ScriptedModel([["Hi", CALL], ["Bye", Finish(reason="length"), "never"]])
    assert await collect(model) == ["Hi", CALL, Finish(reason="tool_calls")]
    assert await collect(model) == ["Bye", Finish(reason="length")]
    assert (model.requests, model.closed) == ([HELLO, HELLO], 0)


async def test_a_script_that_has_run_out_says_so() -> None:
    with pytest.raises(ModelError, match="no turn left for request 1"):
        await collect(ScriptedModel([]))


async def test_a_function_of_the_request_may_answer() -> None:
    assert await collect(ScriptedModel(lambda request: [request.messages[0].content.upper()])) == ["HELLO", Finish()]


async def test_an_exception_is_raised_in_its_place() -> None:
    items = ScriptedModel([["Hi", RateLimited("slow down", 3)]]).stream(HELLO)
    assert await anext(items) == "Hi"
    with pytest.raises(RateLimited):
        await anext(items)


async def test_an_async_function_holds_the_turn() -> None:
    gate = asyncio.Event()
    task = asyncio.create_task(collect(ScriptedModel([["Hi", gate.wait, "there"]])))
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    assert await task == ["Hi", "there", Finish()]


async def test_a_reader_that_leaves_is_noticed() -> None:
    model = ScriptedModel([["Hi", "there"]])
    async with aclosing(model.stream(HELLO)) as items:
        await anext(items)
    assert model.closed == 1
