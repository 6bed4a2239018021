"""Processes that share their stores: ``cairn worker`` goes on with what a service left, and stops as one does."""

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
from sqlalchemy import select

from agent.log.encoding import RunEvent
from agent.log.outcome import outcome
from records.schema import runs
from tests.support import provider
from tests.support.everyones import everyones
from tests.support.postgres import fresh_postgres
from tests.support.redis import URL, reachable_redis
from tests.support.runs import Stores, shared_stores, terminals
from tests.support.service import ROOT, cairn, environment, share_models

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"
"""No Qdrant server is there; nothing here searches."""


@dataclass(frozen=True)
class Scale:
    """Stores that several processes share, a model provider, and the settings that name them."""

    stores: Stores
    provider: provider.Provider
    folder: Path
    settings: dict[str, str]

    @asynccontextmanager
    async def started(self, command: str, *arguments: str, ready: str, **settings: str) -> AsyncIterator[Process]:
        """A process of its own, with a data folder of its own; it is killed at the end unless it has ended."""
        data_dir = self.folder / f"{command}-{len(list(self.folder.iterdir()))}"
        share_models(data_dir)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", command, "--data-dir", str(data_dir), *arguments),
            cwd=ROOT,
            env=environment(self.settings | settings),
            stdout=PIPE,
            stderr=None,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                if ready in line.decode():
                    break
            else:
                raise AssertionError(f"cairn {command} did not start")
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    @asynccontextmanager
    async def service(self, *arguments: str, **settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
        """``cairn serve``, and a client of it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        async with (
            self.started("serve", "--port", str(port), *arguments, ready="Cairn is ready", **settings) as process,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
        ):
            yield process, client

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Process]:
        """``cairn worker``."""
        async with self.started("worker", ready="worker is ready") as process:
            yield process

    async def end_of(self, run_id: str) -> list[RunEvent]:
        """All events of the run, once it has ended."""
        return [event async for event in self.stores.log.follow(run_id, 0)]

    async def has_said(self, run_id: str, answer: str) -> None:
        """Wait until the answer has come so far."""
        said = ""
        async for event in self.stores.log.follow(run_id, 0):
            said += orjson.loads(event.data).get("delta", "")
            if said == answer:
                return
        raise AssertionError(f"the run ended with {said!r}")


@pytest.fixture
async def scale(tmp_path: Path) -> AsyncIterator[Scale]:
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(fresh_postgres())
        await stack.enter_async_context(reachable_redis())
        played = await stack.enter_async_context(provider.serve())
        stores = await stack.enter_async_context(shared_stores(postgres, URL))
        settings = {
            "CAIRN_DATABASE_URL": postgres,
            "CAIRN_REDIS_URL": URL,
            "CAIRN_RETRIEVAL__QDRANT_URL": NOWHERE,
            "CAIRN_SECRET": "5e" * 32,
            "CAIRN_MODEL": "openai:m",
            "OPENAI_BASE_URL": played.url,
            "OPENAI_API_KEY": "none",
        }
        yield Scale(stores, played, tmp_path, settings)


def complete(scale: Scale, *pieces: str) -> None:
    """Have the provider's next answer be whole."""
    scale.provider.says(*provider.text(*pieces), provider.chunk(finish="stop"), provider.DONE)


async def ask(client: httpx.AsyncClient) -> str:
    """Ask, and give the run's id once the answer has begun."""
    body = {"message": "Hello there", "retrieval": "off"}
    async with client.stream("POST", "/v1/chat/stream", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line == "event: text.delta":
                return response.headers["X-Run-Id"]
    raise AssertionError("the stream ended before the answer began")


async def test_a_worker_goes_on_with_the_run_of_a_service_that_was_killed(scale: Scale) -> None:
    scale.provider.says(*provider.text("It is "), provider.HANG)
    complete(scale, "It is ", "done.")
    async with scale.worker(), scale.service() as (service, client):
        run_id = await ask(client)
        service.kill()
        await service.wait()
        async with asyncio.timeout(60):
            events = await scale.end_of(run_id)
    assert terminals(events) == ["run.completed"]
    assert outcome(events)["answer"] == "It is done."
    assert [event.type for event in events].count("answer.restarted") == 0


async def test_a_worker_that_is_told_to_stop_hands_its_runs_over_and_ends_well(scale: Scale) -> None:
    scale.provider.says(*provider.text("It is "), provider.HANG)
    scale.provider.says(*provider.text("It is ", "nearly "), provider.HANG)
    complete(scale, "It is ", "nearly ", "done.")
    async with scale.worker() as first, scale.service() as (service, client):
        run_id = await ask(client)
        service.kill()
        await scale.has_said(run_id, "It is nearly ")
        first.send_signal(signal.SIGTERM)
        assert await first.wait() == 0
        async with scale.stores.database.read() as connection:
            query = everyones(select(runs.c.result, runs.c.lease_until, runs.c.fence))
            left = (await connection.execute(query)).one()
        assert tuple(left) == (None, None, 2)
        async with scale.worker():
            events = await scale.end_of(run_id)
    assert terminals(events) == ["run.completed"]
    assert outcome(events)["answer"] == "It is nearly done."


async def test_a_service_that_stops_leaves_its_runs_to_the_worker_at_once(scale: Scale) -> None:
    scale.provider.says(*provider.text("It is "), provider.HANG)
    complete(scale, "It is ", "done.")
    async with scale.worker(), scale.service() as (service, client):
        run_id = await ask(client)
        service.send_signal(signal.SIGTERM)
        assert await service.wait() == 0
        events = await scale.end_of(run_id)
    assert terminals(events) == ["run.completed"]


async def test_a_key_that_was_made_beforehand_opens_every_service(scale: Scale) -> None:
    command = ("keys", "create", "--scopes", "admin", "--data-dir", str(scale.folder / "none"))
    made = await asyncio.to_thread(cairn, *command, env=scale.settings)
    assert made.returncode == 0, made.stderr
    key = {"Authorization": f"Bearer {made.stdout.strip()}"}
    everywhere = ("--host", "0.0.0.0")
    async with scale.service(*everywhere) as (_, one), scale.service(*everywhere) as (_, other):
        for client in (one, other):
            assert (await client.get("/v1/tools")).status_code == 401
            assert (await client.get("/v1/tools", headers=key)).status_code == 200


async def test_readiness_covers_redis(scale: Scale) -> None:
    async with scale.service() as (_, client):
        response = await client.get("/readyz")
        assert {part: state for part, state in response.json()["parts"].items() if state == "ok"} == {
            "database": "ok",
            "events": "ok",
        }
    async with scale.service(CAIRN_REDIS_URL="redis://127.0.0.1:9/0") as (_, client):
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "127.0.0.1:9" in response.json()["parts"]["events"]


POSTGRES, REDIS, QDRANT = "CAIRN_DATABASE_URL", "CAIRN_REDIS_URL", "CAIRN_RETRIEVAL__QDRANT_URL"
SET = {POSTGRES: "postgresql://h/d", REDIS: "redis://h", QDRANT: "http://h"}


@pytest.mark.parametrize("missing", [[POSTGRES], [REDIS], [QDRANT], [POSTGRES, REDIS, QDRANT]])
def test_a_worker_says_which_shared_stores_it_lacks(tmp_path: Path, missing: list[str]) -> None:
    run = cairn("worker", env={name: value for name, value in SET.items() if name not in missing}, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert "a worker needs the stores that services share with it: set" in run.stderr
    assert re.findall(r"CAIRN_\w+", run.stderr) == missing
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [[POSTGRES], [REDIS], [POSTGRES, REDIS], [POSTGRES, QDRANT], [REDIS, QDRANT]])
def test_a_service_refuses_to_share_some_of_its_stores(tmp_path: Path, given: list[str]) -> None:
    run = cairn("serve", "--port", "0", env={name: SET[name] for name in given}, cwd=tmp_path)
    assert run.returncode == 1
    assert re.findall(r"CAIRN_\w+", run.stderr) == [name for name in SET if name not in given]
    assert not list(tmp_path.iterdir())


def test_services_that_share_their_stores_need_one_secret(tmp_path: Path) -> None:
    run = cairn("worker", env=SET, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("cairn: services that share a database need one secret: set CAIRN_SECRET")
