"""What stops a tool, and what takes its autonomy away, on every database."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.approvals.autonomy import AutonomyGate, Patience, ToolReport, TrackRecord, exhausted, report
from agent.approvals.gate import PolicyGate
from agent.approvals.signing import Signer
from agent.approvals.store import ApprovalRequest, ApprovalStore, Decision
from agent.approvals.switches import Switches
from cairn import tool
from models.messages import ToolCall
from records.database import Database
from records.principal import Principal
from records.schema import approvals, steps
from tests.support.everyones import everyones
from tools.policy import Policy
from tools.toolset import CheckedCall, Toolset

ALICE = Principal(tenant="t", id="alice", roles=frozenset({"admin"}))
PATIENCE = Patience(window=4, wrong=1)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Run:
    id: str = "run"
    tenant: str = "t"
    principal: str = "alice"
    session_id: str = "s"


REFUND = ApprovalRequest(
    step=0,
    call_id="c",
    kind="call",
    tool="refund",
    effect="write",
    arguments={},
    reason="confirm",
    approvers=(),
)


@tool(effect="write", autonomy="auto")
def refund() -> str:
    """Pay money back."""
    return "paid"


@tool
def look() -> str:
    """Look at an order."""
    return "seen"


TOOLS = Toolset([refund, look])


def call(name: str) -> CheckedCall:
    checked = TOOLS.check(ToolCall(id="c", name=name, arguments="{}"))
    assert isinstance(checked, CheckedCall)
    return checked


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(database: Database, clock: Clock) -> AutonomyGate:
    return AutonomyGate(PolicyGate(Policy()), Switches(database, clock), TrackRecord(database, PATIENCE, clock))


async def ended(database: Database, statuses: Sequence[str], *, name: str = "refund", tenant: str = "t") -> None:
    """Steps that came to these statuses, one after the other."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    async with database.write() as connection:
        await connection.execute(
            steps.insert(),
            [
                {
                    "run_id": f"run-{tenant}-{name}",
                    "seq": seq,
                    "tenant": tenant,
                    "kind": "tool",
                    "idempotency_key": f"{seq}",
                    "status": status,
                    "attempt": 1,
                    "intent": {"name": name, "arguments": {"note": "\0 \ud83d"}},
                    "started_at": moment,
                    "ended_at": moment + timedelta(seconds=seq),
                }
                for seq, status in enumerate(statuses)
            ],
        )


async def test_a_stopped_tool_is_refused_with_the_reason_and_others_go_on(
    database: Database, gate: AutonomyGate
) -> None:
    await Switches(database).stop(tool="refund", reason="paid twice", set_by="root")
    judged = await gate.judge(call("refund"), ALICE)
    assert (judged.autonomy, judged.reason) == ("refuse", "it was stopped by root: paid twice")
    assert (await gate.judge(call("look"), ALICE)).autonomy == "auto"


@pytest.mark.parametrize(
    ("tenant", "tool_name", "stops"),
    [
        ("*", "*", True),
        ("t", "*", True),
        ("*", "refund", True),
        ("t", "refund", True),
        ("other", "*", False),
        ("*", "look", False),
        ("other", "refund", False),
    ],
)
async def test_a_switch_holds_for_the_tenants_and_tools_that_it_names(
    database: Database, gate: AutonomyGate, tenant: str, tool_name: str, *, stops: bool
) -> None:
    await Switches(database).stop(tenant=tenant, tool=tool_name, reason="r", set_by="root")
    assert ((await gate.judge(call("refund"), ALICE)).autonomy == "refuse") is stops


async def test_another_process_s_switch_holds_within_a_second_and_so_does_its_end(
    database: Database, gate: AutonomyGate, clock: Clock
) -> None:
    elsewhere = Switches(database)
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "auto"
    await elsewhere.stop(reason="r", set_by="root")
    clock.seconds = 1.0
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "refuse"
    assert await elsewhere.resume()
    clock.seconds = 2.0
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "auto"


async def test_the_switches_are_not_read_for_every_call(database: Database, clock: Clock) -> None:
    switches = Switches(database, clock)
    assert await switches.of("t", "refund") is None
    await Switches(database).stop(reason="r", set_by="root")
    clock.seconds = 0.9
    assert await switches.of("t", "refund") is None


async def test_stopping_again_renews_the_reason_and_resuming_takes_back_one_switch_only(database: Database) -> None:
    switches = Switches(database)
    await switches.stop(tool="refund", reason="first", set_by="root")
    await switches.stop(tool="refund", reason="second", set_by="maria")
    await switches.stop(reason="all", set_by="root")
    assert [(switch.tool, switch.reason, switch.set_by) for switch in await switches.all()] == [
        ("refund", "second", "maria"),
        ("*", "all", "root"),
    ]
    assert await switches.resume()
    assert not await switches.resume()
    left = await switches.of("t", "refund")
    assert left is not None
    assert left.reason == "second"


@pytest.mark.parametrize("wrong", ["failed", "unknown", "rejected"])
async def test_a_tool_that_went_wrong_too_often_has_to_ask(database: Database, gate: AutonomyGate, wrong: str) -> None:
    await ended(database, [wrong, "done", "done", wrong])
    judged = await gate.judge(call("refund"), ALICE)
    assert (judged.autonomy, judged.reason) == ("confirm", "too many of the last calls of refund went wrong")


@pytest.mark.parametrize(
    "statuses",
    [
        ["done"],
        ["failed"],
        ["failed", "failed", "done", "done", "done"],
        ["refused", "suggested", "expired", "invalid_arguments", "unknown_tool", "started"],
    ],
    ids=["nothing wrong", "no more than tolerated", "long ago", "never made"],
)
async def test_a_tool_keeps_its_autonomy(database: Database, gate: AutonomyGate, statuses: list[str]) -> None:
    await ended(database, statuses)
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "auto"


async def test_what_other_tools_and_tenants_do_wrong_does_not_count(database: Database, gate: AutonomyGate) -> None:
    await ended(database, ["failed"] * 4, name="look")
    await ended(database, ["failed"] * 4, tenant="other")
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "auto"


async def test_a_read_that_fails_goes_on_by_itself(database: Database, gate: AutonomyGate) -> None:
    await ended(database, ["failed"] * 4, name="look")
    assert (await gate.judge(call("look"), ALICE)).autonomy == "auto"


async def test_autonomy_is_earned_back_by_calls_that_go_well(
    database: Database, gate: AutonomyGate, clock: Clock
) -> None:
    await ended(database, ["failed", "failed"])
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "confirm"
    async with database.write() as connection:
        await connection.execute(everyones(steps.delete()))
    await ended(database, ["failed", "failed", "done", "done", "done"])
    clock.seconds = 10.0
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "auto"


async def test_a_call_that_a_person_had_to_edit_went_wrong(database: Database, gate: AutonomyGate) -> None:
    await ended(database, ["done", "done"])
    store = ApprovalStore(database, Signer(bytes(32)), 60)
    run = Run(id="run-t-refund")
    async with database.write() as connection:
        asked = store.rows(run, [replace(REFUND, step=step) for step in (0, 1)])
        await connection.execute(approvals.insert(), asked)
    for row in asked:
        await store.decide(ALICE, row["id"], Decision(decision="edit", arguments={}))
    assert (await gate.judge(call("refund"), ALICE)).autonomy == "confirm"


@pytest.mark.parametrize(
    ("went_wrong", "expected"),
    [
        ([], False),
        ([True], False),
        ([True, True], True),
        ([True, False, False, True], True),
        ([True, False, False, False, True, True], False),
    ],
)
def test_only_the_last_calls_count(went_wrong: list[bool], *, expected: bool) -> None:
    assert exhausted(went_wrong, PATIENCE) is expected


async def test_the_report_counts_what_people_said(database: Database) -> None:
    store = ApprovalStore(database, Signer(bytes(32)), 60)
    requests = [replace(REFUND, step=step) for step in range(5)]
    others = [replace(REFUND, tool="mail"), replace(REFUND, kind="outcome_unknown")]
    async with database.write() as connection:
        asked = store.rows(Run(), [*requests, *others])
        await connection.execute(approvals.insert(), asked)
        await connection.execute(approvals.insert(), store.rows(Run(id="run-2", tenant="other"), [REFUND]))
    decisions = [
        Decision(decision="approve"),
        Decision(decision="approve"),
        Decision(decision="edit", arguments={"a": 1}),
        Decision(decision="reject"),
    ]
    for row, decision in zip(asked, decisions, strict=False):
        await store.decide(ALICE, row["id"], decision)
    nothing = ToolReport(tool="mail", proposals=1, pending=1, approved=0, edited=0, rejected=0, expired=0)
    refunds = ToolReport(tool="refund", proposals=5, pending=1, approved=2, edited=1, rejected=1, expired=0)
    assert await report(database, "t") == [nothing, refunds]
    assert await report(database) == [nothing, replace(refunds, proposals=6, pending=2)]
