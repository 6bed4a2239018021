"""Any chat model behind the OpenAI chat API, so that a service in a process of its own can be given a scripted one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from models.messages import Message, ModelRequest, ToolCall
from models.port import ChatModel


@asynccontextmanager
async def served(model: ChatModel) -> AsyncIterator[str]:
    """The base URL of a server that answers with this model until the block ends."""

    async def chat(request: web.Request) -> web.StreamResponse:
        asked = _request(orjson.loads(await request.read()))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        index = 0
        async for item in model.stream(asked):
            if isinstance(item, str):
                await response.write(_chunk({"content": item}))
            elif isinstance(item, ToolCall):
                function = {"name": item.name, "arguments": item.arguments}
                call = {"index": index, "id": item.id, "type": "function", "function": function}
                await response.write(_chunk({"tool_calls": [call]}))
                index += 1
            else:
                await response.write(_chunk({}, item.reason))
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def _request(body: Mapping[str, Any]) -> ModelRequest:
    return ModelRequest(messages=tuple(_message(each) for each in body["messages"]))


def _message(given: Mapping[str, Any]) -> Message:
    calls = tuple(
        ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in given.get("tool_calls") or ()
    )
    return Message(
        role=given["role"],
        content=given.get("content") or "",
        tool_calls=calls,
        tool_call_id=given.get("tool_call_id"),
    )


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": choices}
    return b"data: " + orjson.dumps(data) + b"\n\n"
