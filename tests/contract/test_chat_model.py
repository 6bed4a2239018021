"""Every ChatModel keeps the port's promises: the native client and LangChain over real HTTP, and the scripted model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Protocol, cast

import pytest
from pydantic import SecretStr

from models.errors import (
    Authentication,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    RateLimited,
    Transient,
)
from models.messages import Finish, Message, ModelItem, ModelRequest, ToolCall, ToolSpec, Usage
from models.openai import OpenAIModel
from models.openai_server import Timeouts
from models.port import ChatModel
from models.scripted import ScriptedModel, Turn
from tests.support.provider import CUT, DONE, HANG, Part, Provider, chunk, serve, text, usage

KEY = "sk-" + "t0psecret" * 4
WEATHER = ToolSpec(
    name="get_weather",
    description="The weather of a place.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)
REQUEST = ModelRequest(messages=(Message(role="user", content="What is the weather?"),), tools=(WEATHER,))
PATIENT = Timeouts(connect=5, first_byte=20, idle=20)

OSLO = {"index": 0, "id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"place":'}}
OSLO_REST = {"index": 0, "function": {"arguments": ' "Oslo"}'}}
ROME = {
    "index": 1,
    "id": "b",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"place": "Rome"}'},
}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve() as running:
        yield running


def native(provider: Provider, timeouts: Timeouts) -> ChatModel:
    return OpenAIModel("m", base_url=provider.url, api_key=SecretStr(KEY), timeouts=timeouts)


def langchain(provider: Provider, timeouts: Timeouts) -> ChatModel:
    from models.langchain import LangChainModel, init_langchain

    chat = init_langchain("openai", "m", base_url=provider.url, api_key=KEY, stream_usage=True)
    return LangChainModel(chat, name="openai:m", timeouts=timeouts)


class Make(Protocol):
    def __call__(self, provider: Provider, timeouts: Timeouts = PATIENT) -> ChatModel: ...


@pytest.fixture(params=[native, langchain])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    made: list[ChatModel] = []

    def remembered(provider: Provider, timeouts: Timeouts = PATIENT) -> ChatModel:
        made.append(request.param(provider, timeouts))
        return made[-1]

    yield remembered
    for model in made:
        await model.aclose()
        await model.aclose()


async def collect(model: ChatModel, request: ModelRequest = REQUEST) -> list[ModelItem]:
    return [item async for item in model.stream(request)]


def joined(items: list[ModelItem]) -> str:
    return "".join(item for item in items if isinstance(item, str))


TURNS: dict[str, tuple[Turn, list[Part]]] = {
    "text": (
        ["It is ", "sunny", ".", Finish(usage=Usage(input_tokens=7, output_tokens=3))],
        [*text("It is ", "sunny", "."), chunk(finish="stop"), usage(7, 3), DONE],
    ),
    "tools": (
        [
            "Let me see.",
            ToolCall(id="a", name="get_weather", arguments='{"place": "Oslo"}'),
            ToolCall(id="b", name="get_weather", arguments='{"place": "Rome"}'),
        ],
        [
            *text("Let me see."),
            chunk({"tool_calls": [OSLO]}),
            chunk({"tool_calls": [OSLO_REST]}),
            chunk({"tool_calls": [ROME]}),
            chunk(finish="tool_calls"),
            DONE,
        ],
    ),
}


@pytest.fixture(params=[native, langchain, None], ids=["native", "langchain", "scripted"])
async def play(request: pytest.FixtureRequest, provider: Provider) -> AsyncIterator[Callable[[str], ChatModel]]:
    """The same turn, told by each adapter in its own way."""
    made: list[ChatModel] = []

    def played(kind: str) -> ChatModel:
        turn, parts = TURNS[kind]
        provider.says(*parts)
        made.append(request.param(provider, PATIENT) if request.param else ScriptedModel([turn]))
        return made[-1]

    yield played
    for model in made:
        await model.aclose()


async def test_text_comes_in_order_and_ends_with_one_finish_that_holds_the_usage(
    play: Callable[[str], ChatModel],
) -> None:
    items = await collect(play("text"))

    assert joined(items) == "It is sunny."
    assert [item for item in items if not isinstance(item, str)] == [
        Finish(reason="stop", usage=Usage(input_tokens=7, output_tokens=3))
    ]
    assert isinstance(items[-1], Finish)


async def test_tool_calls_come_complete_and_in_order(play: Callable[[str], ChatModel]) -> None:
    items = await collect(play("tools"))

    assert items[-3:-1] == [
        ToolCall(id="a", name="get_weather", arguments='{"place": "Oslo"}'),
        ToolCall(id="b", name="get_weather", arguments='{"place": "Rome"}'),
    ]
    assert items[-1] == Finish(reason="tool_calls")
    assert joined(items) == "Let me see."


async def test_tools_and_limits_reach_the_provider(provider: Provider, make: Make) -> None:
    provider.says(*text("ok"), chunk(finish="stop"), DONE)
    request = ModelRequest(messages=REQUEST.messages, tools=REQUEST.tools, max_tokens=9, temperature=0.5)
    await collect(make(provider), request)

    sent = provider.requests[0]
    assert sent["tools"][0]["function"]["name"] == "get_weather"
    assert sent["temperature"] == 0.5
    assert 9 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert provider.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_a_conversation_with_tool_results_reaches_the_provider(provider: Provider, make: Make) -> None:
    provider.says(*text("ok"), chunk(finish="stop"), DONE)
    call = ToolCall(id="a", name="get_weather", arguments='{"place": "Oslo"}')
    await collect(
        make(provider),
        ModelRequest(
            messages=(
                Message(role="user", content="Weather?"),
                Message(role="assistant", content="", tool_calls=(call,)),
                Message(role="tool", content="sunny", tool_call_id="a", name="get_weather"),
            )
        ),
    )
    sent = provider.requests[0]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
    assert sent[2]["tool_calls"][0]["id"] == sent[3]["tool_call_id"] == "a"


async def test_an_answer_cut_by_its_length_says_so(provider: Provider, make: Make) -> None:
    provider.says(*text("It is"), chunk(finish="length"), DONE)
    assert (await collect(make(provider)))[-1] == Finish(reason="length")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "bad role", "type": "invalid_request_error"}}, InvalidRequest),
        (401, {"error": {"message": f"Incorrect API key: {KEY}"}}, Authentication),
        (403, {"error": {"message": "not allowed"}}, Authentication),
        (404, {"error": {"message": "no such model", "code": "model_not_found"}}, ModelNotFound),
        (408, b"slow", Transient),
        (429, {"error": {"message": "slow down"}}, RateLimited),
        (500, b"<html>oops</html>", Transient),
        (503, {"error": {"message": "overloaded"}}, Transient),
    ],
)
async def test_a_refusal_becomes_an_error_of_the_port_without_the_key_or_a_retry(
    provider: Provider, make: Make, status: int, body: Any, kind: type[ModelError]
) -> None:
    provider.refuses(status, body, Retry_After="7")
    with pytest.raises(ModelError) as caught:
        await collect(make(provider))

    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    assert len(provider.requests) == 1
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 7


async def test_a_connection_that_breaks_in_the_middle_is_transient(provider: Provider, make: Make) -> None:
    received = asyncio.Event()
    provider.says(*text("It is "), received.wait, CUT)
    pieces: list[ModelItem] = []
    with pytest.raises(Transient):
        async for item in make(provider).stream(REQUEST):
            pieces.append(item)
            received.set()
    assert joined(pieces) == "It is "


@pytest.mark.parametrize("parts", [[HANG], [*text("It is "), HANG]])
async def test_silence_is_a_timeout(provider: Provider, make: Make, parts: list[Any]) -> None:
    provider.says(*parts)
    with pytest.raises(ModelTimeout, match="sent nothing for"):
        await collect(make(provider, Timeouts(connect=5, first_byte=0.3, idle=0.3)))
    await asyncio.wait_for(provider.disconnected.wait(), 60)


async def test_an_unreachable_server_is_transient(make: Make) -> None:
    async with serve() as gone:
        pass
    with pytest.raises(Transient):
        await collect(make(gone))


async def test_cancelling_the_reader_closes_the_connection(provider: Provider, make: Make) -> None:
    provider.says(*text("It is "), HANG)
    model = make(provider)
    task = asyncio.create_task(collect(model))
    await asyncio.wait_for(provider.reached.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(provider.disconnected.wait(), 60)


@pytest.mark.parametrize("steps", [0, 2, 4, 6])
async def test_a_cancellation_is_never_lost_whenever_it_comes(provider: Provider, make: Make, steps: int) -> None:
    """Around the response's head some clients swallow a cancellation and go on reading."""
    provider.says(*text("It is "), HANG)
    task = asyncio.create_task(collect(make(provider)))
    await asyncio.wait_for(provider.reached.wait(), 60)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    await asyncio.wait_for(provider.disconnected.wait(), 60)


async def test_closing_the_iterator_closes_the_connection(provider: Provider, make: Make) -> None:
    provider.says(*text("It is "), HANG)
    async with aclosing(cast("Any", make(provider).stream(REQUEST))) as items:
        assert await anext(items) == "It is "
    await asyncio.wait_for(provider.disconnected.wait(), 60)
