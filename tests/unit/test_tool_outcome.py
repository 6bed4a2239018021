"""What is known after a call: failures are told from unknown outcomes by what the exception proves."""

import asyncio
import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests

from cairn import Tool, ToolError, ToolResult, tool
from tests.support.broken_server import broken_server, closed_port, deaf_server
from tests.support.context import CONTEXT
from tools.results import Effect
from tools.toolset import coerce

QUICKLY = 0.2


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with broken_server() as url:
        yield url


async def by_httpx(url: str) -> Any:
    async with httpx.AsyncClient(timeout=QUICKLY) as client:
        return (await client.post(url)).raise_for_status().json()


async def by_aiohttp(url: str) -> Any:
    limits = aiohttp.ClientTimeout(sock_connect=QUICKLY, sock_read=QUICKLY)
    async with (
        aiohttp.ClientSession(timeout=limits, raise_for_status=True) as session,
        session.post(url) as response,
    ):
        return json.loads(await response.text())


def by_urllib(url: str) -> Any:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=QUICKLY) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        error.close()
        raise


def by_requests(url: str) -> Any:
    response = requests.post(url, timeout=QUICKLY)
    response.raise_for_status()
    return response.json()


def post(send: Any, effect: Effect) -> Tool:
    """A tool that sends one request and waits for longer than its client does."""
    if asyncio.iscoroutinefunction(send):

        @tool(name="post", effect=effect)
        async def post_async(url: str) -> Any:
            return await send(url)

        return coerce(post_async)

    @tool(name="post", effect=effect)
    def post_sync(url: str) -> Any:
        return send(url)

    return coerce(post_sync)


async def failures(send: Any, url: str) -> tuple[str | None, str | None]:
    """How a read and a write end that fail in the same way."""
    read = await post(send, "read").call({"url": url}, CONTEXT)
    write = await post(send, "write").call({"url": url}, CONTEXT)
    assert ("not known" in write.content) == (write.failure == "unknown")
    assert "not known" not in read.content
    return read.failure, write.failure


@pytest.mark.parametrize("send", [by_httpx, by_aiohttp, by_urllib, by_requests])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 422, 451])
async def test_a_server_that_says_no_has_done_nothing(url: str, send: Any, status: int) -> None:
    assert await failures(send, f"{url}/status/{status}") == ("failed", "failed")


@pytest.mark.parametrize("send", [by_httpx, by_aiohttp, by_urllib, by_requests])
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
async def test_an_ambiguous_status_proves_nothing(url: str, send: Any, status: int) -> None:
    assert await failures(send, f"{url}/status/{status}") == ("failed", "unknown")


@pytest.mark.parametrize("send", [by_httpx, by_aiohttp, by_urllib, by_requests])
@pytest.mark.parametrize("path", ["text", "cut", "close", "reset", "hang"])
async def test_a_request_whose_answer_is_lost_or_unreadable_may_have_been_done(url: str, send: Any, path: str) -> None:
    assert await failures(send, f"{url}/{path}") == ("failed", "unknown")


@pytest.mark.parametrize("send", [by_httpx, by_aiohttp])
async def test_a_refused_connection_has_sent_nothing(send: Any) -> None:
    assert await failures(send, closed_port()) == ("failed", "failed")


@pytest.mark.parametrize("send", [by_httpx, by_aiohttp, by_requests])
async def test_a_connection_that_takes_too_long_to_make_has_sent_nothing(send: Any) -> None:
    async with deaf_server() as deaf:
        assert await failures(send, deaf) == ("failed", "failed")


async def test_a_request_that_never_left_its_pool_has_sent_nothing(url: str) -> None:
    limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(5, pool=QUICKLY)
    async with httpx.AsyncClient(limits=limits, timeout=timeout) as client, client.stream("GET", f"{url}/cut"):

        async def waiting(url: str) -> Any:
            await client.post(url)

        assert await failures(waiting, url) == ("failed", "failed")


def no_such_field(url: str) -> Any:
    return {"orders": 3}[url]


def nobody_listens(url: str) -> Any:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        pass


def says_so(_: str) -> Any:
    raise ToolError("The shop is closed.")


def interrupted(_: str) -> Any:
    raise SystemExit(1)


async def several_at_once(_: str) -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(nobody_listens, closed_port()))


@pytest.mark.parametrize(
    ("send", "after_a_write"),
    [
        (no_such_field, "unknown"),
        (interrupted, "unknown"),
        (several_at_once, "unknown"),
        (nobody_listens, "failed"),
        (says_so, "failed"),
    ],
)
async def test_other_exceptions_prove_what_they_prove(send: Any, after_a_write: str) -> None:
    assert await failures(send, closed_port()) == ("failed", after_a_write)


async def test_a_tool_error_is_told_in_its_own_words() -> None:
    result = await post(says_so, "irreversible").call({"url": ""}, CONTEXT)
    assert result == ToolResult(content="post failed: The shop is closed.", failure="failed")


@pytest.mark.parametrize(
    ("effect", "failure"), [("read", "timeout"), ("write", "unknown"), ("irreversible", "unknown")]
)
async def test_a_call_that_takes_too_long_is_unknown_if_it_may_have_acted(effect: Effect, failure: str) -> None:
    @tool(effect=effect, timeout=0.05)
    async def act() -> None:
        await asyncio.Event().wait()

    assert (await coerce(act).call({}, CONTEXT)).failure == failure


async def test_a_tool_that_undoes_what_it_did_when_its_time_is_up_may_say_so() -> None:
    @tool(effect="write", timeout=0.05)
    async def act() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise ToolError("It was undone.")

    assert await coerce(act).call({}, CONTEXT) == ToolResult(content="act failed: It was undone.", failure="failed")


async def test_a_write_whose_value_cannot_be_shown_was_done() -> None:
    @tool(effect="write")
    async def act() -> object:
        return object()

    result = await coerce(act).call({}, CONTEXT)
    assert result.failure == "unserialisable"
    assert result.content.startswith("act was done, but what it returned cannot be shown: object has no JSON form")
