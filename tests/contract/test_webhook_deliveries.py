"""Deliveries on every database: each in one hand at a time, none starved, none lost with the process that had it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from agent.webhooks.deliveries import KEPT, KEPT_DEAD, Backlog, Deliveries, Delivery, DeliveryNotFound
from agent.webhooks.notices import PATIENCE
from records.database import Database
from records.ids import new_id, now
from records.schema import webhook_deliveries as table

LEASE = timedelta(seconds=60)
START = now()


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    return Deliveries(database)


async def put(database: Database, count: int = 1, **values: Any) -> list[str]:
    """Rows as a transition writes them; gives their ids."""
    given = {"tenant": "acme", "url": "https://a.example/", "event": "run.completed", "run_id": "r", "body": "{}"}
    times = {"due_at": START, "until": START + PATIENCE, "created_at": START}
    rows = [{"id": new_id(), "status": "pending", "attempts": 0, **given, **times, **values} for _ in range(count)]
    await database.write_at_once([table.insert().values(**row) for row in rows])
    return [row["id"] for row in rows]


async def claim(deliveries: Deliveries, moment: datetime = START, **options: Any) -> Sequence[Delivery]:
    return await deliveries.claim(moment, LEASE, **{"limit": 100, "each": 100, **options})


async def test_of_several_deliverers_at_once_each_delivery_has_one(database: Database, deliveries: Deliveries) -> None:
    ids = await put(database, 30)
    claimed = await asyncio.gather(*(claim(deliveries, limit=7) for _ in range(6)))
    taken = [delivery.id for each in claimed for delivery in each]
    assert len(taken) == len(set(taken))
    while rest := await claim(deliveries, limit=7):
        taken += [delivery.id for delivery in rest]
    assert sorted(taken) == sorted(ids)


async def test_what_a_dead_process_had_is_given_to_another_after_its_lease(
    database: Database, deliveries: Deliveries
) -> None:
    (delivery_id,) = await put(database)
    (first,) = await claim(deliveries)
    assert await claim(deliveries, START + LEASE - timedelta(seconds=1)) == []
    (second,) = await claim(deliveries, START + LEASE)
    assert (first.id, first.attempts, second.id, second.attempts) == (delivery_id, 1, delivery_id, 2)
    # The first was not dead, only slow: nothing that it says counts any more.
    await deliveries.failed(first, "too late", None)
    await deliveries.delivered(first)
    assert [each.status for each in await deliveries.list()] == ["pending"]
    await deliveries.delivered(second)
    assert [each.status for each in await deliveries.list()] == ["delivered"]


async def test_a_target_with_much_to_be_told_does_not_starve_the_others(
    database: Database, deliveries: Deliveries
) -> None:
    await put(database, 20, due_at=START - timedelta(hours=1))
    await put(database, 1, url="https://b.example/")
    await put(database, 1, tenant="other")
    claimed = await claim(deliveries, limit=6, each=2)
    assert sorted({each.target for each in claimed}) == [
        ("acme", "https://a.example/"),
        ("acme", "https://b.example/"),
        ("other", "https://a.example/"),
    ]
    assert len(claimed) == 4
    assert await claim(deliveries, busy=[("acme", "https://a.example/")]) == []


async def test_what_failed_is_due_again_when_it_was_said_to_be(database: Database, deliveries: Deliveries) -> None:
    await put(database)
    (delivery,) = await claim(deliveries)
    later = START + timedelta(minutes=5)
    await deliveries.failed(delivery, "HTTP 500", later)
    assert await claim(deliveries, later - timedelta(seconds=1)) == []
    (again,) = await claim(deliveries, later)
    assert (again.error, again.attempts, again.body) == ("HTTP 500", 2, "{}")


async def test_what_was_given_up_is_listed_and_can_be_tried_again(database: Database, deliveries: Deliveries) -> None:
    await put(database, 2)
    for delivery in await claim(deliveries):
        await deliveries.failed(delivery, "HTTP 500", None)
    await put(database, 1, tenant="other")
    first, second = await deliveries.list(status="dead")
    assert {first.tenant, first.status, first.error} == {"acme", "dead", "HTTP 500"}
    assert await claim(deliveries, START + PATIENCE) != []
    assert await deliveries.list(tenant="nobody") == []
    assert await deliveries.retry(first.id) == 1
    (again,) = await claim(deliveries, now())
    assert (again.id, again.attempts) == (first.id, 1)
    assert again.until > START + PATIENCE
    assert await deliveries.retry() == 1
    assert [each.id for each in await claim(deliveries, now())] == [second.id]
    with pytest.raises(DeliveryNotFound):
        await deliveries.retry(first.id)


async def test_an_endpoint_that_is_gone_is_off_for_its_tenant_until_somebody_says_otherwise(
    database: Database, deliveries: Deliveries
) -> None:
    await put(database)
    (delivery,) = await claim(deliveries)
    await deliveries.gone(delivery, "HTTP 410")
    await deliveries.gone(delivery, "HTTP 410")
    assert await deliveries.is_off(delivery.target)
    assert not await deliveries.is_off(("other", delivery.url))
    assert (await deliveries.backlog()).dead == 1
    assert await deliveries.turn_on(delivery.url)
    assert not await deliveries.is_off(delivery.target)
    assert not await deliveries.turn_on(delivery.url)


async def test_the_backlog_counts_what_is_undelivered(database: Database, deliveries: Deliveries) -> None:
    assert await deliveries.backlog() == Backlog()
    await put(database, 2, created_at=now() - timedelta(seconds=90))
    backlog = await deliveries.backlog()
    assert (backlog.depth, backlog.dead) == (2, 0)
    assert 90 <= backlog.oldest < 120


async def test_what_is_long_over_is_forgotten_and_nothing_else(database: Database, deliveries: Deliveries) -> None:
    old = now() - timedelta(seconds=1)
    await put(database, status="delivered", ended_at=old - KEPT)
    await put(database, status="dead", ended_at=old - KEPT_DEAD)
    await put(database, until=old - KEPT_DEAD)
    kept = [
        *await put(database, status="delivered", ended_at=old),
        *await put(database, status="dead", ended_at=old - KEPT),
        *await put(database, due_at=old - KEPT_DEAD),
    ]
    await deliveries.purge()
    assert sorted(each.id for each in await deliveries.list()) == sorted(kept)
