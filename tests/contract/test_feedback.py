"""What is said of answers, on every database: the last word counts, and a wrong answer is told of until it is heard."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.events import CacheHit
from agent.knowledge.feedback import FeedbackStore, complaints_to
from agent.log.log import FileEventLog
from records.database import Database
from records.ids import new_id
from records.principal import Principal

ALICE, BOB = Principal(id="alice"), Principal(id="bob")
ELSEWHERE = Principal(tenant="elsewhere", id="alice")
HIT = CacheHit(
    entry_id="e1", question="Why?", decided_by="near", score=0.97, threshold=0.0, age_seconds=60.0, decision=()
)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[FileEventLog]:
    opened = FileEventLog(tmp_path / "events")
    yield opened
    await opened.aclose()


class Ear:
    """Hears of wrong answers, but for the first few times."""

    def __init__(self, deaf: int = 0) -> None:
        self.heard: list[tuple[str, str, str | None, float]] = []
        self._deaf = deaf

    async def complain(self, tenant: str, entry_id: str, *, question: str | None = None, score: float = 1.0) -> None:
        if self._deaf:
            self._deaf -= 1
            raise OSError("nobody is there")
        self.heard.append((tenant, entry_id, question, score))


async def cached(log: FileEventLog) -> str:
    run = new_id()
    await log.open(run, 1)
    await log.append(run, [HIT])
    return run


async def test_the_last_word_of_each_counts_and_is_nobody_elses(database: Database, log: FileEventLog) -> None:
    store, run = FeedbackStore(database, log), new_id()
    await store.give(ALICE, run, "right")
    await store.give(BOB, run, "right", "Thank you.")
    await store.give(ALICE, run, "wrong", "It is 14 days.")
    said = [await store.of(principal, run) for principal in (ALICE, BOB, ELSEWHERE)]
    assert [each and (each.verdict, each.comment) for each in said] == [
        ("wrong", "It is 14 days."),
        ("right", "Thank you."),
        None,
    ]


async def test_said_at_the_same_time_one_of_them_stands(database: Database, log: FileEventLog) -> None:
    store, run = FeedbackStore(database, log), new_id()
    await asyncio.gather(*(store.give(ALICE, run, "right", str(number)) for number in range(8)))
    said = await store.of(ALICE, run)
    assert said is not None
    assert said.comment in "01234567"


async def test_a_wrong_answer_from_the_cache_is_told_of_once(database: Database, log: FileEventLog) -> None:
    ear, run = Ear(), await cached(log)
    store = FeedbackStore(database, log, complaints_to(ear))
    for verdict in ("right", "wrong", "wrong", "right", "wrong"):
        await store.give(ALICE, run, verdict, question="Why not?")
    assert ear.heard == [("default", "e1", "Why not?", 0.97)]


async def test_what_nobody_heard_is_kept_and_told_when_it_is_said_again(database: Database, log: FileEventLog) -> None:
    """Also after a crash between the two, which looks the same in the table."""
    ear, run = Ear(deaf=1), await cached(log)
    store = FeedbackStore(database, log, complaints_to(ear))
    assert (await store.give(ALICE, run, "wrong")).verdict == "wrong"
    assert ear.heard == []
    assert await store.of(ALICE, run) is not None
    await store.give(ALICE, run, "wrong")
    assert len(ear.heard) == 1


async def test_of_an_answer_that_was_not_kept_before_the_cache_hears_nothing(
    database: Database, log: FileEventLog
) -> None:
    ear = Ear()
    await FeedbackStore(database, log, complaints_to(ear)).give(ALICE, new_id(), "wrong", question="Why?")
    assert ear.heard == []
