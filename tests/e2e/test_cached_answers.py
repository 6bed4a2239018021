"""Answers that are given again: like fresh ones to whoever reads them, for nobody else, and not a moment too long."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import Scope
from tests.support.service import Event, LocalService, ask, running_service

QUESTION = "How long may I return headphones?"
_OWN = {"run_id": "", "seq": 0, "duration_ms": 0}
ALWAYS = {"enabled": True, "shadow": 0.0}


@dataclass
class Shop:
    """A service, and the questions that its model was asked."""

    service: LocalService
    asked: list[str] = field(default_factory=list)

    async def write(self, title: str, text: str, **more: Any) -> str:
        body = {"title": title, "text": text, "trust": "trusted", **more}
        response = await self.service.client.post("/v1/documents", json=body)
        response.raise_for_status()
        return str(response.json()["document"]["id"])

    async def ask(self, question: str = QUESTION, **more: Any) -> list[Event]:
        """Ask, and wait until what was learnt from it is kept."""
        events = await ask(self.service, question, **more)
        await self.service.services.runs.settled()
        return events


def only(events: list[Event], kind: str) -> dict[str, Any]:
    (event,) = [event.data for event in events if event.type == kind]
    return event


def hit(events: list[Event]) -> bool:
    assert bool(only(events, "run.completed")["cached"]) == any(event.type == "cache.hit" for event in events)
    return bool(events[-1].data["cached"])


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop: Shop

    def script(request: ModelRequest) -> list[ScriptItem]:
        question = next(m.content for m in reversed(request.messages) if m.role == "user")
        shop.asked.append(question)
        if "order" in question and request.messages[-1].role != "tool":
            return [ToolCall(id="c", name="order_status", arguments="{}")]
        first = request.passages[0].text.splitlines()[-1] if request.passages else "I do not know."
        return [f"{first} [1]", f" That was answer {len(shop.asked)}."]

    @tool
    def order_status() -> str:
        """Say how an order stands."""
        return "It was sent."

    async with running_service(tmp_path, model=ScriptedModel(script), tools=[order_status], cache=ALWAYS) as service:
        shop = Shop(service)
        yield shop


async def test_a_question_asked_again_is_answered_as_before_without_the_model(shop: Shop) -> None:
    await shop.write("Returns", "Headphones may be returned within 14 days.")
    first, second = await shop.ask(), await shop.ask("  how long may I return headphones ?")
    assert (hit(first), hit(second), len(shop.asked)) == (False, True, 1)
    assert only(first, "cache.miss")["reason"] == "empty"
    told = only(second, "cache.hit")
    assert (told["question"], told["decided_by"], told["age_seconds"] >= 0) == (QUESTION, "exact", True)
    for kind in ("citation", "retrieval.completed"):
        one, other = only(first, kind), only(second, kind)
        assert {**one, **_OWN} == {**other, **_OWN}
    assert only(first, "run.completed")["answer"] == only(second, "run.completed")["answer"]
    assert "".join(e.data["delta"] for e in second if e.type == "text.delta") == second[-1].data["answer"]
    assert (only(second, "usage")["model_calls"], only(second, "usage")["output_tokens"]) == (0, 0)
    session = second[0].data["session_id"]
    history = (await shop.service.client.get(f"/v1/sessions/{session}")).json()["messages"]
    assert [each["content"] for each in history][-1] == second[-1].data["answer"]
    replay = (await shop.service.client.get(f"/v1/runs/{second[0].data['run_id']}/events")).text
    assert replay.count("event: cache.hit") == 1


async def test_whoever_wants_a_fresh_answer_gets_one_and_the_next_one_that(shop: Shop) -> None:
    await shop.write("Returns", "Headphones may be returned within 14 days.")
    await shop.ask()
    fresh = await shop.ask(cache="bypass")
    assert (hit(fresh), only(fresh, "cache.miss")["reason"], len(shop.asked)) == (False, "bypass", 2)
    again = await shop.ask()
    assert (hit(again), again[-1].data["answer"]) == (True, fresh[-1].data["answer"])


async def test_an_answer_goes_with_its_document_and_when_a_better_one_comes(shop: Shop) -> None:
    document = await shop.write("Returns", "Headphones may be returned within 14 days.", uri="returns")
    await shop.ask()
    await shop.write("Returns", "Headphones may be returned within 30 days.", uri="returns")
    changed = await shop.ask()
    assert (hit(changed), "30 days" in changed[-1].data["answer"]) == (False, True)
    assert hit(await shop.ask())
    await shop.write("Weather", "It rains in April.")
    assert hit(await shop.ask())
    await shop.write("Headphones", "How long may I return headphones? Headphones may be returned for 2 years.")
    assert not hit(await shop.ask())
    (await shop.service.client.delete(f"/v1/documents/{document}")).raise_for_status()
    assert "30 days" not in (await shop.ask())[-1].data["answer"]


async def test_what_rests_on_more_than_documents_is_not_given_again(shop: Shop) -> None:
    await shop.write("Returns", "Headphones may be returned within 14 days.")
    await shop.ask("Where is my order?")
    assert not hit(await shop.ask("Where is my order?"))
    session = (await shop.ask())[0].data["session_id"]
    follow_up = await shop.ask(session_id=session)
    assert (hit(follow_up), only(follow_up, "cache.miss")["reason"]) == (False, "conversation")
    memory = {"kind": "preference", "text": "I only buy headphones of the brand Falke and return them often."}
    (await shop.service.client.post("/v1/memory", json=memory)).raise_for_status()
    personal = await shop.ask()
    assert (hit(personal), only(personal, "cache.miss")["reason"]) == (False, "memory")
    await shop.write("Rumour", "Earphones may be returned for ever.", trust="untrusted")
    await shop.ask("How long may I return earphones?", collection="default")
    assert not hit(await shop.ask("How long may I return earphones?"))


async def test_nobody_gets_an_answer_from_beyond_his_groups_or_tenant(shop: Shop) -> None:
    keys = KeyStore(shop.service.services.knowledge.database)

    async def key(tenant: str, *groups: str) -> str:
        scopes: frozenset[Scope] = frozenset({"chat"} if groups else {"chat", "documents:write", "admin"})
        made = await keys.create(tenant=tenant, name="k", scopes=scopes, groups=frozenset(groups))
        return f"Bearer {made.text}"

    admin, staff, guest, other = [
        await key("acme"),
        await key("acme", "staff"),
        await key("acme", "guests"),
        await key("umbrella", "staff"),
    ]
    headers = shop.service.client.headers
    headers["Authorization"] = admin
    await shop.write("Secret", "Headphones may be returned by staff within 99 days.", acl=["staff"])
    await shop.write("Returns", "Shoes may be returned within 14 days.")
    outcome = []
    for who in (staff, staff, guest, other):
        headers["Authorization"] = who
        events = await shop.ask()
        outcome.append((hit(events), "99 days" in events[-1].data["answer"]))
    assert outcome == [(False, True), (True, True), (False, False), (False, False)]


async def test_a_service_that_starts_again_knows_its_answers(tmp_path: Path) -> None:
    for expected in (False, True):
        model = ScriptedModel(["Within 14 days. [1]"])
        async with running_service(tmp_path, model=model, cache=ALWAYS) as service:
            shop = Shop(service)
            if not expected:
                await shop.write("Returns", "Headphones may be returned within 14 days.")
            assert hit(await shop.ask()) == expected


async def test_equal_questions_at_once_all_have_their_answer(shop: Shop) -> None:
    await shop.write("Returns", "Headphones may be returned within 14 days.")
    answers = await asyncio.gather(*(shop.ask() for _ in range(8)))
    assert len({events[-1].data["answer"].split(" That")[0] for events in answers}) == 1
    assert hit(await shop.ask())
