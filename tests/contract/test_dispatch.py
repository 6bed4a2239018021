"""Several processes share one queue: each takes what it has room for, at once, and leaves the rest to the others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agent.approvals.approval import Decision
from agent.errors import RunTakenOver
from agent.queue.dispatch import QUEUED, Dispatch
from agent.queue.lanes import Lane, LaneFull, LaneLimits
from agent.queue.turns import NoSignals, Signals
from agent.run import RunRequest
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.database import Database
from records.ids import new_id
from tests.support.postgres import empty, kept_postgres
from tests.support.redis import URL, reachable_redis
from tests.support.runs import ALICE, Bureau, runs_over, shared_stores, terminals

NONE = LaneLimits(take=())
"""Of a process that accepts runs and leaves them to others."""


class Shop:
    """Processes on the same stores, and a model that tells in which of them a question was answered."""

    def __init__(self, stack: AsyncExitStack, urls: tuple[str, str]) -> None:
        self._stack = stack
        self._urls = urls
        self.answered: list[tuple[str, str]] = []
        self._open: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()

    async def process(
        self,
        name: str,
        lanes: LaneLimits | None = None,
        *,
        listens: bool = True,
        tools: Sequence[Any] = (),
        signals: Signals | None = None,
    ) -> Bureau:
        """One more process; it is closed with the test."""
        stores = await self._stack.enter_async_context(shared_stores(*self._urls))
        stores = replace(stores, signals=signals or stores.signals)
        model = ScriptedModel(lambda request: self._answer(name, request))
        opened = await self._stack.enter_async_context(runs_over(stores, model, tools, lanes=lanes or LaneLimits()))
        if listens:
            await self._stack.enter_async_context(listening(opened))
        return opened

    def _answer(self, name: str, request: ModelRequest) -> Sequence[ScriptItem]:
        question = next(message.content for message in reversed(request.messages) if message.role == "user")
        self.answered.append((question, name))
        self._changed.set()
        if question == "pay" and request.messages[-1].role == "user":
            return [ToolCall(id="c", name="pay", arguments="{}")]
        return [self._gate(question).wait, f"re {question}"]

    def _gate(self, question: str) -> asyncio.Event:
        return self._open.setdefault(question, asyncio.Event())

    def let(self, *questions: str) -> None:
        """Let these be answered."""
        for question in questions:
            self._gate(question).set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until the model was asked so."""
        async with asyncio.timeout(60):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    async def has_asked(self, *questions: str) -> None:
        """Wait until all of these have reached the model."""
        await self.until(lambda: set(questions) <= {question for question, _ in self.answered})


class Calls(NoSignals):
    """Hears nobody, and notes what is called out: Redis wakes whoever listens now and then, called or not."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def signal(self, channel: str) -> None:
        self.made.append(channel)


@tool(effect="write", idempotent=True)
def pay() -> str:
    """Pay."""
    return "paid"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with kept_postgres() as url:
        yield url


@pytest.fixture
async def shop(postgres: str) -> AsyncIterator[Shop]:
    database = await Database.open(postgres)
    await empty(database)
    await database.aclose()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(reachable_redis())
        yield Shop(stack, (postgres, URL))


@asynccontextmanager
async def listening(opened: Bureau) -> AsyncIterator[None]:
    """Takes up runs when it is told of some; nobody looks now and then."""
    task = asyncio.create_task(dispatch(opened).listen())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def dispatch(opened: Bureau) -> Dispatch:
    assert opened.runs.dispatch is not None
    return opened.runs.dispatch


async def put(opened: Bureau, message: str, lane: Lane = "batch", session: str | None = None) -> tuple[str, str]:
    """Ask in the background; gives the run's id and its session's."""
    request = RunRequest(message=message, session_id=session, collection="default", retrieval="off", lane=lane)
    return await opened.runs.start(ALICE, request, queued=True)


async def end_of(opened: Bureau, run_id: str) -> str:
    """How the run ended."""
    async with asyncio.timeout(60):
        return terminals(await opened.end_of(run_id))[0]


async def test_a_run_goes_to_a_process_that_takes_it_and_is_followed_where_it_was_accepted(shop: Shop) -> None:
    front = await shop.process("front", NONE)
    await shop.process("worker")
    run_id, _ = await put(front, "a")
    following = asyncio.create_task(end_of(front, run_id))
    await shop.has_asked("a")
    shop.let("a")
    assert await following == "run.completed"
    assert shop.answered == [("a", "worker")]


async def test_a_chat_is_answered_by_the_process_that_accepted_it(shop: Shop) -> None:
    front = await shop.process("front", NONE)
    await shop.process("worker")
    shop.let("a")
    run_id, _ = await front.start("a")
    assert await end_of(front, run_id) == "run.completed"
    assert shop.answered == [("a", "front")]


async def test_a_full_process_leaves_runs_to_one_that_is_idle(shop: Shop) -> None:
    one = LaneLimits(batch=1)
    full = await shop.process("full", one)
    first, _ = await put(full, "a")
    await shop.has_asked("a")
    left, _ = await put(full, "b")
    await dispatch(full).tend()
    assert (dispatch(full).depth("batch"), len(shop.answered)) == (1, 1)
    idle = await shop.process("idle", one)
    await shop.has_asked("b")
    shop.let("a", "b")
    assert [await end_of(idle, run_id) for run_id in (first, left)] == ["run.completed"] * 2
    assert shop.answered == [("a", "full"), ("b", "idle")]


async def test_where_a_run_ends_the_next_begins_though_nobody_calls(shop: Shop) -> None:
    only = await shop.process("only", LaneLimits(batch=1), signals=Calls())
    runs = [(await put(only, message))[0] for message in "abcd"]
    shop.let(*"abcd")
    await dispatch(only).fill()
    assert [await end_of(only, run_id) for run_id in runs] == ["run.completed"] * 4
    assert [question for question, _ in shop.answered] == ["a", "b", "c", "d"]


async def test_interactive_runs_go_before_batch_runs_that_came_earlier(shop: Shop) -> None:
    only = await shop.process("only", LaneLimits(interactive=1, batch=1))
    runs = [(await put(only, "first"))[0]]
    await shop.has_asked("first")
    runs += [(await put(only, message))[0] for message in ("b1", "b2")]
    runs += [(await put(only, message, "interactive"))[0] for message in ("i1", "i2")]
    await shop.has_asked("i1")
    shop.let("first")
    assert await end_of(only, runs[0]) == "run.completed"
    await dispatch(only).fill()
    assert [question for question, _ in shop.answered] == ["first", "i1"]
    shop.let("i1", "i2", "b1", "b2")
    assert [await end_of(only, run_id) for run_id in runs] == ["run.completed"] * 5
    assert [question for question, _ in shop.answered][2] == "i2"


async def test_where_a_run_ends_the_next_of_its_session_begins_though_nobody_calls(shop: Shop) -> None:
    only = await shop.process("only", signals=Calls())
    first, session = await put(only, "a")
    runs = [first, *[(await put(only, message, session=session))[0] for message in "bc"]]
    shop.let(*"abc")
    await dispatch(only).fill()
    assert [await end_of(only, run_id) for run_id in runs] == ["run.completed"] * 3


async def test_others_are_called_when_a_run_is_put_in_was_decided_or_is_handed_over(shop: Shop) -> None:
    calls = Calls()
    only = await shop.process("only", signals=calls, tools=[pay])
    run_id, _ = await put(only, "pay")
    assert calls.made == [QUEUED]
    await dispatch(only).fill()
    async with asyncio.timeout(60):
        assert (await only.end_of(run_id))[-1].type == "run.waiting"
    await only.idle()
    (approval,) = await only.approvals.of_run(run_id)
    await only.approvals.decide(ALICE, approval.id, Decision(decision="approve"))
    await only.runs.wake(run_id)
    assert calls.made == [QUEUED] * 2
    await shop.until(lambda: len(shop.answered) == 2)
    await only.runs.aclose()
    assert calls.made == [QUEUED] * 3


async def test_the_runs_of_a_session_go_one_after_the_other_in_whatever_process(shop: Shop) -> None:
    front = await shop.process("front", NONE)
    workers = [await shop.process(name) for name in ("one", "other")]
    shop.let(*"abcdef")
    first, session = await put(front, "a")
    runs = [first, *[(await put(front, message, session=session))[0] for message in "bcdef"]]
    assert [await end_of(front, run_id) for run_id in runs] == ["run.completed"] * 6
    for worker in workers:
        await worker.idle()
    assert await front.said(session) == [text for message in "abcdef" for text in (message, f"re {message}")]


async def test_a_run_that_was_decided_goes_on_where_there_is_room_for_it(shop: Shop) -> None:
    front = await shop.process("front", NONE, tools=[pay])
    await shop.process("worker", tools=[pay])
    run_id, _ = await put(front, "pay")
    async with asyncio.timeout(60):
        events = await front.end_of(run_id)
        assert events[-1].type == "run.waiting"
        (approval,) = await front.approvals.of_run(run_id)
        await front.approvals.decide(ALICE, approval.id, Decision(decision="approve"))
        await front.runs.wake(run_id)
        shop.let("pay")
        async for event in front.runs.follow(run_id, events[-1].seq):
            events.append(event)
    assert terminals(events) == ["run.completed"]
    assert [event.type for event in events].count("tool.result") == 1
    assert shop.answered == [("pay", "worker")] * 2


async def test_a_run_that_waits_in_the_queue_is_cancelled_though_nobody_takes_it(shop: Shop) -> None:
    front = await shop.process("front", NONE)
    run_id, _ = await put(front, "a")
    await front.runs.cancel(ALICE, run_id, "enough")
    assert await end_of(front, run_id) == "run.cancelled"
    worker = await shop.process("worker")
    await dispatch(worker).tend()
    assert shop.answered == []


async def test_when_the_queue_is_full_the_next_is_refused_whichever_process_is_asked(shop: Shop) -> None:
    fronts = [await shop.process(name, LaneLimits(take=(), queue=2)) for name in ("one", "other")]
    for front in fronts:
        await put(front, "a")
    for front in fronts:
        with pytest.raises(LaneFull, match=r"2 batch runs are waiting already.*lanes\.queue"):
            await put(front, "b")
    await put(fronts[0], "c", "interactive")
    await dispatch(fronts[1]).tend()
    assert [dispatch(fronts[1]).depth(lane) for lane in ("interactive", "batch")] == [1, 2]
    assert dispatch(fronts[1]).oldest("batch") > 0


async def test_a_run_is_taken_up_though_every_call_was_lost(shop: Shop) -> None:
    front = await shop.process("front", NONE)
    worker = await shop.process("worker", listens=False)
    run_id, _ = await put(front, "a")
    shop.let("a")
    await worker.runs.tend()
    assert await end_of(front, run_id) == "run.completed"


async def test_what_a_process_hands_over_as_it_stops_is_taken_up_at_once(shop: Shop) -> None:
    stopping = await shop.process("stopping")
    run_id, _ = await put(stopping, "a")
    await shop.has_asked("a")
    other = await shop.process("other")
    await stopping.runs.aclose()
    await shop.until(lambda: ("a", "other") in shop.answered)
    shop.let("a")
    assert await end_of(other, run_id) == "run.completed"


async def test_a_run_whose_lease_ran_out_unnoticed_is_let_go_of_before_it_is_taken_up_again(shop: Shop) -> None:
    only = await shop.process("only")
    run_id, _ = await put(only, "a")
    await shop.has_asked("a")
    await only.runs._claims.give_up((await only.store.get(ALICE, run_id)).claim)  # as if it had slept
    await dispatch(only).fill()
    await shop.until(lambda: len(shop.answered) == 2)
    shop.let("a")
    assert await end_of(only, run_id) == "run.completed"
    assert (await only.store.get(ALICE, run_id)).fence == 3


async def test_who_accepts_a_run_does_not_take_its_log_from_who_was_quicker(shop: Shop) -> None:
    front, worker = await shop.process("front", NONE), await shop.process("worker", NONE)
    run_id = new_id()
    await worker.log.open(run_id, 1)
    with pytest.raises(RunTakenOver):
        await front.log.open(run_id, 0)


async def test_many_runs_come_to_their_end_once_each_while_processes_race_for_them(shop: Shop) -> None:
    front = await shop.process("front", NONE)
    for name in ("one", "two", "three"):
        await shop.process(name, LaneLimits(batch=2))
    messages = [f"m{number}" for number in range(40)]
    shop.let(*messages)
    runs = [run_id for run_id, _ in await asyncio.gather(*(put(front, message) for message in messages))]
    assert [await end_of(front, run_id) for run_id in runs] == ["run.completed"] * 40
    assert sorted(question for question, _ in shop.answered) == sorted(messages)
    assert {(await front.store.get(ALICE, run_id)).fence for run_id in runs} == {1}
    assert len({name for _, name in shop.answered}) > 1
