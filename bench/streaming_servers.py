"""What Cairn is measured against: two servers that stream an OpenAI-compatible upstream's tokens through sse-starlette.

    python -m bench.streaming_servers passthrough|create_agent PORT UPSTREAM

Both take ``{"message", "model"}``. ``passthrough`` hands on every line of the upstream's stream unread, and does
nothing else: less is not possible with these libraries. ``create_agent`` is LangChain's agent over ChatOpenAI with one
tool and no checkpointer, streaming the text of its messages.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any

import aiohttp
import orjson
import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

Stream = Callable[[str, str], AsyncIterator[bytes]]


@asynccontextmanager
async def passthrough(upstream: str) -> AsyncIterator[Stream]:
    """Frames as they come."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1024)) as session:

        async def stream(message: str, model: str) -> AsyncIterator[bytes]:
            body = {"model": model, "stream": True, "messages": [{"role": "user", "content": message}]}
            async with session.post(f"{upstream}/chat/completions", json=body) as response:
                async for line in response.content:
                    if line.startswith(b"data:"):
                        yield line + b"\n"

        yield stream


@asynccontextmanager
async def create_agent(upstream: str) -> AsyncIterator[Stream]:
    """The text of the agent's messages."""
    from langchain import agents
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return f"It is sunny in {city}."

    @cache
    def agent(model: str) -> Any:
        chat = ChatOpenAI(model=model, base_url=upstream, api_key=SecretStr("none"), stream_usage=True)
        return agents.create_agent(chat, tools=[get_weather])

    async def stream(message: str, model: str) -> AsyncIterator[bytes]:
        state = {"messages": [{"role": "user", "content": message}]}
        async for piece, _ in agent(model).astream(state, stream_mode="messages"):
            if piece.type == "AIMessageChunk" and piece.content:
                yield b"data: %b\n\n" % orjson.dumps({"delta": piece.content})
        yield b"data: [DONE]\n\n"

    yield stream


def app(open_stream: Callable[[str], AbstractAsyncContextManager[Stream]], upstream: str) -> Starlette:
    """The front that both have: one route, one stream."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_stream(upstream) as app.state.stream:
            yield

    async def chat(request: Request) -> EventSourceResponse:
        body = orjson.loads(await request.body())
        return EventSourceResponse(request.app.state.stream(body["message"], body["model"]))

    return Starlette(routes=[Route("/chat", chat, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    name, port, url = sys.argv[1:]
    served = app({"passthrough": passthrough, "create_agent": create_agent}[name], url)
    uvicorn.run(
        served, port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning", backlog=2048
    )
