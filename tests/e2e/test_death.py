"""A process is killed at every moment of a run in turn, and the next one brings the run to the end it would have had.

Whatever the back end can do against repetition, nothing is done twice and nothing is left out; who followed the run
before and after sees one story without a gap or a repetition.
"""

import asyncio
import signal
import sys
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select

from agent.approvals.approval import Decision
from agent.log.outcome import outcome
from records.schema import runs
from tests.support.dying_run import AFTER, BEFORE, Death, Ledger, bureau, follow
from tests.support.everyones import everyones
from tests.support.runs import ALICE, terminals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
AT_ONCE = 4
MOMENTS = 40
"""A few more than a run has."""


@pytest.mark.parametrize("first", range(1, MOMENTS + 1, AT_ONCE))
async def test_killed_at_any_moment_a_run_acts_once_and_tells_one_story(tmp_path: Path, first: int) -> None:
    numbers = range(first, first + AT_ONCE)
    await asyncio.gather(*(live_twice(tmp_path / str(number), number) for number in numbers))


async def live_twice(folder: Path, number: int) -> None:
    folder.mkdir()
    command = (sys.executable, "-m", "tests.support.dying_run", str(folder), str(number))
    first = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    seen = (await first.communicate())[0].splitlines()
    assert first.returncode == -signal.SIGKILL or (first.returncode == 0 and number > MOMENTS // 2)
    assert first.returncode == 0 or number < MOMENTS, "the run has more moments than are tried"
    ledger = Ledger(folder / "ledger")
    async with bureau(folder, Death()) as second:
        await second.runs.recover()
        async with second.database.read() as connection:
            run_id = (await connection.execute(everyones(select(runs.c.id)))).scalar_one()
        events = await follow(second, run_id, len(seen))
        asked = [approval for approval in await second.approvals.of_run(run_id) if approval.status == "pending"]
        for approval in asked:
            # The person looks into the back end, which the agent cannot.
            assert (approval.tool, approval.kind) == ("mute", "outcome_unknown")
            done = Decision(decision="reject", reason="It was done.")
            decision = done if ledger.posted("mute") else Decision(decision="approve")
            await second.approvals.decide(ALICE, approval.id, decision)
            await second.runs.wake(run_id)
            events += await follow(second, run_id, len(seen) + len(events))
        await second.idle()
        whole = await second.log.read(run_id)
        assert not await second.store.unsealed()
    assert [ledger.posted(kind) for kind in ("keyed", "reported", "mute")] == [
        [f"{run_id}:1:{index}"] for index in (1, 2, 3)
    ]
    assert [*seen, *(event.data for event in events)] == [event.data for event in whole]
    assert terminals(whole) == ["run.completed"]
    told = outcome(whole)
    assert told["answer"] == f"{BEFORE}\n\n{AFTER}" == orjson.loads(whole[-1].data)["answer"]
    assert len({event.data for event in whole if event.type == "tool.result"}) == 4
    assert [event.type for event in whole].count("tool.call") == 4
