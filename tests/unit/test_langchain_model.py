"""LangChain's models behind the port: its own fakes, other vendors' shapes and errors, silence towards LangSmith."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import langsmith.utils
import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel, FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from models.errors import ModelError, ModelTimeout, Permanent, RateLimited, Transient
from models.langchain import LangChainModel, translate
from models.messages import Finish, Message, ModelItem, ModelRequest, ToolCall, Usage
from models.openai_server import Timeouts

REQUEST = ModelRequest(messages=(Message(role="user", content="Hello?"),), max_tokens=9, temperature=0.5)


class Chunks(BaseChatModel):
    """Streams the chunks it was given; fails with an error, or waits, at the end if told so."""

    chunks: list[AIMessageChunk]
    error: Exception | None = None
    wait: bool = False
    seen: list[dict[str, Any]] = []  # noqa: RUF012 - a pydantic field

    async def _astream(
        self,
        messages: list[BaseMessage],  # noqa: ARG002
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.seen.append(options)
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk)
        if self.error is not None:
            raise self.error
        if self.wait:
            await asyncio.Event().wait()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        raise NotImplementedError

    @property
    def _llm_type(self) -> str:
        return "chunks"


async def collect(chat: BaseChatModel, name: str = "fake:m", timeouts: Timeouts | None = None) -> list[ModelItem]:
    model = LangChainModel(chat, name=name, timeouts=timeouts)
    return [item async for item in model.stream(REQUEST)]


def joined(items: list[ModelItem]) -> str:
    return "".join(item for item in items if isinstance(item, str))


async def test_a_fake_model_of_langchain_streams_its_answer() -> None:
    items = await collect(FakeListChatModel(responses=["It is sunny."]))
    assert joined(items) == "It is sunny."
    assert len(items) > 2
    assert items[-1] == Finish()


async def test_a_model_that_cannot_stream_gives_one_whole_answer() -> None:
    call: Any = {"id": "a", "name": "f", "args": {"x": 1}}
    items = await collect(FakeMessagesListChatModel(responses=[AIMessage(content="Wait.", tool_calls=[call])]))
    assert items == ["Wait.", ToolCall(id="a", name="f", arguments='{"x":1}'), Finish(reason="tool_calls")]


async def test_content_in_blocks_gives_its_text_only_and_usage_adds_up() -> None:
    thinking: Any = [{"type": "thinking", "thinking": "hm", "index": 0}]
    piece: Any = [{"type": "text", "text": "Hi", "index": 1}]
    usage: Any = {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7}
    more: Any = {"input_tokens": 0, "output_tokens": 3, "total_tokens": 3}
    items = await collect(
        Chunks(
            chunks=[
                AIMessageChunk(content=thinking, usage_metadata=usage),
                AIMessageChunk(content=piece),
                AIMessageChunk(content="", usage_metadata=more, response_metadata={"stop_reason": "max_tokens"}),
            ]
        )
    )
    assert items == ["Hi", Finish(reason="length", usage=Usage(input_tokens=7, output_tokens=3))]


async def test_calls_in_pieces_with_a_gap_in_their_numbers_are_put_together() -> None:
    def piece(index: int, args: str, identity: str | None = None) -> AIMessageChunk:
        name = "f" if identity else None
        return AIMessageChunk(
            content="", tool_call_chunks=[{"index": index, "id": identity, "name": name, "args": args}]
        )  # type: ignore[call-arg, unused-ignore]

    items = await collect(Chunks(chunks=[piece(1, "", "a"), piece(1, '{"x"'), piece(1, ":1}"), piece(3, "{}", "b")]))
    assert items[:-1] == [
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="f", arguments="{}"),
    ]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("anthropic:m", {"max_tokens": 9, "temperature": 0.5}),
        ("google_genai:m", {"max_output_tokens": 9, "temperature": 0.5}),
        ("ollama:m", {}),
    ],
)
async def test_limits_are_called_what_the_provider_calls_them(name: str, options: dict[str, Any]) -> None:
    chat = Chunks(chunks=[AIMessageChunk(content="Hi")])
    await collect(chat, name)
    assert [{key: value for key, value in seen.items() if value is not None} for seen in chat.seen] == [options]


async def test_what_came_before_an_error_is_kept() -> None:
    chat = Chunks(chunks=[AIMessageChunk(content="Hi")], error=httpx.ReadError("reset"))
    items = LangChainModel(chat, name="fake:m").stream(REQUEST)
    assert await anext(items) == "Hi"
    with pytest.raises(Transient, match="reset"):
        await anext(items)


async def test_silence_is_a_timeout() -> None:
    chat = Chunks(chunks=[AIMessageChunk(content="Hi")], wait=True)
    with pytest.raises(ModelTimeout):
        await collect(chat, timeouts=Timeouts(idle=0.05))


class VendorError(Exception):
    def __init__(self, status_code: int, body: object) -> None:
        super().__init__("failed")
        self.status_code = status_code
        self.body = body
        self.response = httpx.Response(status_code, headers={"Retry-After": "3"})


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (VendorError(429, {"message": "slow down"}), RateLimited, "slow down"),
        (VendorError(529, None), Transient, "529"),
        (httpx.ConnectError("refused"), Transient, "refused"),
        (httpx.ReadTimeout("slow"), ModelTimeout, "slow"),
        (TimeoutError(), ModelTimeout, "TimeoutError"),
        (ValueError("No generation chunks were returned"), Transient, "No generation"),
        (ValueError("bad"), Permanent, "ValueError: bad"),
    ],
)
def test_a_vendors_error_becomes_one_of_the_port(error: Exception, kind: type[ModelError], said: str) -> None:
    translated = translate(error, "vendor:m")
    assert type(translated) is kind
    assert said in str(translated)
    assert "vendor:m" in str(translated)


class Watching(Chunks):
    """Notes whether LangSmith would be told of the call."""

    traced: list[bool | str] = []  # noqa: RUF012 - a pydantic field

    async def _astream(self, *arguments: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        self.traced.append(langsmith.utils.tracing_is_enabled())
        async for chunk in super()._astream(*arguments, **options):
            yield chunk


async def test_langsmith_is_never_called_even_when_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service must not send what its users say to a third party because of a variable left in its environment."""
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", "key")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    get_env_var: Any = langsmith.utils.get_env_var
    get_env_var.cache_clear()
    try:
        assert langsmith.utils.tracing_is_enabled()
        chat = Watching(chunks=[AIMessageChunk(content="Hi")])
        await collect(chat)
        assert chat.traced == [False]
        assert langsmith.utils.tracing_is_enabled(), "only our calls are exempt"
    finally:
        monkeypatch.undo()
        get_env_var.cache_clear()
