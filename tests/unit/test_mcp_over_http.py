"""MCP servers at a URL, and what is made of what servers say; the other side is the official SDK, or lies."""

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from models.messages import ToolCall
from records.principal import Principal
from tests.support.back_end import BackEnd, Handler, back_end, raw_answer
from tests.support.mcp_server import Library, served_library
from tests.support.service import ROOT
from tools.mcp import McpServer
from tools.results import ToolContext, ToolResult
from tools.toolset import CheckedCall, Toolset

CONTEXT = ToolContext(
    principal=Principal(), run_id="run", session_id="session", idempotency_key="run:1:0", collection="default"
)


@asynccontextmanager
async def opened(*servers: McpServer) -> AsyncIterator[Toolset]:
    tools = Toolset(servers)
    try:
        await tools.open()
        yield tools
    finally:
        await tools.aclose()


async def call(tools: Toolset, tool: str, /, **arguments: Any) -> ToolResult:
    checked = tools.check(ToolCall(id="1", name=tool, arguments=json.dumps(arguments)))
    return await tools.run(checked, CONTEXT) if isinstance(checked, CheckedCall) else checked


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def liar(answers: Mapping[str, Handler]) -> Handler:
    """A server of an older revision that answers calls as it is told."""
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in answers]

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        message = await request.json()
        match message["method"]:
            case "initialize":
                told = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
                result: Any = {**told, "serverInfo": {"name": "liar", "version": "1"}}
            case "tools/list":
                result = {"tools": tools}
            case "tools/call":
                return await answers[message["params"]["name"]](request)
            case _ if "id" in message:
                error = {"code": -32601, "message": "no such method"}
                return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": error})
            case _:
                return web.Response(status=202)
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    return handle


@asynccontextmanager
async def lying(answers: Mapping[str, Handler], **options: Any) -> AsyncIterator[tuple[BackEnd, Toolset]]:
    async with back_end() as end:
        end.on("*", liar(answers))
        async with opened(McpServer("liar", url=f"{end.url}/mcp", **{"timeout": 5, **options})) as tools:
            yield end, tools


async def cut_off(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_tools_are_listed_and_called() -> None:
    async with served_library() as library, opened(McpServer("library", url=library.url)) as tools:
        assert {tool.name for tool in tools} >= {"library_add", "library_order"}
        assert (await call(tools, "library_add", a=2, b=3)).value == {"result": 5}
        assert (await call(tools, "library_order", item="lamp")).value == "lamp is ordered"
        assert library.done == ["order lamp"]


async def test_the_official_sdk_serves_it_over_pipes_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ambient")
    server = McpServer("library", command=sys.executable, args=["-m", "tests.support.mcp_server"], folder=ROOT)
    async with opened(server) as tools:
        assert (await call(tools, "library_add", a=2, b=3)).value == {"result": 5}
        assert (await call(tools, "library_variable", name="GITHUB_TOKEN")).value == "(not set)"


async def test_arguments_are_checked_before_anything_is_sent() -> None:
    async with served_library() as library, opened(McpServer("library", url=library.url)) as tools:
        before = len(library.headers)
        result = await call(tools, "library_add", a="two", b=3)
        assert result.failure == "invalid_arguments"
        assert len(library.headers) == before


async def test_every_tool_asks_a_person_unless_the_operator_believes_the_server() -> None:
    def promises(tools: Toolset) -> dict[str, tuple[str, str, bool]]:
        return {tool.name: (tool.effect, tool.default_autonomy, tool.idempotent) for tool in tools}

    async with served_library() as library:
        async with opened(McpServer("library", url=library.url)) as tools:
            assert set(promises(tools).values()) == {("write", "confirm", False)}
        async with opened(McpServer("library", url=library.url, trust_hints=True)) as tools:
            promised = promises(tools)
            assert promised["library_add"] == ("read", "auto", False)
            assert promised["library_order"] == ("write", "confirm", True)
            assert promised["library_order_and_fail"] == ("irreversible", "confirm", False)
        named = McpServer("library", url=library.url, effects={"add": "read"}, autonomy={"order": "auto"})
        async with opened(named) as tools:
            promised = promises(tools)
            assert promised["library_add"] == ("read", "auto", False)
            assert promised["library_order"] == ("write", "auto", False)


async def test_an_error_of_a_tool_that_reads_is_its_failure() -> None:
    async with (
        served_library() as library,
        opened(McpServer("library", url=library.url, trust_hints=True)) as tools,
    ):
        result = await call(tools, "library_fail")
        assert (result.failure, result.content) == (
            "failed",
            "library_fail failed: the server says: there is no such shelf",
        )


@pytest.mark.parametrize(("trusted", "failure"), [(False, "unknown"), (True, "failed")])
async def test_an_error_after_an_effect_proves_nothing_unless_the_operator_says_so(
    failure: str, *, trusted: bool
) -> None:
    async with (
        served_library() as library,
        opened(McpServer("library", url=library.url, trust_errors=trusted)) as tools,
    ):
        result = await call(tools, "library_order_and_fail", item="lamp")
        assert result.failure == failure
        assert "the printer is out of paper" in result.content
        assert library.done == ["order lamp"]


async def test_what_is_no_text_is_named() -> None:
    async with served_library() as library, opened(McpServer("library", url=library.url)) as tools:
        assert (await call(tools, "library_pieces")).content == (
            "first\n[image: image/png, 300 bytes, not shown]\n"
            "[resource: manual, https://example.org/manual.pdf]\n[resource memo://1]\nin the memo"
        )


async def test_a_long_result_is_cut_and_one_that_is_too_long_is_not_read() -> None:
    async with (
        served_library() as library,
        opened(McpServer("library", url=library.url, trust_hints=True)) as tools,
    ):
        cut = await call(tools, "library_large", characters=100_000)
        assert cut.failure is None
        assert len(cut.content) < 33_000
        too_long = await call(tools, "library_large", characters=5_000_000)
        assert too_long.failure == "failed"
        assert "more than 4194304 bytes" in too_long.content
        # The connection holds: only that call was given up.
        assert (await call(tools, "library_add", a=2, b=3)).failure is None


async def test_headers_are_sent_and_never_told() -> None:
    with capture_logs() as logs:
        async with served_library() as library:
            server = McpServer("library", url=library.url, headers={"Authorization": "Bearer geheim-4711"})
            async with opened(server) as tools:
                await call(tools, "library_add", a=1, b=2)
    assert all(headers["authorization"] == "Bearer geheim-4711" for headers in library.headers)
    assert "geheim" not in str(logs) + repr(server)


async def test_a_name_that_stands_for_a_private_address_is_refused_unless_it_is_meant() -> None:
    async with served_library(host="0.0.0.0") as library:
        # This is looked up as a name is, and is this machine.
        url = library.url.replace("127.0.0.1", "0x7f000001")
        async with opened(McpServer("library", url=url)) as tools:
            assert list(tools) == []
        assert library.headers == []
        async with opened(McpServer("library", url=url, private=True)) as tools:
            assert "library_add" in tools


@pytest.mark.parametrize("url", ["ftp://example.org", "http://user:word@example.org", "http://example.org/?key=1"])
def test_a_url_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        McpServer("library", url=url)


async def test_a_connection_that_breaks_leaves_an_effect_unknown_and_fails_a_read() -> None:
    answers = {"act": cut_off, "look": cut_off}
    async with lying(answers, effects={"look": "read"}) as (_, tools):
        assert (await call(tools, "liar_act")).failure == "unknown"
        assert (await call(tools, "liar_look")).failure == "failed"


async def test_a_stream_that_ends_without_an_answer_proves_nothing_whatever_its_resumption_is_answered_with() -> None:
    """The event's id lets the client ask for the rest, with a GET that this server does not know."""
    began = raw_answer("id: 1\nretry: 1\ndata:\n\n", "text/event-stream")
    async with lying({"act": began}) as (end, tools):
        end.on("GET /mcp", raw_answer("no", "text/plain", 405))
        assert (await call(tools, "liar_act")).failure == "unknown"


async def test_a_number_that_json_libraries_disagree_on_is_shown_as_the_server_wrote_it() -> None:
    async def large(request: web.BaseRequest) -> web.StreamResponse:
        number = 10**30
        result = {"content": [{"type": "text", "text": str(number)}], "structuredContent": {"number": number}}
        return web.json_response({"jsonrpc": "2.0", "id": (await request.json())["id"], "result": result})

    async with lying({"act": large}) as (_, tools):
        result = await call(tools, "liar_act")
        assert (result.failure, result.content) == (None, str(10**30))


async def test_no_connection_means_that_nothing_was_done() -> None:
    async with back_end() as end:
        end.on("*", liar({"act": cut_off}))
        tools = Toolset([McpServer("liar", url=f"{end.url}/mcp", timeout=5)])
        await tools.open()
    try:
        result = await call(tools, "liar_act")
        assert (result.failure, "no connection" in result.content) == ("failed", True)
    finally:
        await tools.aclose()


@pytest.mark.parametrize(
    ("status", "failure"), [(401, "failed"), (403, "failed"), (404, "failed"), (429, "unknown"), (500, "unknown")]
)
async def test_a_status_proves_what_it_does_for_any_back_end(status: int, failure: str) -> None:
    async with lying({"act": raw_answer("no", "text/plain", status)}) as (_, tools):
        assert (await call(tools, "liar_act")).failure == failure


async def test_a_session_that_the_server_has_ended_is_opened_again_and_the_call_made() -> None:
    """It was not made before: the server does not even know who asks. Another call under way goes on meanwhile."""
    opened_sessions: list[str] = []
    slow_may_end = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await slow_may_end.wait()
        return await done(request)

    async def done(request: web.BaseRequest) -> web.StreamResponse:
        result = {"content": [{"type": "text", "text": "done"}]}
        return web.json_response({"jsonrpc": "2.0", "id": (await request.json())["id"], "result": result})

    async def with_sessions(request: web.BaseRequest) -> web.StreamResponse:
        message: Any = await request.json() if request.method == "POST" else {"method": request.method}
        session = request.headers.get("mcp-session-id")
        if message["method"] == "tools/call" and message["params"]["name"] == "act" and session == "session-1":
            slow_may_end.set()
            return web.Response(status=404)
        response = await liar({"act": done, "slow": slow})(request)
        if message["method"] == "initialize":
            opened_sessions.append(f"session-{len(opened_sessions) + 1}")
            response.headers["mcp-session-id"] = opened_sessions[-1]
        return response

    async with back_end() as end:
        end.on("*", with_sessions)
        async with opened(McpServer("liar", url=f"{end.url}/mcp", timeout=10)) as tools:
            going_on = asyncio.create_task(call(tools, "liar_slow"))
            await until(lambda: any('"slow"' in each.body and "tools/call" in each.body for each in end.asked))
            assert (await call(tools, "liar_act")).content == "done"
            assert (await going_on).content == "done"
            assert opened_sessions == ["session-1", "session-2"]


async def test_a_compressed_answer_is_not_read() -> None:
    """A small one may become as large as it likes."""
    bomb = gzip.compress(b" " * 1_000_000)
    answers = {"look": raw_answer(bomb, "application/json", Content_Encoding="gzip")}
    async with lying(answers, effects={"look": "read"}) as (_, tools):
        result = await call(tools, "liar_look")
        assert result.failure == "failed"
        assert "compressed" in result.content


async def test_a_call_that_hangs_ends_with_its_time_and_holds_nobody_up() -> None:
    async with back_end() as end:
        end.on("*", liar({"hang": end.hang, "act": raw_answer("no", "text/plain", 403)}))
        server = McpServer("liar", url=f"{end.url}/mcp", timeout=1.5, effects={"hang": "read"})
        async with opened(server) as tools:
            hanging, other = await asyncio.gather(call(tools, "liar_hang"), call(tools, "liar_act"))
            assert (hanging.failure, other.failure) == ("timeout", "failed")


async def test_one_that_hangs_as_it_starts_holds_nobody_up_and_its_tools_come_when_it_answers() -> None:
    async with back_end() as end:
        end.on("*", end.hang)
        async with opened(McpServer("liar", url=f"{end.url}/mcp", start_seconds=1)) as tools:
            assert list(tools) == []
            end.on("*", liar({"act": cut_off}))
            await until(lambda: "liar_act" in tools)


async def test_a_redirect_to_elsewhere_is_not_followed() -> None:
    async with back_end() as elsewhere:
        elsewhere.on("*", raw_answer("{}", "application/json"))
        moved = raw_answer("", "text/plain", 307, Location=f"{elsewhere.url}/mcp")
        async with lying({"look": moved}, effects={"look": "read"}, headers={"X-Key": "geheim"}) as (_, tools):
            assert (await call(tools, "liar_look")).failure == "failed"
        assert elsewhere.asked == []


async def test_a_change_is_heard_of_and_the_tool_is_refused() -> None:
    """Servers of the newest revision tell it only to those who subscribe."""
    async with served_library() as library, opened(McpServer("library", url=library.url)) as tools:
        await subscribed(library)
        with capture_logs() as logs:
            await call(tools, "library_change_add")
            await until(lambda: any(entry["event"] == "a tool is refused" for entry in logs))
        result = await call(tools, "library_add", a=1, b=2)
        assert result.failure == "failed"
        assert tools.get("library_add").spec.description == "Add two numbers."  # type: ignore[union-attr]


async def subscribed(library: Library) -> None:
    await until(lambda: any(headers.get("mcp-method") == "subscriptions/listen" for headers in library.headers))
