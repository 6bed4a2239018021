"""Looking at the cache over HTTP, emptying it, and saying that one of its answers is wrong."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from models.messages import ModelRequest
from models.scripted import Hook, ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import Principal, Scope
from tests.support.service import Event, LocalService, ask, events, running_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "How long may I return headphones?"
_WHO: tuple[Scope, ...] = ("admin", "chat", "chat")
ALWAYS = {"enabled": True, "shadow": 0.0}


def script(request: ModelRequest) -> list[ScriptItem]:
    if not request.passages:
        return ["I do not know."]
    return [f"{request.passages[0].text.splitlines()[-1]} [1]"]


@dataclass
class Desk:
    """A service with keys; every request is sent with one of them.

    Attributes:
        meanwhile: What happens while the model answers.
    """

    service: LocalService
    meanwhile: list[Hook] = field(default_factory=list)

    async def key(self, tenant: str, *scopes: Scope, groups: tuple[str, ...] = ()) -> str:
        keys = KeyStore(self.service.services.knowledge.database)
        return (await keys.create(tenant=tenant, name="k", scopes=scopes, groups=groups)).text

    async def call(self, key: str, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return await self.service.client.request(method, f"/v1{path}", headers=headers, **request)

    async def write(self, key: str, text: str, **more: Any) -> None:
        body = {"title": "Returns", "uri": "returns", "text": text, "trust": "trusted", **more}
        (await self.call(key, "POST", "/documents", json=body)).raise_for_status()

    async def ask(self, key: str, question: str = QUESTION, *, settled: bool = True, **more: Any) -> list[Event]:
        self.service.client.headers["Authorization"] = f"Bearer {key}"
        told = await ask(self.service, question, **more)
        if settled:
            await self.service.services.runs.settled()
        return told

    async def hits(self, key: str, question: str = QUESTION, **more: Any) -> bool:
        return bool((await self.ask(key, question, **more))[-1].data["cached"])

    async def wrong(self, key: str, asked: list[Event]) -> None:
        path = f"/runs/{asked[0].data['run_id']}/feedback"
        (await self.call(key, "POST", path, json={"verdict": "wrong"})).raise_for_status()

    async def explain(self, key: str, question: str = QUESTION, **more: Any) -> Any:
        answer = await self.call(key, "POST", "/cache/explain", json={"question": question, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """One for all tests, each of which has tenants of its own."""
    meanwhile: list[Hook] = []
    model = ScriptedModel(lambda request: [*script(request), *meanwhile])
    async with running_service(tmp_path_factory.mktemp("desk"), model=model, cache=ALWAYS) as service:
        yield Desk(service, meanwhile)


async def test_the_cache_is_looked_at_and_emptied_within_its_tenant(desk: Desk) -> None:
    admin, other = await desk.key("acme", "admin"), await desk.key("umbrella", "admin")
    empty = (await desk.call(admin, "GET", "/cache")).json()
    assert (empty["enabled"], empty["entries"], empty["collections"], empty["counts"]) == (True, 0, {}, {})
    for each in (admin, other):
        await desk.write(each, "Headphones may be returned within 14 days.")
        assert [await desk.hits(each), await desk.hits(each)] == [False, True]
    await desk.write(admin, "Headphones may be returned within 99 days.", collection="staff")
    assert not await desk.hits(admin, collection="staff")

    stats = (await desk.call(admin, "GET", "/cache")).json()
    assert (stats["entries"], stats["collections"]) == (2, {"default": 1, "staff": 1})
    assert {"exact": 1, "missed": 2, "stored": 2}.items() <= stats["counts"].items()
    told = await desk.explain(admin)
    entry = told["kept"]["entry_id"]

    async def purged(key: str, **params: str) -> int:
        answer = await desk.call(key, "DELETE", "/cache", params=params)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["entries"])

    assert await purged(other, entry_id=entry) == 0
    assert await purged(admin, entry_id=entry, collection="staff") == 0
    assert await purged(admin, entry_id=entry) == 1
    assert await purged(admin, collection="nowhere") == 0
    assert await purged(admin) == 1
    assert not await desk.hits(admin)
    assert (await desk.call(other, "GET", "/cache")).json()["entries"] == 1
    for wrong in ({"entry_id": "\x00"}, {"collection": "a/b"}, {"collection": ""}, {"colection": "default"}):
        assert (await desk.call(admin, "DELETE", "/cache", params=wrong)).status_code == 422
    assert await desk.hits(other)


async def test_a_decision_is_explained_for_whoever_asks_and_changes_nothing(desk: Desk) -> None:
    admin = await desk.key("explained", "admin")
    staff, guest = await desk.key("explained", "chat", groups=("staff",)), await desk.key("explained", "chat")
    missing = await desk.call(staff, "POST", "/cache/explain", json={"question": QUESTION})
    assert (missing.status_code, missing.json()["code"]) == (404, "collection_not_found")
    await desk.write(admin, "Headphones may be returned within 14 days.")
    assert (await desk.explain(staff))["reason"] == "empty"
    await desk.ask(staff)

    before = (await desk.call(admin, "GET", "/cache")).json()
    hit = await desk.explain(staff, " how long may I return headphones")
    assert (hit["outcome"], hit["reason"], hit["decided_by"], hit["score"]) == ("hit", "", "exact", 1.0)
    assert (hit["kept"]["question"], "14 days" in hit["kept"]["answer"]) == (QUESTION, True)
    assert hit["decision"][0] == "it was asked before in these words"
    near = "How long may I not return headphones?"
    miss = await desk.explain(staff, near)
    assert (miss["outcome"], miss["reason"], miss["decided_by"], miss["kept"]) == ("miss", "refused", None, None)
    [neighbour] = miss["neighbours"]
    assert (neighbour["entry_id"], neighbour["question"]) == (hit["kept"]["entry_id"], None)
    assert neighbour["similarity"] > 0.5
    assert neighbour["disagreements"]
    assert (await desk.explain(guest))["reason"] == "empty"
    assert (await desk.call(admin, "GET", "/cache")).json() == before

    await desk.ask(admin)
    assert [each["question"] for each in (await desk.explain(admin, near))["neighbours"]] == [QUESTION]
    refused = {
        "collection_not_found": {"collection": "nowhere"},
        "model_not_offered": {"model": "openai:other"},
        "message_rejected": {"question": " \u202e "},
        "invalid_request": {"question": QUESTION, "session_id": "s"},
    }
    for code, given in refused.items():
        answer = await desk.call(staff, "POST", "/cache/explain", json={"question": QUESTION, **given})
        assert answer.json()["code"] == code, answer.text
    assert (await desk.explain(staff, "x" * 3000))["reason"] == "oversized"


async def test_a_wrong_answer_is_given_to_nobody_again_whether_it_was_kept_or_made(desk: Desk) -> None:
    admin, mine, colleagues = [await desk.key("wrong", each) for each in _WHO]
    await desk.write(admin, "Headphones may be returned within 14 days.")

    made = await desk.ask(mine)
    assert await desk.hits(colleagues)
    await desk.wrong(mine, made)
    assert not await desk.hits(colleagues)

    given = await desk.ask(mine)
    assert given[-1].data["cached"]
    await desk.wrong(mine, given)
    assert [await desk.hits(colleagues), await desk.hits(mine)] == [False, True]

    follow_up = await desk.ask(mine, session_id=given[0].data["session_id"])
    await desk.wrong(mine, follow_up)
    assert await desk.hits(colleagues), "what was said in a conversation is nobody else's answer"


async def test_whoever_calls_an_answer_wrong_before_it_is_kept_is_heard_as_well(desk: Desk) -> None:
    admin = await desk.key("hasty", "admin")
    await desk.write(admin, "Headphones may be returned within 14 days.")
    services = desk.service.services

    async def complain() -> None:
        run = (await desk.call(admin, "GET", "/runs")).json()["items"][0]["run_id"]
        asker = Principal(tenant="hasty", id=admin.split("_")[1])
        await services.run_store.get(asker, run)
        await services.feedback.give(asker, run, "wrong", question=QUESTION)

    desk.meanwhile.append(complain)
    await desk.ask(admin)
    desk.meanwhile.clear()
    stats = (await desk.call(admin, "GET", "/cache")).json()
    assert (stats["entries"], stats["counts"]["stored"]) == (0, 1)
    assert [await desk.hits(admin), await desk.hits(admin)] == [False, True]


async def test_whoever_followed_another_run_can_call_its_answer_wrong(desk: Desk) -> None:
    admin = await desk.key("followers", "admin")
    await desk.write(admin, "Headphones may be returned within 14 days.")
    told, seen = asyncio.Event(), list[Event]()

    async def follow() -> None:
        async with desk.service.client.stream("POST", "/v1/chat/stream", json={"message": QUESTION}) as response:
            async for event in events(response):
                seen.append(event)
                if event.type == "cache.hit":
                    told.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:

        async def begin() -> None:
            group.create_task(follow())
            await told.wait()

        desk.meanwhile.append(begin)
        await desk.ask(admin)
    desk.meanwhile.clear()
    hit = next(event for event in seen if event.type == "cache.hit")
    assert hit.data["decided_by"] == "concurrent"
    assert await desk.hits(admin)
    await desk.wrong(admin, seen)
    assert not await desk.hits(admin)


async def test_without_the_cache_its_routes_say_so(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(script), cache={"enabled": False}) as service:
        desk = Desk(service)
        admin = await desk.key("acme", "admin")
        await desk.write(admin, "Headphones may be returned within 14 days.")
        run = await desk.ask(admin)
        await desk.wrong(admin, run)
        assert (await desk.explain(admin))["reason"] == "disabled"
        stats = (await desk.call(admin, "GET", "/cache")).json()
        assert (stats["enabled"], stats["entries"]) == (False, 0)
