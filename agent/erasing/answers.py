"""Erasing what was forgotten from the cache: an answer that holds it, or was given to a question that does, is gone."""

from sqlalchemy import select

from agent.erasing.forgotten import says
from memory.erasing import Erasure
from records.database import Database
from records.schema import cache_entries
from retrieval.cache.cache import AnswerCache


class AnswerEraser:
    """See ``memory.erasing.Eraser``. Answers are the whole tenant's, so all of them are looked at."""

    def __init__(self, database: Database, cache: AnswerCache) -> None:
        self._database = database
        self._cache = cache

    async def erase(self, erasure: Erasure) -> bool:
        """Remove the answers; they are given afresh when they are asked for again."""
        columns = (cache_entries.c.question, cache_entries.c.query, cache_entries.c.text)
        redaction = erasure.redaction
        for condition in says(erasure, *columns):
            query = select(cache_entries.c.id, *columns).where(cache_entries.c.tenant == erasure.tenant, condition)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).all()
            for row in rows:
                if any(redaction.spans(text) for text in (row.question, row.query, row.text)):
                    await self._cache.purge(erasure.tenant, entry_id=row.id)
        return True
