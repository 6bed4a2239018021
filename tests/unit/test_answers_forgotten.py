"""What is forgotten is in no answer that is kept either, nor is the question that had it."""

from pathlib import Path

from sqlalchemy import select

from agent.erasing.answers import AnswerEraser
from memory.erasing import Erasure
from records.database import Database
from records.ids import new_id, now
from records.schema import cache_entries
from retrieval.vectors.edge import EdgeStore
from tests.support.answers import CacheHouse


async def test_answers_and_questions_that_hold_it_are_removed_and_no_others(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/cairn.db")
    store = await EdgeStore.open(tmp_path / "vectors")
    try:
        house = CacheHouse(database, store)
        await house.put("faq")
        for question, answer in (
            ("How do I return shoes?", "Within 30 days. [1]"),
            ("I like marzipan, which shoes suit?", "Any. [1]"),
            ("Which shoes are there?", "Many; you LIKE\nmarzipan, too. [1]"),
            ("Do I like marzipans?", "Who knows. [1]"),
        ):
            await house.keep(question, answer, "faq")
        erasure = Erasure(
            id=new_id(),
            tenant=house.tenant,
            principal="alice",
            records=("r",),
            texts=("I like marzipan.", "you like marzipan."),
            run_ids=(),
            created_at=now(),
        )
        eraser = AnswerEraser(database, house.cache)
        assert len(await _questions(house)) == 4
        assert await eraser.erase(erasure)
        assert await _questions(house) == ["Do I like marzipans?", "How do I return shoes?"]
        assert await eraser.erase(erasure)
    finally:
        await store.aclose()
        await database.aclose()


async def _questions(house: CacheHouse) -> list[str]:
    mine = cache_entries.c.tenant == house.tenant
    async with house.database.read() as connection:
        return sorted((await connection.scalars(select(cache_entries.c.question).where(mine))).all())
