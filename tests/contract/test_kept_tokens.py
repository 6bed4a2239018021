"""The token that a run acts with, on every database: whoever takes the run up has it, and at the run's end nobody."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from agent.approvals.signing import Signer
from agent.idempotency import RequestKey
from agent.journal.record import RunRecord, RunStatus
from agent.journal.stores import open_run_store
from agent.queue.claims import Claims
from agent.subject_token import TokenSealer
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import runs

ALICE = Principal(id="alice")
TOKEN = SecretStr("token-of-alice")
SEALER = TokenSealer(Signer(b"s" * 32))


async def accepted(database: Database, key: RequestKey | None = None, *, held: bool = True) -> RunRecord:
    """A run that brought a token."""
    return await open_run_store(database, "me").accept(
        ALICE,
        session_id=None,
        title="t",
        model="m",
        config_version="c",
        request={"message": "m"},
        key=key,
        held=held,
        seal=lambda tenant, run_id: SEALER.seal(TOKEN, tenant, run_id),
    )


def opened(record: RunRecord) -> str | None:
    token = SEALER.open(record.sealed_token, record.tenant, record.id)
    return token.get_secret_value() if token is not None else None


@pytest.mark.parametrize("held", [True, False])
async def test_whoever_takes_a_run_up_has_its_token(database: Database, *, held: bool) -> None:
    run = await accepted(database, held=held)
    assert opened(run) == TOKEN.get_secret_value()
    late = update(runs).where(runs.c.id == run.id, runs.c.tenant == run.tenant)
    async with database.write() as connection:
        await connection.execute(late.values(lease_until=now() - timedelta(seconds=1)))
    taken = await Claims(database, "other", alone=False).take(run.id)
    assert taken is not None
    assert (opened(taken), taken.fence > run.fence) == (TOKEN.get_secret_value(), True)


async def test_a_run_that_was_asked_for_under_a_key_keeps_its_token(database: Database) -> None:
    key = RequestKey(tenant=ALICE.tenant, principal=ALICE.id, route="/v1/chat", key="k", digest="d")
    run = await accepted(database, key)
    assert opened(await open_run_store(database, "me").get(ALICE, run.id)) == TOKEN.get_secret_value()


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_run_that_has_ended_has_no_token(database: Database, status: RunStatus) -> None:
    run, other = await accepted(database), await accepted(database)
    await open_run_store(database, "me").end(run.claim, status, {"type": f"run.{status}"}, [])
    async with database.read() as connection:
        query = select(runs.c.id).where(runs.c.tenant == ALICE.tenant, runs.c.subject_token.isnot(None))
        assert (await connection.scalars(query)).all() == [other.id]
