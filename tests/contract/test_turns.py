"""Two processes, one session: a run that a person woke does not overlap with the one that was begun meanwhile."""

import asyncio

from agent.approvals.approval import Decision
from tests.contract import test_dispatch
from tests.contract.test_dispatch import Shop, dispatch, end_of, pay
from tests.support.runs import ALICE, Bureau, terminals

postgres, shop = test_dispatch.postgres, test_dispatch.shop


async def approved_while_another_goes_on(shop: Shop, one: Bureau, other: Bureau) -> tuple[str, str]:
    """A run of ``one`` that a person has let go on, and one that ``other`` has begun in its session since."""
    woken, session = await one.start("pay")
    assert [event.type async for event in one.runs.follow(woken)][-1] == "run.waiting"
    since, _ = await other.start("since", session)
    await shop.has_asked("since")
    (asked,) = await one.approvals.of_run(woken)
    await one.approvals.decide(ALICE, asked.id, Decision(decision="approve"))
    shop.let("pay")
    for process in (one, other):
        await process.runs.wake(woken)
        await process.runs.tend()
    assert shop.answered == [("pay", "one"), ("since", "other")]
    return woken, since


async def end_of_woken(process: Bureau, run_id: str) -> list[str]:
    before = await process.log.read(run_id)
    async with asyncio.timeout(60):
        return terminals([*before, *[event async for event in process.runs.follow(run_id, len(before))]])


async def test_a_woken_run_waits_for_the_one_that_has_begun_since(shop: Shop) -> None:
    one, other = [await shop.process(name, tools=[pay]) for name in ("one", "other")]
    woken, since = await approved_while_another_goes_on(shop, one, other)
    shop.let("since")
    assert await end_of(one, since) == "run.completed"
    await dispatch(one).tend()
    assert await end_of_woken(other, woken) == ["run.completed"]
    assert [question for question, _ in shop.answered] == ["pay", "since", "pay"]


async def test_it_goes_on_as_well_if_the_other_ones_process_stops(shop: Shop) -> None:
    one, other = [await shop.process(name, tools=[pay]) for name in ("one", "other")]
    woken, since = await approved_while_another_goes_on(shop, one, other)
    await other.runs.aclose()
    await shop.until(lambda: ("since", "one") in shop.answered)
    assert len(shop.answered) == 3
    shop.let("since")
    assert await end_of(one, since) == "run.completed"
    await dispatch(one).tend()
    assert await end_of_woken(one, woken) == ["run.completed"]
    assert [question for question, _ in shop.answered] == ["pay", "since", "since", "pay"]
