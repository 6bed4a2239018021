"""A run over a WebSocket, with a real server and a real client: its events, what the client says, who may connect."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from agent.events import TextDelta
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from tests.support.service import LocalService, running_service


@tool(effect="write")
async def refund(order: str) -> str:
    """Pay back."""
    return f"{order} paid back"


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    last = request.messages[-1]
    if "refund" in last.content and last.role == "user":
        return [ToolCall(id="c", name="refund", arguments='{"order": "R-7"}')]
    if "wait" in last.content:
        return ["one ", asyncio.Event().wait, "never"]
    return ["Ünï ", "cödé \u2028 ", "done."]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path, model=ScriptedModel(script), tools=[refund]) as service:
        yield service


async def begin(service: LocalService, message: str, key: str | None = None) -> str:
    """Ask, and leave as soon as there is a run; gives its id."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"message": message, "retrieval": "off"}
    async with service.client.stream("POST", "/v1/chat/stream", json=body, headers=headers) as response:
        assert response.status_code == 200
        return response.headers["x-run-id"]


@asynccontextmanager
async def opened(service: LocalService, run: str, query: str = "?after=0", **options: Any) -> AsyncIterator[Any]:
    url = f"{service.url.replace('http', 'ws')}/v1/runs/{run}/ws{query}"
    async with connect(url, proxy=None, **options) as connection:
        yield connection


async def say(connection: ClientConnection, **message: Any) -> None:
    await connection.send(json.dumps(message))


async def until(connection: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """The messages up to the first of this type."""
    told = []
    async for message in connection:
        told.append(json.loads(message))
        if told[-1]["type"] == kind:
            return told
    raise AssertionError(f"no {kind} among {told}")


async def rest(connection: ClientConnection) -> tuple[list[str], int | None]:
    """All that comes, and the code that the connection is closed with."""
    told: list[str] = []
    try:
        while True:
            told.append(str(await connection.recv()))
    except ConnectionClosed as closed:
        return told, closed.rcvd.code if closed.rcvd else None


async def frames(service: LocalService, run: str) -> list[str]:
    """The data of the run's events over SSE."""
    text = (await service.client.get(f"/v1/runs/{run}/events")).text
    return [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]


async def test_it_carries_the_same_bytes_as_the_stream_and_closes_after_the_end(service: LocalService) -> None:
    run = await begin(service, "Hello")
    async with opened(service, run) as connection:
        told, code = await rest(connection)
    assert told == await frames(service, run)
    assert json.loads(told[-1])["type"] == "run.completed"
    assert code == 1000
    for after in range(len(told) + 1):
        async with opened(service, run, "") as connection:
            await say(connection, type="resume", after=after)
            assert await rest(connection) == (told[after:], 1000)


async def test_a_run_is_cancelled_through_it(service: LocalService) -> None:
    run = await begin(service, "wait")
    async with opened(service, run) as connection:
        await until(connection, "text.delta")
        await say(connection, type="cancel", reason="changed my mind")
        told, code = await rest(connection)
    assert (json.loads(told[-1])["type"], json.loads(told[-1])["reason"]) == ("run.cancelled", "changed my mind")
    assert code == 1000


async def test_it_stays_open_while_the_run_waits_and_decides(service: LocalService) -> None:
    run = await begin(service, "refund it")
    async with opened(service, run) as connection:
        told = await until(connection, "run.waiting")
        approval = told[-1]["approvals"][0]
        await say(connection, type="decide", approval_id=approval, decision="edit", arguments={"order": "R-8"})
        resumed, code = await rest(connection)
        types = [json.loads(message)["type"] for message in resumed]
    assert types[:2] == ["approval.decided", "run.resumed"]
    assert '"R-8 paid back"' in "".join(resumed)
    assert (types[-1], code) == ("run.completed", 1000)


WRONG = {
    "not JSON": ("{", "invalid_request"),
    "no message": ('{"type": "shout"}', "invalid_request"),
    "a list": ("[]", "invalid_request"),
    "bytes that are no text": (b"\xff\x00", "invalid_request"),
    "a field that is none": ('{"type": "cancel", "why": "x"}', "invalid_request"),
    "resume once more": ('{"type": "resume", "after": 1}', "unexpected_message"),
    "an unknown approval": ('{"type": "decide", "approval_id": "x", "decision": "reject"}', "approval_not_found"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_message_that_cannot_be_done_is_answered_and_nothing_else_happens(
    service: LocalService, name: str
) -> None:
    message, code = WRONG[name]
    run = await begin(service, "wait")
    async with opened(service, run) as connection:
        await connection.send(message)
        (*_, refused) = await until(connection, "error")
        assert refused["code"] == code
        assert refused["detail"]
        await say(connection, type="cancel")
        await until(connection, "run.cancelled")


async def test_a_decision_that_was_made_is_told_with_its_code(service: LocalService) -> None:
    run = await begin(service, "refund it")
    async with opened(service, run) as one, opened(service, run) as other:
        approval = (await until(one, "run.waiting"))[-1]["approvals"][0]
        await until(other, "run.waiting")
        await service.client.post(f"/v1/approvals/{approval}", json={"decision": "reject"})
        await say(other, type="decide", approval_id=approval, decision="approve")
        told, _ = await rest(other)
    codes = [json.loads(message).get("code") for message in told]
    assert set(codes) <= {None, "approval_decided"}
    assert "paid back" not in "".join(told)


@pytest.mark.parametrize(
    ("query", "message", "code"),
    [
        ("", '{"type": "cancel"}', "resume_expected"),
        ("", '{"type": "resume"}', "invalid_request"),
        ("?after=-1", None, "invalid_after"),
        ("?after=x", None, "invalid_after"),
    ],
)
async def test_who_does_not_say_where_to_begin_is_told_so(
    service: LocalService, query: str, message: str | None, code: str
) -> None:
    run = await begin(service, "Hello")
    async with opened(service, run, query) as connection:
        if message is not None:
            await connection.send(message)
        told, closed = await rest(connection)
    assert [json.loads(each)["code"] for each in told] == [code]
    assert closed == 1008


async def test_a_run_that_is_not_there_is_told_as_such(service: LocalService) -> None:
    async with opened(service, "nothing") as connection:
        told, closed = await rest(connection)
    assert (json.loads(told[0])["code"], closed) == ("run_not_found", 1008)


async def test_a_message_that_is_too_long_ends_the_connection(service: LocalService) -> None:
    run = await begin(service, "wait")
    async with opened(service, run) as connection:
        await until(connection, "text.delta")
        await connection.send("x" * (2**18 + 1))
        _, closed = await rest(connection)
    assert closed == 1009


async def test_pages_from_elsewhere_may_not_connect_to_a_service_without_keys(service: LocalService) -> None:
    run = await begin(service, "Hello")
    for options in ({"origin": "http://evil.example"}, {"additional_headers": {"Host": "evil.example"}}):
        with pytest.raises(InvalidStatus) as refused:
            async with opened(service, run, **options):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["code"] == "forbidden_origin"
    async with opened(service, run, origin=service.url) as connection:
        assert (await rest(connection))[1] == 1000


async def test_with_keys_it_is_the_asker_who_is_told(service: LocalService) -> None:
    keys = KeyStore(service.services.knowledge.database)
    alice = (await keys.create(tenant="a", name="alice", scopes=["chat"])).text
    bob = (await keys.create(tenant="a", name="bob", scopes=["chat"])).text
    reader = (await keys.create(tenant="a", name="reader", scopes=["search"])).text
    run = await begin(service, "Hello", alice)
    whole, _ = await rest_with(service, run, alice)
    assert json.loads(whole[-1])["type"] == "run.completed"
    for key, code in ((bob, "run_not_found"), (reader, "forbidden"), (alice[:-1] + "x", "unauthenticated")):
        told, closed = await rest_with(service, run, key)
        assert ([json.loads(each)["code"] for each in told], closed) == ([code], 1008)
    async with opened(service, run, "") as connection:
        await say(connection, type="resume", after=0)
        told, closed = await rest(connection)
        assert (json.loads(told[0])["code"], closed) == ("unauthenticated", 1008)
    headers = {"Authorization": f"Bearer {alice}"}
    async with opened(service, run, additional_headers=headers) as connection:
        assert (await rest(connection))[0] == whole
    with pytest.raises(InvalidStatus) as refused:
        async with opened(service, run, additional_headers={"Authorization": "Bearer cairn_no"}):
            pass
    assert refused.value.response.status_code == 401
    async with opened(service, run, f"?after=0&key={alice}") as connection:
        await say(connection, type="resume", after=0)
        assert json.loads((await rest(connection))[0][0])["code"] == "unauthenticated"


async def rest_with(service: LocalService, run: str, key: str) -> tuple[list[str], int | None]:
    """All that is told to who says this key in the first message."""
    async with opened(service, run, "") as connection:
        await say(connection, type="auth", key=key)
        await say(connection, type="resume", after=0)
        return await rest(connection)


async def test_a_key_that_is_revoked_decides_nothing_more(service: LocalService) -> None:
    keys = KeyStore(service.services.knowledge.database)
    alice = await keys.create(tenant="a", name="alice", scopes=["chat"])
    run = await begin(service, "wait", alice.text)
    async with opened(service, run, "?after=0") as connection:
        await say(connection, type="auth", key=alice.text)
        await until(connection, "text.delta")
        await keys.revoke(alice.key.id)
        told: list[Any] = []
        while not told or told[-1]["code"] != "unauthenticated":
            # It was good a second ago, and may be remembered for as long.
            await say(connection, type="decide", approval_id="x", decision="reject")
            told += await until(connection, "error")
        assert {each["code"] for each in told} <= {"forbidden", "unauthenticated"}


async def test_readers_that_do_not_read_cost_no_memory(service: LocalService) -> None:
    run = await begin(service, "wait")
    idle = [await stalled(service, run) for _ in range(40)]
    await until(idle[0], "text.delta")
    memory = psutil.Process().memory_info().rss
    for _ in range(1000):
        await service.services.events.append(run, [TextDelta("x" * 10_000)])
        await asyncio.sleep(0)
    await say(idle[1], type="cancel")
    whole = await frames(service, run)
    assert len(whole) > 1000
    # What forty have not read makes 400 MB; the log itself is in memory once while the run goes on.
    assert psutil.Process().memory_info().rss - memory < 150 * 2**20
    assert ([json.loads(await idle[2].recv())["seq"]], (await rest(idle[2]))[1]) == ([1], 1000)
    for connection in idle:
        connection.transport.abort()


async def stalled(service: LocalService, run: str) -> ClientConnection:
    """A connection that takes a message or two, and no more until it is asked for them."""
    url = f"{service.url.replace('http', 'ws')}/v1/runs/{run}/ws?after=0"
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", int(service.url.rsplit(":", 1)[1])))
    narrow.setblocking(False)
    return await connect(url, sock=narrow, proxy=None, max_queue=1, max_size=None, compression=None)


async def test_when_the_service_stops_the_client_is_asked_to_come_back(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(script)) as service:
        run = await begin(service, "wait")
        async with opened(service, run) as connection:
            await until(connection, "text.delta")
            await service.services.events.aclose()
            with pytest.raises(ConnectionClosedError):
                await connection.recv()
            assert connection.close_code == 1012
