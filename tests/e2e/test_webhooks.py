"""Webhooks of a real service: configured, named by a run, cut off by its death, and seen on the command line."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook

from agent.webhooks.endpoints import Endpoint
from agent.webhooks.signing import new_secret
from models.scripted import ScriptedModel
from records.database import Database
from records.ids import now
from records.schema import webhook_deliveries
from records.tenancy import Crossing, across_tenants
from tests.support.back_end import BackEnd, Handler, back_end, json_answer
from tests.support.service import ROOT, cairn, environment, running_service, share_models

SECRET = new_secret()
QUESTION = {"message": "Hello there", "retrieval": "off"}


class Arrivals:
    """Answers as the handlers say, one after the other, and counts."""

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = list(handlers)
        self._arrived = asyncio.Semaphore(0)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._arrived.release()
        handler = self._handlers.pop(0) if len(self._handlers) > 1 else self._handlers[0]
        return await handler(request)

    async def next(self) -> None:
        async with asyncio.timeout(60):
            await self._arrived.acquire()


def verified(receiver: BackEnd) -> list[dict[str, Any]]:
    return [Webhook(SECRET).verify(asked.body, dict(asked.headers)) for asked in receiver.asked]


async def test_a_run_is_told_of_where_the_operator_and_the_run_want_it(tmp_path: Path) -> None:
    async with back_end() as receiver:
        arrivals = Arrivals(json_answer({}))
        receiver.on("*", arrivals.handle)
        webhooks = (
            Endpoint(url=f"{receiver.url}/all", secret=SECRET, private=True),
            Endpoint(url=receiver.url, secret=SECRET, private=True, for_runs=True),
        )
        model = ScriptedModel([["Hello."]])
        async with running_service(tmp_path, model=model, webhooks=webhooks) as service:
            for wrong in ("http://127.0.0.1:1/", "https://example.org/", "file:///etc/passwd", "x"):
                refused = await service.client.post("/v1/runs", json={**QUESTION, "webhook": wrong})
                assert (refused.status_code, refused.json()["code"]) == (422, "webhook_not_allowed")
            body = {**QUESTION, "webhook": f"{receiver.url}/jobs/17"}
            started = await service.client.post("/v1/runs", json=body)
            await arrivals.next()
            await arrivals.next()
            assert sorted(receiver.targets) == ["POST /all", "POST /jobs/17"]
            for message in verified(receiver):
                assert (message["type"], message["data"]["run_id"]) == ("run.completed", started.json()["run_id"])
            metrics = (await service.client.get("/metrics")).text
            assert "cairn_webhook_dead 0.0" in metrics


@asynccontextmanager
async def serving(data_dir: Path, receiver: BackEnd) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``cairn serve`` in a process of its own; gives it and its address."""
    command = ["-m", "service", "serve", "--data-dir", str(data_dir), "--port", "0", "--model", "extractive"]
    webhooks = [{"url": f"{receiver.url}/hook", "secret": SECRET, "private": True}]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env=environment({"CAIRN_WEBHOOKS": json.dumps(webhooks)}),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while (address := _announced(data_dir)).get("pid") != process.pid:
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield process, str(address["url"])
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()


def _announced(data_dir: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((data_dir / "service.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


async def test_what_a_killed_service_had_to_tell_the_next_one_tells_under_the_same_id(tmp_path: Path) -> None:
    """It dies with the first request on the wire; the lease of a minute is over when the next one starts."""
    data_dir = tmp_path / "data"
    share_models(data_dir)
    async with back_end() as receiver:
        serving_now: list[asyncio.subprocess.Process] = []

        async def kill(request: web.BaseRequest) -> web.StreamResponse:
            os.kill(serving_now[0].pid, signal.SIGKILL)
            return await receiver.hang(request)

        arrivals = Arrivals(kill, json_answer({}))
        receiver.on("POST /hook", arrivals.handle)
        async with serving(data_dir, receiver) as (process, url), httpx.AsyncClient(trust_env=False) as client:
            serving_now.append(process)
            started = await client.post(f"{url}/v1/runs", json=QUESTION)
            assert started.status_code == 202
            await arrivals.next()
            assert await process.wait() == -signal.SIGKILL
        await _let_leases_run_out(data_dir)
        async with serving(data_dir, receiver):
            await arrivals.next()
        first, second = receiver.asked
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        assert [message["data"]["run_id"] for message in verified(receiver)] == [started.json()["run_id"]] * 2


async def _let_leases_run_out(data_dir: Path) -> None:
    database = await Database.open(f"sqlite:///{data_dir}/cairn.db")
    over = update(webhook_deliveries).values(due_at=now() - timedelta(seconds=1))
    async with database.write() as connection:
        await connection.execute(across_tenants(over, Crossing.OPERATOR))
    await database.aclose()


async def test_what_was_given_up_is_seen_and_tried_again_on_the_command_line(tmp_path: Path) -> None:
    async with back_end() as receiver:
        arrivals = Arrivals(json_answer({}, 410), json_answer({}, 500), json_answer({}))
        receiver.on("POST /hook", arrivals.handle)
        given = {"url": f"{receiver.url}/hook", "secret": SECRET, "private": True}
        env = {"CAIRN_WEBHOOKS": json.dumps([given])}

        async def webhooks(*arguments: str) -> Any:
            return await asyncio.to_thread(
                cairn, "webhooks", *arguments, "--data-dir", str(tmp_path), env=env, cwd=tmp_path
            )

        model = ScriptedModel([["Hello."]])
        async with running_service(tmp_path, model=model, webhooks=(Endpoint(**given),)) as service:
            await service.client.post("/v1/runs", json=QUESTION)
            await arrivals.next()
            while not (dead := json.loads((await webhooks("list", "--dead", "--json")).stdout)["items"]):
                pass
            assert (dead[0]["error"], dead[0]["body"]["type"]) == ("HTTP 410", "run.completed")
            listed = await webhooks("list", "--dead")
            assert "dead  run.completed  default" in listed.stdout
            assert "tried once: HTTP 410" in listed.stdout
            failed = await webhooks("test")
            assert (failed.returncode, "HTTP 500" in failed.stdout) == (1, True)
            passed = await webhooks("test", str(given["url"]))
            assert passed.returncode == 0, passed.stderr
            assert "It was off, and is on again." in passed.stdout
            retried = await webhooks("retry", dead[0]["id"])
            assert retried.stdout == "1 will be tried again.\n"
            for _ in range(3):
                await arrivals.next()
            again = await webhooks("retry", dead[0]["id"])
            assert (again.returncode, "given up" in again.stderr) == (1, True)
            assert (await webhooks("test", "https://example.org/")).returncode == 1
        types = [message["type"] for message in verified(receiver)]
        assert types == ["run.completed", "webhook.ping", "webhook.ping", "run.completed"]
        assert receiver.asked[0].headers["webhook-id"] == receiver.asked[3].headers["webhook-id"]
