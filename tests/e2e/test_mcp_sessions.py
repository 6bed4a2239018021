"""Sessions of MCP clients of the older revisions: as many as the operator allows, and none that is used is ended."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from records.keys import KeyStore
from tests.support.service import LocalService, running_service

REVISION = "2025-06-18"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path, mcp_server=True, mcp_sessions=3) as running:
        yield running


async def post(service: LocalService, session: str | None, key: str | None = None, **message: Any) -> Any:
    """Send a message as a client does that keeps no stream open."""
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": REVISION}
    headers |= {} if session is None else {"Mcp-Session-Id": session}
    headers |= {} if key is None else {"Authorization": f"Bearer {key}"}
    return await service.client.post("/mcp", json={"jsonrpc": "2.0", **message}, headers=headers)


async def begun(service: LocalService, key: str | None = None) -> str:
    """A session that is begun and left alone; gives its id."""
    about = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    answer = await post(service, None, key, id=0, method="initialize", params=about)
    assert answer.status_code == 200, answer.text
    session: str = answer.headers["mcp-session-id"]
    told = await post(service, session, key, method="notifications/initialized")
    assert told.status_code == 202
    return session


async def used(service: LocalService, session: str, key: str | None = None) -> int:
    """What the service answers in a session."""
    status: int = (await post(service, session, key, id=1, method="tools/list")).status_code
    return status


async def test_a_further_session_takes_the_place_of_the_one_that_was_not_used_for_longest(
    service: LocalService,
) -> None:
    first, second, third = [await begun(service) for _ in range(3)]
    assert await used(service, first) == 200
    fourth = await begun(service)
    assert [await used(service, each) for each in (first, second, third, fourth)] == [200, 404, 200, 200]


async def test_a_session_that_its_client_has_ended_leaves_room(service: LocalService) -> None:
    sessions = [await begun(service) for _ in range(3)]
    ended = await service.client.delete("/mcp", headers={"Mcp-Session-Id": sessions[1]})
    assert ended.status_code == 200
    sessions[1] = await begun(service)
    assert [await used(service, each) for each in sessions] == [200] * 3


async def test_a_session_with_an_open_stream_stays_and_where_there_is_no_other_the_next_is_refused(
    service: LocalService,
) -> None:
    sessions = [await begun(service) for _ in range(3)]
    async with AsyncExitStack() as streams:
        for session in sessions:
            headers = {"Accept": "text/event-stream", "Mcp-Session-Id": session, "MCP-Protocol-Version": REVISION}
            stream = await streams.enter_async_context(service.client.stream("GET", "/mcp", headers=headers))
            assert stream.status_code == 200
        about = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        refused = await post(service, None, id=0, method="initialize", params=about)
        assert refused.status_code == 503
        assert [await used(service, each) for each in sessions] == [200] * 3


async def test_whoever_has_many_sessions_pushes_out_his_own(service: LocalService) -> None:
    keys = KeyStore(service.services.knowledge.database)
    modest, greedy = [
        (await keys.create(tenant=tenant, name="k", scopes=["tools:call", "tools:read"])).text for tenant in ("a", "b")
    ]
    kept = await begun(service, modest)
    own = [await begun(service, greedy) for _ in range(4)]
    assert await used(service, kept, modest) == 200
    assert [await used(service, each, greedy) for each in own] == [404, 404, 200, 200]
