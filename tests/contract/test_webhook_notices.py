"""What is told of a transition is written with it on every database, at no cost where nobody wants to be told."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.approvals.approval import ApprovalRequest
from agent.approvals.signing import Signer
from agent.approvals.store import ApprovalStore
from agent.errors import RunTakenOver
from agent.journal.journal import Transition
from agent.journal.record import RunRecord
from agent.journal.stores import open_journal, open_run_store
from agent.queue.claims import Claims
from agent.webhooks.deliveries import Deliveries
from agent.webhooks.endpoints import Endpoint, Endpoints
from agent.webhooks.notices import Notices
from agent.webhooks.signing import new_secret
from records.database import Database
from records.principal import Principal

END: dict[str, Any] = {"type": "run.failed", "code": "internal", "detail": "", "retryable": False}


def notices(tenant: str = "default") -> Notices:
    return Notices(Endpoints([Endpoint(url="https://a.example/", secret=new_secret(), tenant=tenant)]))


async def accepted(database: Database) -> RunRecord:
    alice = Principal(id="alice")
    store = open_run_store(database, "w")
    return await store.accept(alice, session_id=None, title="t", model="m", config_version="c", request={})


async def told(database: Database) -> list[str]:
    return [orjson.loads(each.body)["type"] for each in await Deliveries(database).list()]


def question(run: RunRecord, database: Database) -> Transition:
    request = ApprovalRequest(
        step=1, call_id="c", kind="call", tool="pay", effect="write", arguments={}, reason="r", approvers=(), sources=[]
    )
    asked = ApprovalStore(database, Signer(b"k" * 32), expire_seconds=60).rows(run, [request])
    return Transition(asked=asked)


async def test_an_end_and_a_question_are_told_with_what_they_tell_of(database: Database) -> None:
    run, wanted = await accepted(database), notices()
    await open_journal(database, wanted).write(run.claim, question(run, database))
    assert await told(database) == ["run.waiting_approval"]
    assert wanted.written.is_set()
    await open_run_store(database, "w", wanted).end(run.claim, "failed", END, [])
    assert await told(database) == ["run.failed", "run.waiting_approval"]


async def test_what_does_not_count_is_not_told(database: Database) -> None:
    """A worker that lost its run ends nothing and tells nothing; of two ends the first is told, once."""
    run, wanted = await accepted(database), notices()
    store = open_run_store(database, "w", wanted)
    taken = await Claims(database, "other", alone=True).take(run.id)
    assert taken is not None
    with pytest.raises(RunTakenOver):
        await store.end(run.claim, "failed", END, [])
    with pytest.raises(RunTakenOver):
        await open_journal(database, wanted).write(run.claim, question(run, database))
    assert await told(database) == []
    await store.end(taken.claim, "failed", END, [])
    with pytest.raises(RunTakenOver):
        await store.end(taken.claim, "failed", END, [])
    assert await told(database) == ["run.failed"]


class Counting(Database):
    """Counts in what ways it is used."""

    used: Counter[str]

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        self.used["write"] += 1
        async with super().write() as connection:
            yield connection

    async def postgres(self, statement: str, *values: Any) -> Any:
        self.used["driver"] += 1
        return await super().postgres(statement, *values)

    async def sqlite(self, work: Callable[..., Any]) -> Any:
        self.used["driver"] += 1
        return await super().sqlite(work)


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_where_nobody_wants_to_be_told_an_end_is_one_trip_as_ever(
    url: str, database: Database, tenant: str | None
) -> None:
    run = await accepted(database)
    counting = await Counting.open(url)
    assert isinstance(counting, Counting)
    counting.used = Counter()
    try:
        await open_run_store(counting, "w", notices(tenant) if tenant else None).end(run.claim, "failed", END, [])
    finally:
        await counting.aclose()
    assert counting.used == {"driver": 1}
    assert await told(database) == []
