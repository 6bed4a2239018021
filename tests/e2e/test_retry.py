"""Runs that were given up are found and started anew, over HTTP and on the command line."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.events import RunFailed
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import LOCAL
from tests.support.service import LocalService, cairn, running_service

QUESTION = {"message": "Buy it.", "retrieval": "off"}


@tool(effect="write", autonomy="auto")
async def buy() -> str:
    """Buy."""
    return "bought"


def buys_and_fails(request: ModelRequest) -> list[ScriptItem]:
    if request.messages[-1].role != "tool":
        return [ToolCall(id="c", name="buy", arguments="{}")]
    raise RuntimeError("the model is out")


async def dead_letter(service: LocalService, **request: Any) -> str:
    """A run that was given up, as recovery leaves it."""
    store = service.services.run_store
    record = await store.accept(
        LOCAL,
        session_id=None,
        title="t",
        model="m",
        config_version="c",
        request=request or {"message": "Why?", "collection": "default", "retrieval": "off"},
    )
    await service.services.events.open(record.id, record.fence)
    body = RunFailed(code="dead_letter", detail="it was taken up 6 times")
    await store.end(record.claim, "failed", asdict(body), [])
    await service.services.events.append(record.id, [body])
    return record.id


async def test_a_run_that_has_acted_is_not_started_anew_unasked(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(buys_and_fails), tools=[buy]) as service:
        failed = (await service.client.post("/v1/chat", json=QUESTION)).json()["run_id"]
        path = f"/v1/runs/{failed}/retry"
        refused = await service.client.post(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "run_has_acted")
        assert refused.json()["deeds"] == [{"tool": "buy", "effect": "write", "arguments": {}, "outcome": "done"}]
        retried = await service.client.post(path, json={"force": True})
        assert retried.status_code == 202
        body = retried.json()
        assert (body["retry_of"], body["deeds"]) == (failed, refused.json()["deeds"])
        assert retried.headers["Location"] == f"/v1/runs/{body['run_id']}"
        again = await service.client.post(path, json={"force": True})
        assert again.json()["run_id"] == body["run_id"]
        shown = (await service.client.get(retried.headers["Location"])).json()
        assert (shown["retry_of"], shown["session_id"]) == (failed, body["session_id"])


async def test_a_key_names_one_new_run_and_no_other_request(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Fine."])) as service:
        first, second = [await dead_letter(service) for _ in range(2)]
        key = {"Idempotency-Key": "k"}

        async def retry(run_id: str, **body: Any) -> Any:
            return await service.client.post(f"/v1/runs/{run_id}/retry", headers=key, json=body)

        unreadable = await dead_letter(service, note="of another version")
        refused = await service.client.post(f"/v1/runs/{unreadable}/retry")
        assert (refused.status_code, refused.json()["code"]) == (422, "request_unreadable")
        assert (await service.client.get("/v1/runs")).json()["items"][0]["message"] == ""

        answers = await asyncio.gather(*(retry(first) for _ in range(4)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["run_id"] for answer in answers}) == 1
        for reused in (await retry(second), await retry(first, force=True)):
            assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


async def test_only_its_asker_may_start_a_run_anew(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        failed = await dead_letter(service)
        keys = KeyStore(service.services.knowledge.database)
        own = await keys.create(tenant="default", name="reader", scopes=["search"])
        other = await keys.create(tenant="default", name="other", scopes=["chat"])
        stranger = await keys.create(tenant="acme", name="stranger", scopes=["chat"])
        codes = []
        for key in (own, other, stranger):
            answer = await service.client.post(
                f"/v1/runs/{failed}/retry", headers={"Authorization": f"Bearer {key.text}"}
            )
            codes.append(answer.status_code)
        assert codes == [403, 404, 404]


async def test_what_was_given_up_is_found_and_started_anew_on_the_command_line(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Fine."])) as service:

        async def runs(*arguments: str) -> Any:
            env = {"CAIRN_SERVICE_URL": service.url}
            return await asyncio.to_thread(cairn, "runs", *arguments, env=env, cwd=tmp_path)

        await service.client.post("/v1/chat", json=QUESTION)
        dead = await dead_letter(service)
        (found,) = json.loads((await runs("list", "--dead", "--json")).stdout)["items"]
        assert (found["run_id"], found["error"]["code"]) == (dead, "dead_letter")
        assert "dead_letter: it was taken up 6 times" in (await runs("list", "--dead")).stdout
        retried = await runs("retry", dead)
        assert retried.stdout.startswith("Started again as "), retried.stderr
        refused = await runs("retry", retried.stdout.split()[-1].rstrip("."))
        assert (refused.returncode, "completed" in refused.stderr or "not ended" in refused.stderr) == (1, True)
