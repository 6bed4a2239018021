"""What is remembered reaches the answers of whoever it is about, and of nobody else."""

from pathlib import Path

from models.messages import ModelRequest
from models.scripted import ScriptedModel
from records.keys import KeyStore
from records.principal import Scope
from tests.support.service import Event, ask, running_service

SCOPES: frozenset[Scope] = frozenset({"chat", "memory:read", "memory:write"})
SIZE = {"kind": "profile", "text": "My shoe size is 43.", "slot": "shoe size"}


def recalled(events: list[Event]) -> list[str]:
    return [each["text"] for event in events if event.type == "memory.recalled" for each in event.data["memories"]]


async def test_what_is_remembered_is_shown_to_the_model_told_and_kept_from_others(tmp_path: Path) -> None:
    seen: list[ModelRequest] = []

    def script(request: ModelRequest) -> list[str]:
        seen.append(request)
        return ["Good."]

    async with running_service(tmp_path, model=ScriptedModel(script)) as service:
        keys = KeyStore(service.services.knowledge.database)
        ada, bob = [(await keys.create(tenant="acme", name=name, scopes=SCOPES)).text for name in ("ada", "bob")]
        service.client.headers["Authorization"] = f"Bearer {ada}"
        assert recalled(await ask(service, "Which size do I take?")) == []
        made = await service.client.post("/v1/memory", json=SIZE)
        made.raise_for_status()
        events = await ask(service, "Which shoe size do I take?")
        assert recalled(events) == ["My shoe size is 43."]
        (told,) = [each for event in events if event.type == "memory.recalled" for each in event.data["memories"]]
        assert (told["id"], told["version"], told["trust"]) == (made.json()["id"], 1, "stated")
        assert [memory.text for memory in seen[-1].memories] == ["My shoe size is 43."]
        again = await service.client.get(f"/v1/runs/{events[0].data['run_id']}/events")
        assert again.text.count("event: memory.recalled") == 1

        service.client.headers["Authorization"] = f"Bearer {bob}"
        assert recalled(await ask(service, "Which shoe size do I take?")) == []
        assert seen[-1].memories == ()


async def test_without_a_language_model_it_is_given_back_in_the_words_it_was_told_in(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        (await service.client.post("/v1/memory", json=SIZE)).raise_for_status()
        told = (await ask(service, "What is my shoe size?"))[-1].data["answer"]
        assert "You told me" in told
        assert "“My shoe size is 43.”" in told
        assert "43" not in (await ask(service, "How do I clean shoes?"))[-1].data["answer"]


async def test_a_memory_that_cannot_be_searched_costs_no_answer(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Good."])) as service:
        (await service.client.post("/v1/memory", json=SIZE)).raise_for_status()
        assert recalled(await ask(service, "What is my shoe size?"))
        for name in await service.services.knowledge.store.indexes():
            await service.services.knowledge.store.drop(name)
        events = await ask(service, "What is my shoe size?")
        assert (events[-1].type, recalled(events)) == ("run.completed", [])
