"""The service as an MCP server, asked by the official SDK over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult

from models.scripted import ScriptedModel
from records.keys import KeyStore
from records.principal import Scope
from service.api import create_app
from service.mcp.endpoint import McpEndpoint
from service.metrics import Metrics
from tests.support.mcp_server import serving_app
from tests.support.service import LocalService, running_service, served, share_models
from tools.decorator import tool
from tools.principal import FromPrincipal
from tools.results import ToolContext

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOST = (BaseExceptionGroup, MCPError, httpx2.TransportError)
"""How the SDK says that a connection broke: it depends on where."""


def keyed(key: object) -> Any:
    """The ``_meta`` of a call that has a key."""
    return {"cairn/idempotency-key": key}


@tool
def who(customer: Annotated[str, FromPrincipal("customer")], context: ToolContext) -> str:
    """Say whom this is for."""
    token = context.subject_token
    return f"{customer}, {'somebody' if token and token.get_secret_value() == 'token-of-ada' else 'no one'}"


class Till:
    """Tools, and what they did."""

    def __init__(self) -> None:
        self.further: list[Any] = []
        self.clear()

    def clear(self) -> None:
        self.paid: list[str] = []
        self.begun = asyncio.Event()
        self.released = asyncio.Event()
        self.ended: list[str] = []

    @property
    def tools(self) -> list[Any]:
        @tool
        def weather(city: str) -> dict[str, str]:
            """The weather in a city."""
            return {"city": city, "sky": "clear"}

        @tool
        def broken() -> str:
            """Never works."""
            raise ValueError("there is no such shelf")

        @tool(effect="write")
        def pay(order: str, context: ToolContext) -> str:
            """Pay for an order."""
            self.paid.append(f"{order} under {context.idempotency_key[-4:]}")
            return f"{order} is paid"

        @tool(effect="write", autonomy="auto")
        def note(text: str) -> str:
            """Note something down."""
            self.paid.append(text)
            return "noted"

        @tool
        async def wait() -> str:
            """Wait."""
            return await self._waited("wait")

        @tool(effect="write", autonomy="auto", timeout=20)
        async def wait_and_write() -> str:
            """Wait, and then write."""
            return await self._waited("wait_and_write")

        return [weather, broken, pay, note, wait, wait_and_write, *self.further]

    async def _waited(self, name: str) -> str:
        self.begun.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        self.ended.append(f"{name} done")
        return "done"


@asynccontextmanager
async def serving(folder: Path, till: Till, **settings: Any) -> AsyncIterator[LocalService]:
    model = ScriptedModel(lambda _: ["Fine."])
    async with running_service(folder, model=model, tools=till.tools, mcp_server=True, **settings) as service:
        yield service


@dataclass(frozen=True)
class Open:
    """A service that everybody on this machine may ask, and what its tools did."""

    service: LocalService
    till: Till


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Open]:
    till = Till()
    async with serving(tmp_path_factory.mktemp("open"), till) as service:
        yield Open(service, till)


@pytest.fixture
def open_service(shared: Open) -> Open:
    """The shared one; its tools have done nothing yet."""
    shared.till.clear()
    return shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    """A service that nobody may ask without a key."""
    till = Till()
    till.further.append(who)
    async with serving(tmp_path_factory.mktemp("keyed"), till) as service:
        await key_for(service, "metrics")
        while (await service.client.get("/v1/runs")).status_code != 401:  # a key is known within a second
            await asyncio.sleep(0.05)
        yield service


@asynccontextmanager
async def client(
    service: LocalService, key: str | None = None, mode: str = "auto", headers: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    sent = {**(headers or {}), **({} if key is None else {"Authorization": f"Bearer {key}"})}
    async with httpx2.AsyncClient(headers=sent, timeout=30) as http:
        transport = streamable_http_client(f"{service.url}/mcp", http_client=http)
        async with Client(transport, mode=mode, cache=None) as opened:
            yield opened


async def key_for(service: LocalService, *scopes: Scope, tenant: str = "default") -> str:
    made = await KeyStore(service.services.knowledge.database).create(tenant=tenant, name="test", scopes=scopes)
    return made.text


def said(result: CallToolResult) -> str:
    assert len(result.content) == 1
    return str(getattr(result.content[0], "text", None))


async def decide(service: LocalService, approval: str, decision: str) -> None:
    decided = await service.client.post(f"/v1/approvals/{approval}", json={"decision": decision})
    assert decided.status_code == 200, decided.text


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_are_listed_and_called_in_every_revision(open_service: Open, mode: str) -> None:
    service = open_service.service
    async with client(service, mode=mode) as mcp:
        listed = {each.name: each for each in (await mcp.list_tools()).tools}
        assert listed.keys() >= {"search_documents", "weather", "pay", "get_call_result"}
        assert listed["weather"].annotations.read_only_hint  # type: ignore[union-attr]
        assert not listed["pay"].annotations.read_only_hint  # type: ignore[union-attr]
        result = await mcp.call_tool("weather", {"city": "Bergen"})
        assert (result.is_error, result.structured_content) == (False, {"city": "Bergen", "sky": "clear"})


async def test_a_search_brings_the_passages(open_service: Open) -> None:
    service = open_service.service
    document = {"file": ("loans.md", b"# Loans\n\nBooks may be kept for four weeks.", "text/markdown")}
    assert (await service.client.post("/v1/documents", files=document)).status_code in {200, 201}
    async with client(service) as mcp:
        result = await mcp.call_tool("search_documents", {"query": "How long may books be kept?"})
    assert "Books may be kept for four weeks." in said(result)
    assert result.structured_content["passages"][0]["title"] == "Loans"


async def test_what_a_tool_says_of_a_failure_is_an_error(open_service: Open) -> None:
    service = open_service.service
    async with client(service) as mcp:
        failed = await mcp.call_tool("broken")
        assert (failed.is_error, "there is no such shelf" in said(failed)) == (True, True)
        wrong = await mcp.call_tool("weather", {"town": "Bergen"})
        assert (wrong.is_error, "town: no such argument" in said(wrong)) == (True, True)
        assert wrong.structured_content == {"failure": "invalid_arguments"}
        with pytest.raises(MCPError, match="there is no tool 'nothing'"):
            await mcp.call_tool("nothing")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_effect_waits_for_a_person_and_happens_once_however_often_it_is_asked_for(
    open_service: Open, mode: str
) -> None:
    service, till = open_service.service, open_service.till
    async with client(service, mode=mode) as mcp:

        async def ask() -> CallToolResult:
            return await mcp.call_tool("pay", {"order": "o-1"}, meta=keyed(f"order-{mode}"))

        waiting = await asyncio.gather(*(ask() for _ in range(5)))
        assert {each.structured_content["status"] for each in waiting} == {"waiting_approval"}
        assert len({each.structured_content["run_id"] for each in waiting}) == 1
        (approval,) = waiting[0].structured_content["approvals"]
        assert approval in said(waiting[0])
        assert till.paid == []
        await decide(service, approval, "approve")
        done = await asyncio.gather(*(ask() for _ in range(5)))
        assert {said(each) for each in done} == {"o-1 is paid"}
        assert till.paid == ["o-1 under :1:0"]


async def test_a_call_that_waits_outlives_the_service(tmp_path: Path) -> None:
    till = Till()
    async with serving(tmp_path, till) as service, client(service) as mcp:
        waiting = (await mcp.call_tool("pay", {"order": "o-1"}, meta=keyed("order-1"))).structured_content
    async with serving(tmp_path, till) as service, client(service) as mcp:
        again = (await mcp.call_tool("pay", {"order": "o-1"}, meta=keyed("order-1"))).structured_content
        assert again == waiting
        await decide(service, waiting["approvals"][0], "approve")
        assert said(await mcp.call_tool("pay", {"order": "o-1"}, meta=keyed("order-1"))) == "o-1 is paid"
        assert len(till.paid) == 1


async def test_a_result_may_be_asked_for_by_its_run(open_service: Open) -> None:
    service, till = open_service.service, open_service.till
    async with client(service) as mcp:
        waiting = (await mcp.call_tool("pay", {"order": "o-1"})).structured_content
        asked = {"run_id": waiting["run_id"]}
        assert (await mcp.call_tool("get_call_result", asked)).structured_content == waiting
        await decide(service, waiting["approvals"][0], "approve")
        done = await mcp.call_tool("get_call_result", {**asked, "wait_seconds": 10})
        assert (said(done), done.is_error, len(till.paid)) == ("o-1 is paid", False, 1)


async def test_what_a_person_rejects_is_an_error_and_not_done(open_service: Open) -> None:
    service, till = open_service.service, open_service.till
    async with client(service) as mcp:
        waiting = (await mcp.call_tool("pay", {"order": "o-1"})).structured_content
        await decide(service, waiting["approvals"][0], "reject")
        done = await mcp.call_tool("get_call_result", {"run_id": waiting["run_id"], "wait_seconds": 10})
        assert (done.is_error, done.structured_content, till.paid) == (True, {"failure": "rejected"}, [])


async def test_a_key_belongs_to_one_request(open_service: Open) -> None:
    service, till = open_service.service, open_service.till
    async with client(service) as mcp:
        meta = keyed("note-1")
        for _ in range(2):
            assert said(await mcp.call_tool("note", {"text": "a"}, meta=meta)) == "noted"
        with pytest.raises(MCPError, match="sent before with another request"):
            await mcp.call_tool("note", {"text": "b"}, meta=meta)
        await mcp.call_tool("note", {"text": "a"})
        assert till.paid == ["a", "a"]
        for wrong in ("", "x" * 256, "a b", 7):
            with pytest.raises(MCPError, match="1 to 255 visible ASCII"):
                await mcp.call_tool("note", {"text": "c"}, meta=keyed(wrong))


async def test_a_call_is_made_for_the_user_whose_token_comes_with_it(keyed_service: LocalService) -> None:
    store = KeyStore(keyed_service.services.knowledge.database)
    made = await store.create(tenant="default", name="shop", scopes=["tools:call"], attributes={"customer": "c-7"})
    async with client(keyed_service, made.text, headers={"Cairn-Subject-Token": "token-of-ada"}) as mcp:
        assert said(await mcp.call_tool("who", meta=keyed("k"))) == "c-7, somebody"
        # What is filled from the key is nobody's to give.
        assert (await mcp.call_tool("who", {"customer": "c-8"})).is_error
    async with client(keyed_service, made.text, headers={"Cairn-Subject-Token": "token-of-ben"}) as mcp:
        with pytest.raises(MCPError, match="sent before with another request"):
            await mcp.call_tool("who", meta=keyed("k"))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_cancels_ends_what_reads(open_service: Open, mode: str) -> None:
    till = open_service.till
    async with client(open_service.service, mode=mode) as mcp:
        calling = asyncio.create_task(mcp.call_tool("wait"))
        await till.begun.wait()
        calling.cancel()
        await until(lambda: till.ended == ["wait cancelled"])


@pytest.mark.parametrize("name", ["wait", "wait_and_write"])
async def test_a_connection_that_is_cut_leaves_a_call_to_be_asked_for_under_its_key(
    open_service: Open, name: str
) -> None:
    service, till = open_service.service, open_service.till
    meta = keyed(f"cut-{name}")
    async with client(service) as mcp:
        calling = asyncio.create_task(mcp.call_tool(name, meta=meta))
        await till.begun.wait()
        calling.cancel()
    async with client(service) as mcp:
        again = asyncio.create_task(mcp.call_tool(name, meta=meta))
        till.released.set()
        assert said(await again) == "done"
    assert till.ended == [f"{name} done"]


async def test_nobody_calls_without_a_key_once_there_is_one(keyed_service: LocalService) -> None:
    key = await key_for(keyed_service, "tools:read", "tools:call")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for wrong in (None, "cairn_wrong_key", key[:-1] + "x"):
        headers = {"Accept": "application/json, text/event-stream"}
        headers |= {} if wrong is None else {"Authorization": f"Bearer {wrong}"}
        answer = await keyed_service.client.post("/mcp", json=body, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    async with client(keyed_service, key) as mcp:
        assert (await mcp.call_tool("weather", {"city": "Bergen"})).is_error is False


async def test_a_key_needs_the_scope(keyed_service: LocalService) -> None:
    reads = await key_for(keyed_service, "tools:read", "chat", "search")
    async with client(keyed_service, reads) as mcp:
        assert (await mcp.list_tools()).tools
        with pytest.raises(MCPError, match="lacks the scope 'tools:call'"):
            await mcp.call_tool("weather", {"city": "Bergen"})
    async with client(keyed_service, await key_for(keyed_service, "chat", "search")) as mcp:
        with pytest.raises(MCPError, match="lacks the scope 'tools:read'"):
            await mcp.list_tools()


async def test_another_tenant_sees_nothing_of_a_call(keyed_service: LocalService) -> None:
    mine = await key_for(keyed_service, "tools:call")
    others = [await key_for(keyed_service, "admin", tenant="other"), await key_for(keyed_service, "tools:call")]
    async with client(keyed_service, mine) as mcp:
        meta = keyed("order-1")
        waiting = (await mcp.call_tool("pay", {"order": "o-1"}, meta=meta)).structured_content
    for key in others:
        async with client(keyed_service, key) as mcp:
            with pytest.raises(MCPError, match="there is no run"):
                await mcp.call_tool("get_call_result", {"run_id": waiting["run_id"]})
            # A key of the same name is another's.
            theirs = (await mcp.call_tool("pay", {"order": "o-1"}, meta=meta)).structured_content
            assert theirs["run_id"] != waiting["run_id"]


async def test_a_session_is_its_openers_alone(keyed_service: LocalService) -> None:
    """In the older revisions a session has an id, which others may come to know."""
    mine, theirs = await key_for(keyed_service, "admin"), await key_for(keyed_service, "admin")
    accepts = {"Accept": "application/json, text/event-stream"}
    opening = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    opened = await keyed_service.client.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": opening},
        headers={**accepts, "Authorization": f"Bearer {mine}"},
    )
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for key, status in ((theirs, 404), (mine, 202)):
        headers = {**accepts, **session, "Authorization": f"Bearer {key}"}
        assert (await keyed_service.client.post("/mcp", json=body, headers=headers)).status_code == status


async def test_pages_from_elsewhere_and_large_bodies_are_turned_away(open_service: Open) -> None:
    service = open_service.service
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream"}
    foreign = await service.client.post("/mcp", json=body, headers={**headers, "Origin": "https://example.org"})
    assert foreign.status_code == 403
    rebound = await service.client.post("/mcp", json=body, headers={**headers, "Host": "example.org"})
    assert rebound.status_code == 403
    large = await service.client.post("/mcp", json={**body, "params": {"x": "y" * 2_000_000}}, headers=headers)
    assert large.status_code == 413


async def test_where_services_share_the_work_no_session_is_kept(open_service: Open) -> None:
    """Any of them may answer any request, of the older revisions too."""
    service, till = open_service.service, open_service.till
    app = create_app(service.services, Metrics())
    endpoint = McpEndpoint(service.services, sessions=False)
    app.router.routes.insert(0, endpoint.route)
    async with serving_app(app) as url, client(replace(service, url=url), mode="legacy") as mcp:
        for _ in range(2):
            assert said(await mcp.call_tool("note", {"text": "a"}, meta=keyed("shared-1"))) == "noted"
        assert till.paid == ["a"]
        await endpoint.aclose()


async def test_nothing_is_served_unless_the_operator_says_so(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Fine."])) as service:
        assert (await service.client.post("/mcp", json={})).status_code == 404


async def test_a_service_that_stops_does_not_wait_for_sessions(tmp_path: Path) -> None:
    """Clients of older revisions keep a stream open as long as they live."""
    async with asyncio.timeout(60):
        async with serving(tmp_path, Till()) as service, client(service, mode="legacy") as mcp:
            await mcp.list_tools()
            await service.services.closing.aclose()
            answer = await service.client.post("/mcp", content=json.dumps({}))
            assert answer.status_code >= 400


@pytest.mark.slow
async def test_a_service_that_is_killed_in_a_call_makes_it_once_all_the_same(tmp_path: Path) -> None:
    """The client sends the call again, to the next process: the tool acts once for both."""
    ledger = tmp_path / "ledger"
    arguments = ("--tools", "tests/support/payout_tools.py")
    env = {"CAIRN_MCP_SERVER": "true", "LEDGER": str(ledger)}
    share_models(tmp_path / "data")

    async def pay_out(url: str) -> str:
        async with Client(f"{url}/mcp", cache=None) as mcp:
            return said(await mcp.call_tool("pay_out", {"order": "o-1"}, meta=keyed("payout-1")))

    with served(tmp_path / "data", *arguments, env=env) as url, pytest.raises(LOST):
        await pay_out(url)
    with served(tmp_path / "data", *arguments, env=env) as url:
        assert await pay_out(url) == "o-1 is paid out"
        assert await pay_out(url) == "o-1 is paid out"
    assert len(ledger.read_text().splitlines()) == 1
