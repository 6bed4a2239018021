"""A run that is followed in pieces, over SSE and WebSocket in whatever order, is the run that is followed at once."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from agent.events import TERMINAL
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import LocalService, running_service

Wire = Literal["sse", "ws", "ws first message"]
PIECES = st.lists(st.tuples(st.sampled_from(["sse", "ws", "ws first message"]), st.integers(0, 6)), max_size=12)
TEXTS = st.lists(st.text(max_size=8), max_size=6)


@tool(effect="write")
async def note(text: str) -> str:
    """Keep a note."""
    return f"kept {text}"


@dataclass
class Stage:
    """A service whose model says ``texts``, and in between asks for a call that a person must approve."""

    runner: asyncio.Runner
    service: LocalService
    texts: list[str]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        stack = AsyncExitStack()
        texts: list[str] = []

        def script(request: ModelRequest) -> Sequence[ScriptItem]:
            if request.messages[-1].role == "tool":
                return [item for text in texts for item in (text, lambda: asyncio.sleep(0.02))]
            return [*texts, ToolCall(id="c", name="note", arguments='{"text": "\\u2028"}')]

        opening = running_service(Path(folder), model=ScriptedModel(script), tools=[note])
        yield Stage(runner, runner.run(stack.enter_async_context(opening)), texts)
        runner.run(stack.aclose())


@given(texts=TEXTS, pieces=PIECES)
@settings(max_examples=40, deadline=None)
def test_pieces_joined_are_the_whole(stage: Stage, texts: list[str], pieces: list[tuple[Wire, int]]) -> None:
    stage.texts[:] = texts
    with capture_logs():
        stage.runner.run(check(stage.service, pieces))


async def check(service: LocalService, pieces: list[tuple[Wire, int]]) -> None:
    body = {"message": "Note it", "retrieval": "off"}
    async with service.client.stream("POST", "/v1/chat/stream", json=body) as response:
        run = response.headers["x-run-id"]
    told: list[str] = []
    for wire, most in [*pieces, ("ws", 1000)]:
        if not ended(told):
            told += await piece(service, run, wire, len(told), most)
    assert told == [frame async for frame in over_sse(service, run, 0)]
    assert [json.loads(each)["seq"] for each in told] == list(range(1, len(told) + 1))
    assert ended(told)


async def piece(service: LocalService, run: str, wire: Wire, after: int, most: int) -> list[str]:
    """What comes after an event, at most so many; whoever sees that the run waits lets it go on."""
    told: list[str] = []
    frames = over_sse(service, run, after) if wire == "sse" else over_ws(service, run, after, first="first" in wire)
    async with aclosing(frames) as coming:  # type: ignore[type-var]
        while len(told) < most:
            try:
                told.append(await anext(coming))
            except StopAsyncIteration:
                break
            data = json.loads(told[-1])
            if data["type"] == "run.waiting":
                path = f"/v1/approvals/{data['approvals'][0]}"
                (await service.client.post(path, json={"decision": "approve"})).raise_for_status()
    return told


async def over_sse(service: LocalService, run: str, after: int) -> AsyncIterator[str]:
    headers = {"Last-Event-ID": str(after)}
    async with service.client.stream("GET", f"/v1/runs/{run}/events", headers=headers) as response:
        rest = b""
        async for piece in response.aiter_bytes():
            *frames, rest = (rest + piece).split(b"\n\n")
            for frame in frames:
                for line in frame.split(b"\n"):
                    if line.startswith(b"data: "):
                        yield line.removeprefix(b"data: ").decode()


async def over_ws(service: LocalService, run: str, after: int, *, first: bool) -> AsyncIterator[str]:
    url = f"{service.url.replace('http', 'ws')}/v1/runs/{run}/ws"
    async with connect(url if first else f"{url}?after={after}", proxy=None) as connection:
        if first:
            await connection.send(json.dumps({"type": "resume", "after": after}))
        async for message in connection:
            yield str(message)


def ended(told: list[str]) -> bool:
    return bool(told) and json.loads(told[-1])["type"] in TERMINAL
