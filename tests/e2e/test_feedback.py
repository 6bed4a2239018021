"""Saying over HTTP whether an answer was right."""

from pathlib import Path
from typing import Any

from models.scripted import ScriptedModel
from records.keys import KeyStore
from records.principal import Scope
from tests.support.service import ask, running_service

QUESTION = {"message": "How long may I return headphones?", "retrieval": "off"}


async def test_feedback_is_the_askers_own_and_shows_in_the_run(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Within 30 days."])) as service:
        keys = KeyStore(service.services.knowledge.database)

        async def key(scope: Scope) -> dict[str, str]:
            made = await keys.create(tenant="acme", name="one", scopes=frozenset({scope}))
            return {"authorization": f"Bearer {made.text}"}

        alice, bob, reader = await key("chat"), await key("chat"), await key("search")
        run = (await service.client.post("/v1/chat", json=QUESTION, headers=alice)).json()["run_id"]
        path = f"/v1/runs/{run}"

        async def say(headers: dict[str, str], **body: Any) -> tuple[int, Any]:
            response = await service.client.post(f"{path}/feedback", json=body, headers=headers)
            return response.status_code, response.json()

        assert (await service.client.get(path, headers=alice)).json()["feedback"] is None
        assert (await say(alice, verdict="right"))[0] == 200
        status, said = await say(alice, verdict="wrong", comment="It is 14 days,\u202e\x00 not 30.")
        assert (status, said["verdict"], said["comment"]) == (200, "wrong", "It is 14 days, not 30.")
        assert (await service.client.get(path, headers=alice)).json()["feedback"] == said

        status, refused = await say(bob, verdict="wrong")
        assert (status, refused["code"]) == (404, "run_not_found")
        assert (await say(reader, verdict="wrong"))[0] == 403
        for wrong in (
            {},
            {"verdict": "maybe"},
            {"verdict": "wrong", "comment": "x" * 2001},
            {"verdict": "right", "x": 1},
        ):
            assert (await say(alice, **wrong))[0] == 422
        assert (await service.client.get(path, headers=alice)).json()["feedback"] == said


async def test_a_kept_answer_that_is_called_wrong_is_not_given_again(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        document = {"title": "Returns", "text": "# Returns\n\nOpened headphones may be returned within 14 days."}
        (await service.client.post("/v1/documents", json={**document, "trust": "trusted"})).raise_for_status()

        async def answered() -> tuple[str, list[str]]:
            told = await ask(service, "How long may I return opened headphones?")
            return told[0].data["run_id"], [event.type for event in told]

        (first, _), (second, kept) = await answered(), await answered()
        assert "cache.hit" in kept
        for run in (first, second):
            said = await service.client.post(f"/v1/runs/{run}/feedback", json={"verdict": "right"})
            assert said.status_code == 200
        assert "cache.hit" in (await answered())[1]
        await service.client.post(f"/v1/runs/{second}/feedback", json={"verdict": "wrong"})
        assert "cache.hit" not in (await answered())[1]


async def test_of_a_run_without_an_answer_nothing_can_be_said(tmp_path: Path) -> None:
    def fails(_: object) -> list[str]:
        raise RuntimeError("the model is out")

    async with running_service(tmp_path, model=ScriptedModel(fails)) as service:
        run = (await service.client.post("/v1/chat", json=QUESTION)).json()["run_id"]
        refused = await service.client.post(f"/v1/runs/{run}/feedback", json={"verdict": "wrong"})
        assert (refused.status_code, refused.json()["code"]) == (409, "run_not_answered")
