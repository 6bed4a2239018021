"""A real HTTP server that plays a model provider, well or badly, on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

CUT = "cut the connection"
HANG = "send no more, keep the connection"
Hook = Callable[[], Awaitable[object]]
Part = bytes | str | Hook
"""Bytes to send as they are, CUT, HANG, or an async function to await."""

_FRAME = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **extra: Any) -> bytes:
    """One event of a chat completion stream."""
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **extra}
    )


def event(data: Any) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def text(*pieces: str) -> list[Part]:
    return [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]


def usage(taken: int, given: int) -> bytes:
    counts = {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": taken + given}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": counts}
    )


DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Answer:
    parts: list[Part]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream"


class Provider:
    """Gives the answers it was told to, in order, the last one for ever.

    Attributes:
        requests: Decoded bodies of the chat requests.
        headers: Their headers.
        connections: Distinct connections that requests came over.
        disconnected: Set when a client left before its answer was complete.
        served: What ``GET /v1/models`` gives.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.connections: set[object] = set()
        self.disconnected = asyncio.Event()
        self.reached = asyncio.Event()
        self.served: Any = {"data": [{"id": "first-model"}, {"id": "second-model"}]}
        self._answers: list[Answer] = []

    def says(self, *parts: Part) -> None:
        """Answer the next request with these parts of a stream."""
        self._answers.append(Answer(list(parts)))

    def refuses(self, status: int, body: Any, **headers: str) -> None:
        """Answer the next request with a status and a body (JSON unless bytes)."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append(Answer([raw], status, named, "application/json"))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(orjson.loads(await request.read()))
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = answer.content_type
        try:
            await response.prepare(request)
            for part in answer.parts:
                await self._play(part, request, response)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.disconnected.set()
            raise
        return response

    async def _play(self, part: Part, request: web.Request, response: web.StreamResponse) -> None:
        if part == CUT:
            assert request.transport is not None
            request.transport.abort()
        elif part == HANG:
            self.reached.set()
            await asyncio.Event().wait()
        elif isinstance(part, bytes):
            await response.write(part)
        elif not isinstance(part, str):
            await part()

    async def _models(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.json_response(self.served)


@asynccontextmanager
async def serve() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider._chat)
    app.router.add_get("/v1/models", provider._models)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    provider.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield provider
    finally:
        await runner.cleanup()
