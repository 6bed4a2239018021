"""Equal questions at once: one is answered, the others follow; where it lets them down they are still answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import Event, LocalService, events, running_service

QUESTION = "How long may I return headphones?"
Script = Callable[[int], list[ScriptItem]]


@dataclass
class House:
    """A service whose model says what it is told to, call by call."""

    service: LocalService
    calls: int = 0
    script: Script = field(default=lambda _: [])
    seen: dict[str, list[Event]] = field(default_factory=dict)

    async def ask(self, name: str) -> None:
        body = {"message": QUESTION}
        async with self.service.client.stream("POST", "/v1/chat/stream", json=body) as response:
            async for event in events(response):
                self.seen.setdefault(name, []).append(event)

    async def until(self, name: str, kind: str) -> Event:
        """Wait until one has seen such an event."""
        while not (found := [event for event in self.seen.get(name, []) if event.type == kind]):
            await asyncio.sleep(0)
        return found[0]

    def answer(self, name: str) -> str:
        return str(self.seen[name][-1].data["answer"])

    def kinds(self, name: str) -> list[str]:
        return [event.type for event in self.seen[name]]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house: House

    def script(request: ModelRequest) -> list[ScriptItem]:
        if request.messages[-1].role == "tool":
            return ["It was seen to. [1]"]
        house.calls += 1
        return house.script(house.calls)

    @tool(effect="write")
    def see_to_it() -> str:
        """See to it."""
        return "done"

    settings: dict[str, Any] = {"cache": {"shadow": 0.0}, "policy": [{"tool": "see_to_it", "autonomy": "auto"}]}
    async with running_service(tmp_path, model=ScriptedModel(script), tools=[see_to_it], **settings) as service:
        document = {"title": "Returns", "text": "Headphones may be returned within 14 days.", "trust": "trusted"}
        (await service.client.post("/v1/documents", json=document)).raise_for_status()
        house = House(service)
        yield house


async def test_the_others_see_the_answer_as_it_comes_and_the_model_is_asked_once(house: House) -> None:
    go_on = asyncio.Event()
    house.script = lambda _: ["Within 14", go_on.wait, " days. [1]"]
    async with asyncio.TaskGroup() as group:
        group.create_task(house.ask("first"))
        await house.until("first", "text.delta")
        for name in ("second", "third"):
            group.create_task(house.ask(name))
        for name in ("second", "third"):
            assert (await house.until(name, "text.delta")).data["delta"].startswith("Within 14")
        go_on.set()
    assert house.calls == 1
    for name in ("second", "third"):
        assert house.answer(name) == house.answer("first") == "Within 14 days. [1]"
        told = await house.until(name, "cache.hit")
        assert (told.data["decided_by"], told.data["entry_id"]) == ("concurrent", house.seen["first"][0].data["run_id"])
        assert house.seen[name][-1].data["cached"]
        assert (await house.until(name, "citation")).data["document_id"]
    assert not house.seen["first"][-1].data["cached"]


async def test_whoever_is_let_down_half_way_is_answered_afresh(house: House) -> None:
    go_on = asyncio.Event()
    house.script = lambda call: ["A wrong beg", go_on.wait, "inning"] if call == 1 else ["Within 14 days. [1]"]
    async with asyncio.TaskGroup() as group:
        group.create_task(house.ask("first"))
        run_id = (await house.until("first", "text.delta")).data["run_id"]
        group.create_task(house.ask("second"))
        await house.until("second", "text.delta")
        (await house.service.client.post(f"/v1/runs/{run_id}/cancel", json={})).raise_for_status()
    go_on.set()
    assert house.kinds("first")[-1] == "run.cancelled"
    assert "answer.restarted" in house.kinds("second")
    assert (house.answer("second"), house.calls) == ("Within 14 days. [1]", 2)
    assert not house.seen["second"][-1].data["cached"]
    seqs = [event.id for event in house.seen["second"]]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_what_acts_is_done_once_for_each_who_asked(house: House) -> None:
    go_on = asyncio.Event()
    house.script = lambda _: [go_on.wait, ToolCall(id="c", name="see_to_it", arguments="{}")]
    async with asyncio.TaskGroup() as group:
        group.create_task(house.ask("first"))
        await house.until("first", "retrieval.completed")
        group.create_task(house.ask("second"))
        await house.until("second", "retrieval.completed")
        go_on.set()
    for name in ("first", "second"):
        assert house.kinds(name).count("tool.result") == 1
        assert not house.seen[name][-1].data["cached"]
    assert house.calls == 2
