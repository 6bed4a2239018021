"""The record of answers that may be given again. The index proposes; what is here, and is in scope, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Select, and_, bindparam, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from records.database import Database
from records.ids import new_id
from records.schema import cache_entries as entries
from records.schema import cache_sources, collections, documents
from retrieval.cache.agreement import cited, plain
from retrieval.cache.answers import CachedAnswer, FreshAnswer
from retrieval.cache.candidates import Kept
from retrieval.cache.outcomes import worth_of
from retrieval.cache.removal import delete_entries, delete_where
from retrieval.cache.scope import Scope
from retrieval.documents import Source

_ANSWERS = UUID("8d5e0a53-6a4e-4a4c-9c1f-0c6c1c0f5a11")

# What every question asks, put together once: that takes longer than SQLite needs to answer.
_RECENT = and_(entries.c.tenant == bindparam("tenant"), entries.c.created_at >= bindparam("since"))
_IN_SCOPE = entries.c.scope == bindparam("scope")
# The same to the letter; but SQLite, which can't tell how many entries a scope has, takes no index for it.
_IN_SCOPE_BY_ID = entries.c.scope.concat("") == bindparam("scope")
_ANSWER = (
    entries.c.id,
    entries.c.question,
    entries.c.text,
    entries.c.query,
    entries.c.sources,
    entries.c.finish_reason,
    entries.c.created_at,
)
_PLACE = and_(collections.c.tenant == entries.c.tenant, collections.c.name == entries.c.collection)
# With the present revision of their collection; an answer whose collection is gone is none.
_WHOLE = (
    select(*_ANSWER, entries.c.revision, collections.c.revision.label("now")).join(collections, _PLACE).where(_RECENT)
)
_EXACT = _WHOLE.where(_IN_SCOPE, entries.c.asked == bindparam("asked"))
_STANDING = _WHOLE.where(_IN_SCOPE_BY_ID, entries.c.id == bindparam("id"))
_IS_NEAREST = entries.c.id == bindparam("nearest")
# What is long is read of the nearest alone, which is nearly always the one that is given, if one is.
_KEPT = (
    select(
        entries.c.id,
        entries.c.question,
        entries.c.answer,
        entries.c.times_right,
        entries.c.times_wrong,
        entries.c.least,
        entries.c.finish_reason,
        entries.c.created_at,
        entries.c.revision,
        collections.c.revision.label("now"),
        *(case((_IS_NEAREST, long)).label(long.name) for long in (entries.c.text, entries.c.query, entries.c.sources)),
    )
    .join(collections, _PLACE)
    .where(_RECENT, _IN_SCOPE_BY_ID, entries.c.id.in_(bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class Standing:
    """An answer that was kept, the revision at which it was last known to be right, and the collection's now."""

    answer: CachedAnswer
    revision: int
    now: int


@dataclass(frozen=True, slots=True)
class Proposed:
    """What was kept near a question, the nearest first; and all of that one, if it is there."""

    kept: Sequence[Kept]
    nearest: Standing | None


class Entries:
    """The table of answers. Whatever is read is of one scope, and not older than its reader says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exact(self, scope: Scope, asked: str, since: datetime) -> Standing | None:
        """The answer to a question that was asked in the same words."""
        return await self._one(_EXACT, _within(scope.tenant, scope.key, since) | {"asked": asked_key(asked)})

    async def standing(self, scope: Scope, entry_id: str, since: datetime) -> Standing | None:
        """The answer with this id."""
        return await self._one(_STANDING, _within(scope.tenant, scope.key, since) | {"id": entry_id})

    async def kept(self, tenant: str, scope: str, near: Mapping[str, float], since: datetime) -> Proposed:
        """What is known of the entries that the index has proposed, by their cosines."""
        nearest = max(near, key=lambda entry_id: near[entry_id])
        asked = _within(tenant, scope, since) | {"ids": list(near), "nearest": nearest}
        async with self._database.read() as connection:
            rows = (await connection.execute(_KEPT, asked)).all()
        kept = [
            Kept(
                id=row.id,
                question=row.question,
                answer=row.answer,
                similarity=near[row.id],
                right=row.times_right,
                wrong=row.times_wrong,
                least=row.least,
            )
            for row in rows
        ]
        first = next((Standing(_answer(row), row.revision, row.now) for row in rows if row.id == nearest), None)
        return Proposed(sorted(kept, key=lambda each: -each.similarity), first)

    async def answers(self, scope: Scope, ids: Sequence[str]) -> dict[str, CachedAnswer]:
        """Those of these answers that are still there, however old."""
        mine = (entries.c.tenant == scope.tenant, entries.c.scope == scope.key, entries.c.id.in_(ids))
        query = select(*_ANSWER).where(*mine)
        async with self._database.read() as connection:
            return {row.id: _answer(row) for row in await connection.execute(query)}

    async def whereabouts(self, tenant: str, entry_id: str) -> tuple[str, str] | None:
        """The key of an entry's scope, and its question."""
        query = select(entries.c.scope, entries.c.question).where(entries.c.tenant == tenant, entries.c.id == entry_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (row.scope, row.question)

    async def add(
        self,
        scope: Scope,
        question: str,
        asked: str,
        fresh: FreshAnswer,
        like: str | None,
        at: datetime,
        ttl: timedelta,
    ) -> str | None:
        """Keep an answer; its id. None if the question has one by now, or a document has changed since.

        Args:
            asked: The question as an exact repeat has it.
            like: The answer that it was found to be the same as, by its name in ``Kept.answer``.
            at: The present; what is older than ``ttl`` makes place for it.
        """
        entry_id = new_id()
        async with self._database.write() as connection:
            if not await _sources_stand(connection, scope, fresh.sources):
                return None
            same = (entries.c.scope == scope.key, entries.c.asked == asked_key(asked))
            await delete_where(connection, scope.tenant, *same, entries.c.created_at < at - ttl)
            row = {
                "tenant": scope.tenant,
                "id": entry_id,
                "collection": scope.collection,
                "scope": scope.key,
                "asked": asked_key(asked),
                "question": question,
                "answer": like or answer_name(fresh),
                "text": fresh.text,
                "query": fresh.query,
                "sources": [asdict(source) for source in fresh.sources],
                "finish_reason": fresh.finish_reason,
                "revision": fresh.revision,
                "worth": worth_of(1, at),
                "created_at": at,
            }
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            kept = dialect.insert(entries).values(row).on_conflict_do_nothing().returning(entries.c.id)
            if await connection.scalar(kept) is None:
                return None
            versions = {source.document_id: source.version for source in fresh.sources}
            owed = [
                {"tenant": scope.tenant, "document_id": key, "entry_id": entry_id, "version": version}
                for key, version in versions.items()
            ]
            if owed:
                await connection.execute(insert(cache_sources), owed)
        return entry_id

    async def remove(self, tenant: str, entry_id: str) -> bool:
        """Delete an entry; False if it was gone."""
        async with self._database.write() as connection:
            return await delete_entries(connection, tenant, [entry_id]) > 0

    async def confirm(self, tenant: str, entry_id: str, revision: int) -> None:
        """Note that at this revision of its collection the answer is what the documents say."""
        mine = and_(entries.c.tenant == tenant, entries.c.id == entry_id)
        async with self._database.write() as connection:
            await connection.execute(update(entries).where(mine).values(revision=revision))

    async def draws_on_what_is_live(self, tenant: str, sources: Sequence[Source]) -> bool:
        """Whether the documents of all these sources are live in the versions that they are of."""
        async with self._database.read() as connection:
            return await _are_live(connection, tenant, sources)

    async def any_newer(self, tenant: str, document_ids: Sequence[str], revision: int) -> bool:
        """Whether any of these documents became live after this revision of its collection."""
        query = select(func.count()).where(
            documents.c.tenant == tenant, documents.c.id.in_(document_ids), documents.c.revision > revision
        )
        async with self._database.read() as connection:
            return bool(await connection.scalar(query))

    async def _one(self, query: Select[Any], values: Mapping[str, Any]) -> Standing | None:
        async with self._database.read() as connection:
            row = (await connection.execute(query, values)).one_or_none()
        return None if row is None else Standing(_answer(row), row.revision, row.now)


def asked_key(asked: str) -> str:
    """The key under which a question is found again: SHA-256 (hex)."""
    return sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


def answer_name(fresh: FreshAnswer) -> str:
    """The name of an answer: the same for those that say the same, letter for letter, of the same documents."""
    claimed = sorted({(source.document_id, source.version) for source in cited(fresh)})
    return str(uuid5(_ANSWERS, orjson.dumps([plain(fresh.text), claimed]).hex()))


def _within(tenant: str, scope: str, since: datetime) -> dict[str, Any]:
    return {"tenant": tenant, "scope": scope, "since": since}


def _answer(row: Any) -> CachedAnswer:
    return CachedAnswer(
        id=row.id,
        question=row.question,
        text=row.text,
        query=row.query,
        sources=tuple(Source(**{**kept, "heading_path": tuple(kept["heading_path"])}) for kept in row.sources),
        finish_reason=row.finish_reason,
        created_at=row.created_at,
    )


async def _sources_stand(connection: AsyncConnection, scope: Scope, sources: Sequence[Source]) -> bool:
    """Whether what an answer draws on is live, and stays so until the end of the transaction."""
    place = and_(collections.c.tenant == scope.tenant, collections.c.name == scope.collection)
    # Whoever changes a document changes this row before it looks for the answers that go with it.
    held = select(collections.c.revision).where(place).with_for_update(read=True)
    if await connection.scalar(held) is None or any(source.collection != scope.collection for source in sources):
        return False
    return await _are_live(connection, scope.tenant, sources)


async def _are_live(connection: AsyncConnection, tenant: str, sources: Sequence[Source]) -> bool:
    wanted = {(source.document_id, source.version) for source in sources}
    if not wanted:
        return True
    query = select(documents.c.id, documents.c.version).where(
        documents.c.tenant == tenant, documents.c.id.in_({key for key, _ in wanted})
    )
    return {(row.id, row.version) for row in await connection.execute(query)} == wanted
