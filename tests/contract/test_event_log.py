"""What every event log promises its writers and readers."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.errors import RunTakenOver
from agent.events import RunCancelled, RunCompleted, RunStarted, TextDelta
from agent.log.encoding import RunEvent, encode, reencode
from agent.log.log import EventLog, FileEventLog
from agent.log.redis import RedisEventLog
from agent.queue.redis_signals import Signals
from tests.support.redis import reachable_redis

RUN = "0193fd1c-7a2b-7c3d-8e4f-5a6b7c8d9e0f"
STARTED = RunStarted(session_id="s", model="m", config_version="c", created_at="now")
DONE = RunCompleted(finish_reason="stop", answer="Hi 🪨", duration_ms=1.0)


class KeptInMemory:
    """An archive for the logs that are not files."""

    def __init__(self) -> None:
        self.kept: dict[str, list[RunEvent]] = {}

    async def put(self, run_id: str, events: Sequence[RunEvent]) -> None:
        self.kept[run_id] = list(events)

    async def get(self, run_id: str) -> list[RunEvent]:
        return self.kept.get(run_id, [])

    async def remove(self, run_id: str) -> None:
        self.kept.pop(run_id, None)


@dataclass
class Logs:
    """Logs over one store, as several processes open them."""

    another: Callable[[], EventLog]
    forget: Callable[[], Awaitable[None]]
    """The store lets go of what it may let go of."""


@pytest.fixture(params=["file", "redis"])
async def logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    opened: list[Any] = []
    async with AsyncExitStack() as stack:
        if request.param == "file":

            def another() -> EventLog:
                opened.append(FileEventLog(tmp_path))
                return opened[-1]  # type: ignore[no-any-return]

            async def forget() -> None:
                await opened[0].aclose()
        else:
            redis = await stack.enter_async_context(reachable_redis())
            archive = KeptInMemory()

            def another() -> EventLog:
                signals = Signals(redis)
                stack.push_async_callback(signals.aclose)
                opened.append(RedisEventLog(redis, signals, archive))
                return opened[-1]  # type: ignore[no-any-return]

            async def forget() -> None:
                await redis.flushdb()

        yield Logs(another, forget)
        for log in opened:
            await log.aclose()


@pytest.fixture
def log(logs: Logs) -> EventLog:
    return logs.another()


@pytest.fixture
def file_log(tmp_path: Path) -> FileEventLog:
    return FileEventLog(tmp_path)


async def collect(log: EventLog, after: int = 0) -> list[RunEvent]:
    return [event async for event in log.follow(RUN, after)]


async def following(log: EventLog, after: int = 0) -> tuple["asyncio.Task[list[RunEvent]]", asyncio.Event]:
    """A follower, and a sign that it has seen something."""
    seen = asyncio.Event()

    async def follow() -> list[RunEvent]:
        events = []
        async for event in log.follow(RUN, after):
            events.append(event)
            seen.set()
        return events

    return asyncio.create_task(follow()), seen


async def test_a_follower_sees_what_was_and_what_comes_up_to_the_end(log: EventLog) -> None:
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED, TextDelta("Hi ")])
    async with asyncio.TaskGroup() as group:
        early = group.create_task(collect(log))
        late = group.create_task(collect(log, after=1))
        await asyncio.sleep(0)
        await log.append(RUN, [TextDelta("🪨")])
        await log.append(RUN, [DONE])
    assert [(event.seq, event.type) for event in early.result()] == [
        (1, "run.started"),
        (2, "text.delta"),
        (3, "text.delta"),
        (4, "run.completed"),
    ]
    assert late.result() == early.result()[1:]


async def test_a_replay_after_the_end_is_the_same_to_the_byte(log: EventLog) -> None:
    await log.open(RUN, 1)
    follower = asyncio.create_task(collect(log))
    await log.append(RUN, [STARTED, TextDelta("a"), DONE])
    live = await follower
    assert await collect(log) == live
    assert await collect(log, after=2) == live[2:]
    assert await log.read(RUN) == live


async def test_the_data_names_run_place_and_type(log: EventLog) -> None:
    await log.open(RUN, 1)
    await log.append(RUN, [TextDelta("x"), RunCancelled(reason="r")])
    first, _ = await collect(log)
    assert orjson.loads(first.data) == {"run_id": RUN, "seq": 1, "type": "text.delta", "delta": "x"}


async def test_another_process_goes_on_where_a_line_was_cut_off(file_log: FileEventLog, tmp_path: Path) -> None:
    log = file_log
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED, TextDelta("kept")])
    file = next(tmp_path.rglob("*.jsonl"))
    with file.open("ab") as torn:
        torn.write(b'{"run_id":"half a li')
    again = FileEventLog(tmp_path)
    await again.open(RUN, 2)
    await again.append(RUN, [DONE])
    events = await again.read(RUN)
    assert [event.seq for event in events] == [1, 2, 3]
    assert [orjson.loads(event.data)["type"] for event in events] == ["run.started", "text.delta", "run.completed"]


async def test_an_unknown_run_has_no_events(log: EventLog) -> None:
    assert await log.read(RUN) == []
    assert await collect(log) == []


async def test_what_cannot_be_kept_is_not_shown(file_log: FileEventLog) -> None:
    """The write fails as on a full disk: the reader sees nothing of it, and is told of the end all the same."""
    log = file_log
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED])
    follower = asyncio.create_task(collect(log))
    await asyncio.sleep(0)
    file = log._files[RUN]
    file.close()
    file._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        await log.append(RUN, [TextDelta("lost")])
    await log.abandon(RUN, RunCancelled(reason="disk"))
    assert [event.type for event in await follower] == ["run.started", "run.cancelled"]


async def test_text_that_no_encoding_carries_does_not_stop_a_run(log: EventLog) -> None:
    await log.open(RUN, 1)
    await log.append(RUN, [TextDelta("half \ud83d pair"), RunCancelled(reason="r")])
    first, _ = await collect(log)
    assert orjson.loads(first.data)["delta"] == "half ? pair"


async def test_another_process_follows_and_goes_on(logs: Logs) -> None:
    first, second = logs.another(), logs.another()
    await first.open(RUN, 1)
    await first.append(RUN, [STARTED, TextDelta("a")])
    await first.rest(RUN)
    await second.open(RUN, 2)
    follower, seen = await following(second)
    await seen.wait()
    await second.append(RUN, [TextDelta("b")])
    await second.append(RUN, [DONE])
    events = await follower
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert await logs.another().read(RUN) == events


async def test_a_run_at_rest_outlives_what_the_store_forgets(logs: Logs) -> None:
    log = logs.another()
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED, TextDelta("a")])
    await log.rest(RUN)
    await logs.forget()
    again = logs.another()
    assert [event.seq for event in await again.read(RUN)] == [1, 2]
    await again.open(RUN, 2)
    await again.append(RUN, [DONE])
    await logs.forget()
    assert [event.seq for event in await collect(logs.another())] == [1, 2, 3]


async def test_who_follows_a_run_at_rest_waits_for_it_to_go_on(logs: Logs) -> None:
    log = logs.another()
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED])
    await log.rest(RUN)
    follower, seen = await following(log)
    await seen.wait()
    await log.open(RUN, 2)
    await log.append(RUN, [DONE])
    assert [event.type for event in await follower] == ["run.started", "run.completed"]


async def test_followers_are_let_go_when_the_process_stops(logs: Logs) -> None:
    log = logs.another()
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED])
    follower, seen = await following(log)
    await seen.wait()
    await log.aclose()
    assert [event.type for event in await follower] == ["run.started"]


async def test_who_has_lost_a_run_adds_nothing_to_its_log() -> None:
    async with reachable_redis() as redis:
        signals = Signals(redis)
        old, new = (RedisEventLog(redis, signals, KeptInMemory()) for _ in range(2))
        await old.open(RUN, 1)
        await old.append(RUN, [STARTED])
        await new.open(RUN, 2)
        with pytest.raises(RunTakenOver):
            await old.append(RUN, [TextDelta("too late")])
        with pytest.raises(RunTakenOver):
            await old.open(RUN, 1)
        await new.append(RUN, [DONE])
        assert [event.type for event in await new.read(RUN)] == ["run.started", "run.completed"]
        await signals.aclose()


async def test_an_append_that_is_repeated_after_a_lost_answer_is_kept_once() -> None:
    async with reachable_redis() as redis:
        signals = Signals(redis)
        log = RedisEventLog(redis, signals, KeptInMemory())
        await log.open(RUN, 1)
        events = [encode(RUN, 1, STARTED), encode(RUN, 2, TextDelta("a"))]
        await log._write(RUN, 1, events)
        await log._write(RUN, 1, events)
        assert await log.read(RUN) == events
        await signals.aclose()


async def test_many_processes_see_the_same_while_it_is_written(logs: Logs) -> None:
    writer = logs.another()
    # The files have one process that writes and reads them.
    readers = [logs.another() for _ in range(4)] if isinstance(writer, RedisEventLog) else [writer] * 4
    await writer.open(RUN, 1)
    await writer.append(RUN, [STARTED])
    followers = [await following(reader, after) for after, reader in enumerate(readers)]
    for number in range(300):
        await writer.append(RUN, [TextDelta(str(number))])
    await writer.append(RUN, [DONE])
    whole = await writer.read(RUN)
    assert len(whole) == 302
    assert [await follower for follower, _ in followers] == [whole[after:] for after in range(4)]


async def test_what_a_run_that_has_ended_said_can_be_rewritten_and_erased(logs: Logs) -> None:
    log = logs.another()
    await log.open(RUN, 1)
    await log.append(RUN, [STARTED, TextDelta("Hi 🪨"), DONE])
    told = await log.read(RUN)

    def hush(events: Sequence[RunEvent]) -> Sequence[RunEvent]:
        return [reencode(event, {**orjson.loads(event.data), "delta": "\u2028"}) for event in events]

    await log.rewrite(RUN, lambda events: events)
    assert await log.read(RUN) == told
    await log.rewrite(RUN, hush)
    for reader in (log, logs.another()):
        assert await reader.read(RUN) == hush(told)
        assert await collect(reader, 1) == list(hush(told))[1:]
    assert b"\xe2\x80\xa8" not in (await log.read(RUN))[1].data  # still one line for every client
    await log.open(RUN, 2)
    assert await log.read(RUN) == hush(told)

    for _ in range(2):
        await log.erase(RUN)
        for reader in (log, logs.another()):
            assert await reader.read(RUN) == []
            assert await collect(reader) == []
    await log.rewrite(RUN, hush)
    assert await log.read(RUN) == []
