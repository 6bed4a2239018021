"""Two ``cairn worker`` share the background runs of a service: each run once, interactive ones first, both at work."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import pytest
from sqlalchemy import select

from records.schema import runs
from records.tenancy import Crossing, across_tenants
from tests.e2e import test_worker_command
from tests.e2e.test_worker_command import Scale
from tests.support import provider
from tests.support.runs import terminals

pytestmark = pytest.mark.slow

scale = test_worker_command.scale

BATCH, INTERACTIVE = 40, 6
LANES = {"CAIRN_LANES__BATCH": "4", "CAIRN_LANES__INTERACTIVE": "1"}
LEFT_TO_WORKERS = {"CAIRN_LANES__TAKE": "[]"}


async def put(client: httpx.AsyncClient, lane: str, number: int) -> str:
    """Ask in the background; gives the run's id."""
    body = {"message": f"{lane} {number}", "retrieval": "off", "lane": lane}
    response = await client.post("/v1/runs", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["run_id"])


def asked(scale: Scale) -> list[str]:
    """The questions in the order in which they reached the model."""
    return [str(request["messages"][-1]["content"]) for request in scale.provider.requests]


async def has_asked(scale: Scale, count: int) -> None:
    """Wait until so many questions have reached the model."""
    async with asyncio.timeout(60):
        while len(scale.provider.requests) < count:
            await asyncio.sleep(0.01)


async def test_two_workers_share_the_background_runs_of_a_service(scale: Scale) -> None:
    gate = asyncio.Event()
    scale.provider.says(gate.wait, *provider.text("Done."), provider.chunk(finish="stop"), provider.DONE)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(scale.started("worker", ready="worker is ready", **LANES))
        _, client = await stack.enter_async_context(scale.service(**LEFT_TO_WORKERS))
        put_in = list(await asyncio.gather(*(put(client, "batch", number) for number in range(BATCH))))
        await has_asked(scale, 8)
        put_in += await asyncio.gather(*(put(client, "interactive", number) for number in range(INTERACTIVE)))
        await has_asked(scale, 10)
        listed = (await client.get("/v1/runs", params={"status": "queued", "limit": 200})).json()["items"]
        assert Counter(item["lane"] for item in listed) == {"batch": BATCH - 8, "interactive": INTERACTIVE - 2}
        gate.set()
        async with asyncio.timeout(60):
            ends = [terminals(await scale.end_of(run_id)) for run_id in put_in]
        query = across_tenants(select(runs.c.lease_owner, runs.c.fence), Crossing.OPERATOR)
        async with scale.stores.database.read() as connection:
            carried_out = (await connection.execute(query)).all()
    assert ends == [["run.completed"]] * len(put_in)
    assert len(set(asked(scale))) == len(asked(scale)) == len(put_in)
    assert {row.fence for row in carried_out} == {1}
    shares = Counter(row.lease_owner for row in carried_out)
    assert len(shares) == 2
    assert min(shares.values()) >= 5
    # Ten were asked before the gate opened. All interactive runs come next, but for what was on its way at that moment.
    last = max(place for place, question in enumerate(asked(scale)) if question.startswith("interactive"))
    assert last < 8 + INTERACTIVE + 8


async def test_the_depth_of_the_queue_is_seen_everywhere_and_bounds_it(scale: Scale) -> None:
    few = {"CAIRN_LANES__QUEUE": "3", **LEFT_TO_WORKERS}
    async with scale.service(**few) as (_, one), scale.service(**few) as (_, other):
        for number, client in enumerate((one, other, one)):
            await put(client, "batch", number)
        for client in (one, other):
            refused = await client.post("/v1/runs", json={"message": "one more"})
            assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
            assert int(refused.headers["retry-after"]) >= 1
        async with asyncio.timeout(60):
            for client in (one, other):
                while 'cairn_queue_depth{lane="batch"} 3.0' not in (await client.get("/metrics")).text:
                    await asyncio.sleep(0.1)
        metrics = (await one.get("/metrics")).text
    assert 'cairn_queue_depth{lane="interactive"} 0.0' in metrics
    assert 'cairn_queue_oldest_seconds{lane="batch"} 0.0' not in metrics
