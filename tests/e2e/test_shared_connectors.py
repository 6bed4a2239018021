"""Connectors of services that share their stores: one rate for all, and the asker's token wherever a run goes on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cairn import ForwardToken, HttpApi, ToolContext, tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.back_end import BackEnd, back_end, json_answer
from tests.support.postgres import fresh_postgres
from tests.support.redis import URL, reachable_redis
from tests.support.service import LocalService, events, running_service
from tools.toolset import coerce

NOWHERE = "http://127.0.0.1:9"  # nothing here searches


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    last = request.messages[-1]
    return ["Done."] if last.role == "tool" else [ToolCall(id="c", name=last.content, arguments="{}")]


@dataclass(frozen=True)
class Twins:
    """Two services with tools and connectors of their own, and the back end of both."""

    one: LocalService
    two: LocalService
    end: BackEnd


@pytest.fixture
async def twins(tmp_path: Path) -> AsyncIterator[Twins]:
    async with AsyncExitStack() as stack:
        end = await stack.enter_async_context(back_end())
        end.on("*", json_answer({"ok": True}))
        postgres = await stack.enter_async_context(fresh_postgres())
        await stack.enter_async_context(reachable_redis())

        async def service(name: str) -> LocalService:
            api = HttpApi(end.url, rate="3/hour", auth=ForwardToken())
            stack.push_async_callback(api.aclose)

            @tool
            async def look(context: ToolContext) -> Any:
                """Look."""
                return await api.request("GET", "/me", context=context)

            @tool(effect="write", idempotent=True)
            async def change(context: ToolContext) -> Any:
                """Change."""
                return await api.request("POST", "/me", context=context)

            serving = running_service(
                tmp_path / name,
                model=ScriptedModel(script),
                tools=[_keeping(look, api), _keeping(change, api)],
                database_url=postgres,
                redis_url=URL,
                retrieval={"qdrant_url": NOWHERE},
                secret="5e" * 32,
            )
            return await stack.enter_async_context(serving)

        yield Twins(await service("one"), await service("two"), end)


def _keeping(decorated: Any, api: HttpApi) -> Any:
    return replace(coerce(decorated), resources=(api,))


async def ask(service: LocalService, message: str) -> dict[str, Any]:
    headers = {"Cairn-Subject-Token": "token-of-ada"}
    body = {"message": message, "retrieval": "off"}
    return (await service.client.post("/v1/chat", json=body, headers=headers)).json()  # type: ignore[no-any-return]


async def test_services_share_one_rate(twins: Twins) -> None:
    answered = [await ask(service, "look") for service in (twins.one, twins.two) * 2]
    assert [each["tool_calls"][0]["failure"] for each in answered] == [None, None, None, "rate_limited"]
    assert "its limit of 3/hour is used up; try again in" in answered[-1]["tool_calls"][0]["content"]
    assert len(twins.end.asked) == 3


async def test_a_run_that_goes_on_in_another_process_acts_with_its_askers_token(twins: Twins) -> None:
    waiting = await ask(twins.one, "change")
    assert twins.end.asked == []
    path = f"/v1/approvals/{waiting['approvals'][0]['approval_id']}"
    assert (await twins.two.client.post(path, json={"decision": "approve"})).status_code == 200
    after = {"Last-Event-ID": "4"}  # which is run.waiting
    async with twins.one.client.stream("GET", f"/v1/runs/{waiting['run_id']}/events", headers=after) as response:
        types = [event.type async for event in events(response)]
    assert types[-1] == "run.completed"
    assert [(each.method, each.headers["Authorization"]) for each in twins.end.asked] == [
        ("POST", "Bearer token-of-ada")
    ]


async def test_a_run_from_the_queue_acts_with_its_askers_token(twins: Twins) -> None:
    headers = {"Cairn-Subject-Token": "token-of-ben"}
    body = {"message": "look", "retrieval": "off"}
    accepted = (await twins.one.client.post("/v1/runs", json=body, headers=headers)).json()
    async with twins.two.client.stream("GET", f"/v1/runs/{accepted['run_id']}/events") as response:
        types = [event.type async for event in events(response)]
    assert types[-1] == "run.completed"
    assert [each.headers["Authorization"] for each in twins.end.asked] == ["Bearer token-of-ben"]
