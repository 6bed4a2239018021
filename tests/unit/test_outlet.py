"""The outlet merges text and keeps everything else in its place."""

import asyncio
import itertools
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agent.events import Citation, EventBody, RunCancelled, TextDelta
from agent.log.log import FileEventLog
from agent.log.outlet import Outlet, merged

RUN = "0193fd1c-7a2b-7c3d-8e4f-5a6b7c8d9e0f"
MARK = Citation(label=1, start=0, end=1, document_id="d", version="v")


@given(st.lists(st.one_of(st.text(max_size=3).map(TextDelta), st.just(MARK))))
def test_merging_keeps_the_text_and_the_order(bodies: list[EventBody]) -> None:
    def shape(items: list[EventBody]) -> str:
        return "".join(item.delta if isinstance(item, TextDelta) else "\0" for item in items)

    result = merged(bodies)
    assert shape(result) == shape(bodies)
    assert not any(isinstance(a, TextDelta) and isinstance(b, TextDelta) for a, b in itertools.pairwise(result))


async def test_a_burst_of_text_becomes_few_events_that_join_to_the_same(tmp_path: Path) -> None:
    log = FileEventLog(tmp_path)
    await log.open(RUN)
    outlet = Outlet(log, RUN)
    drain = asyncio.create_task(outlet.drain())
    for number in range(1000):
        outlet.put(TextDelta(f"{number} "))
        if number % 100 == 0:
            await asyncio.sleep(0)
    outlet.put(RunCancelled(reason="enough"))
    await drain
    events = [orjson.loads(event.data) for event in await log.read(RUN)]
    assert "".join(event.get("delta", "") for event in events) == "".join(f"{number} " for number in range(1000))
    assert len(events) < 20
