"""A back end on a real port that answers as a test tells it to, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str


@dataclass
class BackEnd:
    """What answers, and what it was asked.

    Attributes:
        answers: By method and path; the first of a list is taken until one is left.
    """

    url: str = ""
    answers: dict[str, list[Handler]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    server: web.Server | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server.connections) if self.server is not None else 0

    async def until_nobody_is_connected(self) -> None:
        while self.connections:
            await asyncio.sleep(0)

    def on(self, what: str, *answers: Handler) -> None:
        self.answers[what] = list(answers)

    @property
    def targets(self) -> list[str]:
        return [f"{each.method} {each.target}" for each in self.asked]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = (await request.read()).decode()
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), body))
        listed = (
            self.answers.get(f"{request.method} {request.path}") or self.answers.get("*") or [json_answer(None, 404)]
        )
        return await (listed.pop(0) if len(listed) > 1 else listed[0])(request)

    async def hang(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer only when the test is over."""
        await self.released.wait()
        return web.Response()


def json_answer(data: object, status: int = 200, **headers: str) -> Handler:
    """Answer with JSON; underscores in the names of headers stand for hyphens."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(data, status=status, headers=named)

    return answer


def raw_answer(body: bytes | str, media_type: str, status: int = 200, **headers: str) -> Handler:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=data, content_type=media_type, status=status, headers=named)

    return answer


async def broken_answer(request: web.BaseRequest) -> web.StreamResponse:
    """Break the connection in the middle of an answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"a":')
    assert request.transport is not None
    request.transport.abort()
    return response


@asynccontextmanager
async def back_end() -> AsyncIterator[BackEnd]:
    """A back end until the block ends."""
    end = BackEnd()
    end.server = web.Server(end.handle)
    runner = web.ServerRunner(end.server, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = runner.addresses[0]
    end.url = f"http://127.0.0.1:{address[1]}"
    try:
        yield end
    finally:
        end.released.set()
        await runner.cleanup()
