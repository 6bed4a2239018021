"""Whoever waits in whatever lane: limits hold, order holds, interactive runs go first, and nobody starves."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.queue.lanes import LANES, Lane, LaneFull, LaneLimits, Lanes, Waiting, next_of

LIMITS = st.builds(
    LaneLimits,
    interactive=st.integers(1, 4),
    batch=st.integers(1, 4),
    promote_seconds=st.integers(0, 30).map(float),
)
WAITING = st.lists(st.builds(Waiting, st.sampled_from(LANES), st.integers(0, 60).map(float)), max_size=8)
RUNNING = st.fixed_dictionaries({lane: st.integers(0, 4) for lane in LANES})
NOW = 60.0


def of(lane: Lane, waiting: Sequence[Waiting]) -> list[Waiting]:
    return [each for each in waiting if each.lane == lane]


@given(WAITING, RUNNING, LIMITS)
def test_who_goes_on_has_room_and_has_waited_longest_in_its_lane(
    waiting: list[Waiting], running: dict[Lane, int], limits: LaneLimits
) -> None:
    index = next_of(waiting, running, limits, NOW)
    if index is not None:
        chosen = waiting[index]
        assert running[chosen.lane] < limits.at_once(chosen.lane)
        assert chosen.since == min(each.since for each in of(chosen.lane, waiting))


@given(WAITING, RUNNING, LIMITS)
def test_nobody_waits_without_a_reason(waiting: list[Waiting], running: dict[Lane, int], limits: LaneLimits) -> None:
    if next_of(waiting, running, limits, NOW) is None:
        interactive, batch = of("interactive", waiting), of("batch", waiting)
        assert not interactive or running["interactive"] >= limits.interactive
        stands_back = interactive and all(NOW - each.since < limits.promote_seconds for each in batch)
        assert not batch or running["batch"] >= limits.batch or stands_back


@given(WAITING, RUNNING, LIMITS)
def test_a_batch_run_goes_before_an_interactive_one_only_by_its_age(
    waiting: list[Waiting], running: dict[Lane, int], limits: LaneLimits
) -> None:
    index = next_of(waiting, running, limits, NOW)
    interactive = of("interactive", waiting)
    if index is not None and waiting[index].lane == "batch" and interactive:
        chosen = waiting[index]
        assert NOW - chosen.since >= limits.promote_seconds
        full = running["interactive"] >= limits.interactive
        assert full or chosen.since <= min(each.since for each in interactive)


@given(LIMITS)
def test_no_stream_of_interactive_runs_keeps_a_batch_run_waiting_for_ever(limits: LaneLimits) -> None:
    """One interactive run comes each second, and each takes so long that some always wait."""
    waiting = [Waiting("batch", 0.0)]
    for second in range(200):
        waiting.append(Waiting("interactive", float(second)))
        index = next_of(waiting, {"interactive": limits.interactive}, limits, float(second))
        if index is not None:
            assert waiting[index].lane == "batch"
            assert second == limits.promote_seconds
            return
    raise AssertionError("it starves")


RUNS = st.lists(st.tuples(st.sampled_from(LANES), st.integers(0, 3), st.booleans()), max_size=20)


@given(LIMITS, RUNS)
def test_all_come_to_their_turn_within_the_limits(limits: LaneLimits, runs: list[tuple[Lane, int, bool]]) -> None:
    asyncio.run(simulate(limits, runs))


async def simulate(limits: LaneLimits, runs: Sequence[tuple[Lane, int, bool]]) -> None:
    """Runs come one after the other and last some steps; some are cancelled wherever they are then."""
    lanes, running, ended = Lanes(limits), Counter[Lane](), 0

    async def run(lane: Lane, steps: int) -> None:
        nonlocal ended
        with lanes.enter(lane) as place:
            await place.begin()
            running[lane] += 1
            try:
                assert running[lane] <= lanes.running(lane) <= limits.at_once(lane)
                for _ in range(steps):
                    await asyncio.sleep(0)
                ended += 1
            finally:
                running[lane] -= 1

    tasks = []
    for lane, steps, cancelled in runs:
        tasks.append(asyncio.create_task(run(lane, steps)))
        await asyncio.sleep(0)
        if cancelled:
            tasks[len(tasks) // 2].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    lost = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in lost)
    assert ended == len(runs) - len(lost)
    assert [lanes.depth(lane) for lane in LANES] == [lanes.running(lane) for lane in LANES] == [0, 0]


async def test_depth_and_age_are_those_of_the_lane() -> None:
    seconds = 100.0
    lanes = Lanes(LaneLimits(interactive=1, batch=1, queue=2), clock=lambda: seconds)
    with lanes.enter("batch"):
        seconds = 103.0
        with lanes.enter("batch"), lanes.enter("interactive"):
            seconds = 105.0
            assert [(lanes.depth(lane), lanes.oldest(lane)) for lane in LANES] == [(1, 2.0), (2, 5.0)]
            lanes.check("interactive")
            with pytest.raises(LaneFull):
                lanes.check("batch")
    assert [(lanes.depth(lane), lanes.oldest(lane)) for lane in LANES] == [(0, 0.0), (0, 0.0)]


async def test_a_batch_run_is_promoted_though_nothing_else_happens() -> None:
    lanes = Lanes(LaneLimits(interactive=1, batch=1, promote_seconds=0.05))
    with lanes.enter("interactive") as first, lanes.enter("interactive") as second, lanes.enter("batch") as batch:
        await first.begin()
        waits = asyncio.create_task(second.begin())
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await batch.begin()
        assert not waits.done()
        assert lanes.running("batch") == 1
        waits.cancel()
