"""What approvals promise on every database: one decision each, by who may, and no forged one is genuine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.approvals.signing import Signer
from agent.approvals.store import (
    Approval,
    ApprovalDecided,
    ApprovalForbidden,
    ApprovalNotFound,
    ApprovalNotGenuine,
    ApprovalRequest,
    ApprovalStore,
    Decision,
    DecisionImpossible,
)
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import approvals
from tests.support.everyones import everyones

SIGNER = Signer(bytes(32))
DAY = 86_400.0
ALICE = Principal(tenant="t", id="alice")
MANAGER = Principal(tenant="t", id="maria", roles=frozenset({"manager"}))
ADMIN = Principal(tenant="t", id="root", roles=frozenset({"admin"}))
STRANGER = Principal(tenant="other", id="alice", roles=frozenset({"admin", "manager"}))
APPROVE = Decision(decision="approve")


@dataclass(frozen=True)
class Run:
    id: str = "run-1"
    tenant: str = "t"
    principal: str = "alice"
    session_id: str = "session-1"


REFUND = ApprovalRequest(
    step=3,
    call_id="call-1",
    kind="call",
    tool="refund",
    effect="irreversible",
    arguments={"order": "R-7", "amount": 12.5, "note": "Grüße \0 \ud83d", "lines": [1, None, {"deep": True}]},
    reason="refunds over 10 € \0",
    approvers=("manager",),
    record={"order": {"paid": "40.00"}},
    sources=({"label": 1, "title": "Returns", "score": 0.1 + 0.2},),
)
OPEN_TO_ALL = replace(REFUND, approvers=())


@pytest.fixture
def store(database: Database) -> ApprovalStore:
    return ApprovalStore(database, SIGNER, DAY)


async def ask(
    database: Database, store: ApprovalStore, *requests: ApprovalRequest, run: Run | None = None
) -> list[Approval]:
    """Insert what the loop would insert; gives it as it is read back."""
    run = run or Run()
    async with database.write() as connection:
        await connection.execute(approvals.insert(), store.rows(run, requests))
    return await store.of_run(run.id)


async def tamper(database: Database, **values: Any) -> None:
    async with database.write() as connection:
        await connection.execute(everyones(update(approvals)).values(**values))


async def test_what_was_asked_is_read_back_whole_and_genuine(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    assert store.genuine(asked)
    assert not asked.may_act
    assert (asked.arguments, asked.record, asked.sources) == (REFUND.arguments, REFUND.record, list(REFUND.sources))
    assert (asked.status, asked.decision, asked.reason) == ("pending", None, "refunds over 10 € \ufffd")
    assert asked.expires_at == asked.created_at + timedelta(seconds=DAY)
    assert await store.get(ALICE, asked.id) == asked


async def test_a_run_s_approvals_come_in_the_order_of_its_steps(database: Database, store: ApprovalStore) -> None:
    asked = await ask(database, store, *(replace(REFUND, step=step) for step in (3, 1, 2)))
    assert [approval.step for approval in asked] == [1, 2, 3]
    assert await store.of_run("another") == []


async def test_another_tenant_sees_and_decides_nothing(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    with pytest.raises(ApprovalNotFound):
        await store.get(STRANGER, asked.id)
    with pytest.raises(ApprovalNotFound):
        await store.decide(STRANGER, asked.id, APPROVE)
    assert await store.list(STRANGER, limit=10) == []
    assert (await store.get(ALICE, asked.id)).status == "pending"


async def test_an_approval_says_who_decided_and_is_genuine(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    decided = await store.decide(MANAGER, asked.id, replace(APPROVE, reason="fine by me"))
    assert decided == await store.get(ALICE, asked.id)
    assert store.genuine(decided)
    assert decided.may_act
    assert (decided.status, decided.decided_by) == ("approved", "maria")
    assert decided.decision == Decision(decision="approve", reason="fine by me")
    assert decided.final_arguments == REFUND.arguments


async def test_an_edit_renews_the_digest_and_keeps_what_was_proposed(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    decided = await store.decide(MANAGER, asked.id, Decision(decision="edit", arguments={"amount": 5}))
    assert store.genuine(decided)
    assert decided.may_act
    assert (decided.status, decided.final_arguments) == ("edited", {"amount": 5})
    assert decided.arguments == REFUND.arguments
    assert decided.digest != asked.digest


async def test_a_rejection_keeps_its_reason_and_lets_nothing_happen(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    decided = await store.decide(MANAGER, asked.id, Decision(decision="reject", reason="not \0 yet \ud83d"))
    assert (decided.status, decided.may_act) == ("rejected", False)
    assert decided.decision == Decision(decision="reject", reason="not \ufffd yet ?")
    assert store.genuine(decided)


async def test_only_a_role_among_the_approvers_or_an_admin_decides(database: Database, store: ApprovalStore) -> None:
    first, second = await ask(database, store, REFUND, replace(REFUND, step=4))
    with pytest.raises(ApprovalForbidden, match="manager"):
        await store.decide(ALICE, first.id, APPROVE)
    assert (await store.get(ALICE, first.id)).status == "pending"
    assert (await store.decide(MANAGER, first.id, APPROVE)).decided_by == "maria"
    assert (await store.decide(ADMIN, second.id, APPROVE)).decided_by == "root"


async def test_without_approvers_anybody_of_the_tenant_decides(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, OPEN_TO_ALL)
    assert (await store.decide(ALICE, asked.id, APPROVE)).decided_by == "alice"


async def test_of_ten_deciders_at_once_one_wins_and_the_others_learn_what(
    database: Database, store: ApprovalStore
) -> None:
    (asked,) = await ask(database, store, OPEN_TO_ALL)
    verbs = [APPROVE, Decision(decision="reject", reason="no")] * 5
    deciding = [
        store.decide(Principal(tenant="t", id=f"p{number}"), asked.id, verb) for number, verb in enumerate(verbs)
    ]
    outcomes = await asyncio.gather(*deciding, return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Approval)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, ApprovalDecided)]
    assert (len(won), len(lost)) == (1, 9)
    assert {error.approval.decided_by for error in lost} == {won[0].decided_by}
    assert all(error.approval == won[0] for error in lost)


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"amount": 1000}},
        {"tool": "pay_out"},
        {"call_id": "call-2"},
        {"run_id": "run-1", "kind": "outcome_unknown"},
        {"step": 9},
        {"tenant": "t", "principal": "mallory"},
        {"approvers": []},
        {"reason": "harmless"},
        {"record": {"order": {"paid": "4000.00"}}},
        {"sources": []},
        {"expires_at": None},
        {"digest": "0" * 64},
        {"mac": None},
        {"status": "approved"},
        {"status": "approved", "decided_by": "maria", "decision": {"decision": "approve"}},
    ],
    ids=str,
)
async def test_a_row_changed_in_the_database_is_not_genuine_and_cannot_be_decided(
    database: Database, store: ApprovalStore, change: dict[str, Any]
) -> None:
    (asked,) = await ask(database, store, REFUND)
    await tamper(database, **change)
    (forged,) = await store.of_run("run-1")
    assert not store.genuine(forged)
    with pytest.raises((ApprovalNotGenuine, ApprovalDecided)):
        await store.decide(ADMIN, asked.id, APPROVE)
    (still,) = await store.of_run("run-1")
    assert not store.genuine(still)


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"amount": 1000}},
        {"decision": {"decision": "edit", "arguments": {"amount": 1000}, "reason": ""}},
        {"tool": "pay_out"},
        {"status": "edited"},
        {"decided_by": "somebody"},
        {"run_id": "run-1", "call_id": "call-2"},
    ],
    ids=str,
)
async def test_a_decision_changed_in_the_database_is_not_genuine(
    database: Database, store: ApprovalStore, change: dict[str, Any]
) -> None:
    (asked,) = await ask(database, store, REFUND)
    assert store.genuine(await store.decide(MANAGER, asked.id, APPROVE))
    await tamper(database, **change)
    (forged,) = await store.of_run("run-1")
    assert not store.genuine(forged)


class Tampering(Database):
    """Changes every approval in the moment before something is written."""

    def __init__(self, database: Database, **values: Any) -> None:
        super().__init__(database._engine)
        self._values = values

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with super().write() as connection:
            await connection.execute(everyones(update(approvals)).values(**self._values))
            yield connection


async def test_what_is_changed_while_it_is_decided_is_not_what_was_agreed_to(
    database: Database, store: ApprovalStore
) -> None:
    (asked,) = await ask(database, store, REFUND)
    racing = ApprovalStore(Tampering(database, arguments={"amount": 1000}), SIGNER, DAY)
    decided = await racing.decide(MANAGER, asked.id, APPROVE)
    assert decided.arguments == {"amount": 1000}
    assert not store.genuine(decided)


async def test_what_is_signed_anew_while_it_is_decided_is_not_decided(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    racing = ApprovalStore(Tampering(database, mac="0" * 64), SIGNER, DAY)
    with pytest.raises(ApprovalNotGenuine):
        await racing.decide(MANAGER, asked.id, APPROVE)
    assert (await store.get(MANAGER, asked.id)).status == "pending"


async def test_arguments_that_are_no_json_are_not_genuine(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    assert not store.genuine(replace(asked, arguments={"amount": float("nan")}))


async def test_a_rejection_cannot_be_turned_into_another_approval_s_consent(
    database: Database, store: ApprovalStore
) -> None:
    first, second = await ask(database, store, REFUND, replace(REFUND, step=4))
    agreed = await store.decide(MANAGER, first.id, APPROVE)
    refused = await store.decide(MANAGER, second.id, Decision(decision="reject"))
    copied = replace(refused, status=agreed.status, decision=agreed.decision, mac=agreed.mac)
    assert not store.genuine(copied)


async def test_a_decision_signed_with_another_secret_is_not_genuine(database: Database, store: ApprovalStore) -> None:
    (asked,) = await ask(database, store, REFUND)
    elsewhere = ApprovalStore(database, Signer(b"\1" * 32), DAY)
    with pytest.raises(ApprovalNotGenuine):
        await elsewhere.decide(MANAGER, asked.id, APPROVE)
    assert not elsewhere.genuine(asked)


@pytest.mark.parametrize(
    ("request_", "decision"),
    [
        (REFUND, Decision(decision="approve", arguments={})),
        (REFUND, Decision(decision="reject", arguments={})),
        (REFUND, Decision(decision="edit")),
        (replace(REFUND, kind="outcome_unknown"), Decision(decision="edit", arguments={})),
    ],
)
async def test_a_decision_that_does_not_fit_leaves_it_pending(
    database: Database, store: ApprovalStore, request_: ApprovalRequest, decision: Decision
) -> None:
    (asked,) = await ask(database, store, request_)
    with pytest.raises(DecisionImpossible):
        await store.decide(MANAGER, asked.id, decision)
    assert await store.get(MANAGER, asked.id) == asked


async def test_what_nobody_decided_in_time_expires_once_and_gives_its_runs(
    database: Database, store: ApprovalStore
) -> None:
    await ask(database, store, REFUND, replace(REFUND, step=4))
    await ask(database, store, REFUND, run=Run(id="run-2"))
    (later,) = await ask(database, ApprovalStore(database, SIGNER, 3 * DAY), REFUND, run=Run(id="run-3"))
    assert await store.expire(now()) == []
    tomorrow = now() + timedelta(days=2)
    outcomes = await asyncio.gather(*(store.expire(tomorrow) for _ in range(3)))
    assert sorted(run_id for runs in outcomes for run_id in runs) == ["run-1", "run-2"]
    expired = await store.of_run("run-1")
    assert [(approval.status, approval.decided_at) for approval in expired] == [("expired", tomorrow)] * 2
    assert all(store.genuine(approval) for approval in expired)
    assert await store.of_run("run-3") == [later]


async def test_what_has_expired_cannot_be_decided_even_before_it_is_marked(database: Database) -> None:
    store = ApprovalStore(database, SIGNER, expire_seconds=-1)
    (asked,) = await ask(database, store, REFUND)
    with pytest.raises(ApprovalDecided) as raised:
        await store.decide(MANAGER, asked.id, APPROVE)
    assert raised.value.approval.status == "expired"
    assert await store.expire(now()) == ["run-1"]


async def test_a_tampered_row_that_expires_is_not_made_genuine(database: Database, store: ApprovalStore) -> None:
    await ask(database, store, REFUND)
    await tamper(database, arguments={"amount": 1000})
    assert await store.expire(now() + timedelta(days=2)) == ["run-1"]
    (expired,) = await store.of_run("run-1")
    assert expired.status == "expired"
    assert not store.genuine(expired)


async def test_a_run_that_ended_leaves_nothing_to_decide(database: Database, store: ApprovalStore) -> None:
    first, _ = await ask(database, store, REFUND, replace(REFUND, step=4))
    decided = await store.decide(MANAGER, first.id, APPROVE)
    await store.cancel(Run())
    kept, cancelled = await store.of_run("run-1")
    assert kept == decided
    assert (cancelled.status, cancelled.decided_by, store.genuine(cancelled)) == ("cancelled", None, True)


async def test_the_list_is_cut_into_pages_newest_first(database: Database, store: ApprovalStore) -> None:
    made = [(await ask(database, store, REFUND, run=Run(id=f"run-{number}")))[0].id for number in range(5)]
    newest = sorted(made, reverse=True)
    first = await store.list(MANAGER, status="pending", limit=3)
    rest = await store.list(MANAGER, status="pending", limit=3, before=first[-1].id)
    assert [approval.id for approval in (*first, *rest)] == newest
    whole = await store.get(MANAGER, newest[0])
    assert first[0] == replace(whole, record=None, sources=[])
    await store.decide(MANAGER, newest[0], APPROVE)
    assert [approval.id for approval in await store.list(MANAGER, status="pending", limit=9)] == newest[1:]
    assert [approval.id for approval in await store.list(MANAGER, status="approved", limit=9)] == newest[:1]
    assert len(await store.list(MANAGER, limit=9)) == 5
