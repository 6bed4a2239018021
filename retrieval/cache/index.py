"""The index of questions that were answered: it proposes, the record decides. It can be made anew from the record.

A store's write costs a flush, which other searches wait for. So what was just kept is searched in memory, and written
a batch at a time by ``tend``; what other processes keep is found once they have.
"""

import asyncio
import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, or_, select, update

from records.database import Database
from records.schema import cache_entries as entries
from records.schema import cache_gone as gone
from records.tenancy import Crossing, across_tenants
from retrieval.cache.scope import Scope
from retrieval.embedding.port import Embedder
from retrieval.errors import CollectionNotFound
from retrieval.vectors.port import DenseQuery, IndexSpec, Point, VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter

COLLECTION = "answers"
Vector = Any
"""Floats, shape ``(dimension,)``."""

_AT_ONCE = 100
_BATCHES = 10
"""Batches of a tenant that are written in one go: the others' turn comes before the rest."""

_UNWRITTEN = 1000
"""Entries searched in memory until they are written; of more of them the oldest are found once they are."""

_log = structlog.get_logger("cairn.cache")


@dataclass(frozen=True, slots=True)
class _Entry:
    tenant: str
    scope: str
    question: str
    vector: Vector

    def is_in(self, tenant: str, scope: str) -> bool:
        return (self.tenant, self.scope) == (tenant, scope)

    def cosine(self, vector: Vector) -> float:
        return float(self.vector @ vector)

    def point(self, entry_id: str) -> Point:
        payload = {"tenant": self.tenant, "collection": COLLECTION, "document_id": entry_id, "version": ""}
        marked = {**payload, "acl": [self.scope]}
        return Point(id=entry_id, vector=self.vector, text="", payload=marked, keeps_text=False)


class AnswerIndex:
    """An index for each tenant: one point for each question that was answered, found by meaning within one scope.

    Attributes:
        model: Stands for the embedder: with another one the index is made anew.
    """

    def __init__(self, database: Database, store: VectorStore, embedder: Embedder) -> None:
        self._database = database
        self._store = store
        self._embedder = embedder
        self.model = _short(embedder.name)
        self._known: set[str] = set()
        self._missing: set[str] = set()
        self._ensuring: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._orphans: defaultdict[str, set[str]] = defaultdict(set)
        self._unwritten: OrderedDict[str, _Entry] = OrderedDict()

    async def vector(self, question: str) -> Vector:
        """A question as it is searched for and indexed."""
        [vector] = await self._embedder.embed([question])
        return vector

    async def nearest(self, tenant: str, scope: str, vector: Vector, limit: int) -> dict[str, float]:
        """The entries of a scope, by its key, whose questions lie nearest, with their cosines.

        Raises:
            RetrievalError: The store cannot be reached.
        """
        unwritten = {key: each.cosine(vector) for key, each in self._unwritten.items() if each.is_in(tenant, scope)}
        if tenant in self._missing or not await self._is_there(tenant):
            return _first(unwritten, limit)
        name, query = self._name(tenant), DenseQuery(vector=vector, limit=limit)
        try:
            [hits] = await self._store.search(name, [query], _of_scope(tenant, scope), payloads=False)
        except CollectionNotFound:
            # The store was emptied behind our back; the next time makes the index anew.
            self._known.discard(tenant)
            raise
        return _first({hit.id: hit.score for hit in hits} | unwritten, limit)

    def doubt(self, tenant: str, ids: set[str]) -> None:
        """Note that entries which the index proposed are not in the record; ``tend`` looks after them."""
        self._orphans[tenant] |= ids
        for entry_id in ids:
            self._unwritten.pop(entry_id, None)

    def add(self, scope: Scope, entry_id: str, question: str, vector: Vector) -> None:
        """Let an entry be found that was just recorded."""
        self._unwritten[entry_id] = _Entry(scope.tenant, scope.key, question, vector)
        if len(self._unwritten) > _UNWRITTEN:
            self._unwritten.popitem(last=False)

    async def tend(self) -> None:
        """Write what is in the record only, and remove what is in the index only, for every tenant."""
        missing, self._missing = self._missing, set()
        for tenant in sorted(missing | self._orphans.keys() | await self._behind()):
            try:
                if tenant in missing:
                    await self._forget_index(tenant)
                await self._catch_up(tenant)
                await self._clean(tenant)
            except Exception as error:  # noqa: BLE001 - the others do not wait for it, and the next time it may work
                _log.warning("a tenant's answers could not be indexed", detail=str(error))

    async def _behind(self) -> set[str]:
        pending = select(entries.c.tenant).where(self._unindexed()).distinct()
        removed = select(gone.c.tenant).distinct()
        async with self._database.read() as connection:
            found = (await connection.scalars(across_tenants(pending, Crossing.INDEX))).all()
            return {*found, *await connection.scalars(across_tenants(removed, Crossing.INDEX))}

    def _unindexed(self) -> Any:
        # Two ranges instead of one inequality: an index can find those.
        return or_(entries.c.indexed < self.model, entries.c.indexed > self.model)

    async def _catch_up(self, tenant: str) -> None:
        query = select(entries.c.id, entries.c.scope, entries.c.question).where(
            entries.c.tenant == tenant, self._unindexed()
        )
        for _ in range(_BATCHES):
            async with self._database.read() as connection:
                rows = (await connection.execute(query.limit(_AT_ONCE))).all()
            if not rows:
                return
            unknown = [row.question for row in rows if row.id not in self._unwritten]
            vectors = iter(await self._embedder.embed(unknown) if unknown else ())
            await self._write(
                tenant,
                {
                    row.id: self._unwritten.get(row.id) or _Entry(tenant, row.scope, row.question, next(vectors))
                    for row in rows
                },
            )

    async def _write(self, tenant: str, written: Mapping[str, _Entry]) -> None:
        name = await self._ensure(tenant)
        await self._store.upsert(name, [each.point(entry_id) for entry_id, each in written.items()])
        mine = (entries.c.tenant == tenant, entries.c.id.in_(written))
        async with self._database.write() as connection:
            locked = select(entries.c.id).where(*mine).order_by(entries.c.id).with_for_update()
            there = set(await connection.scalars(locked))
            await connection.execute(update(entries).where(*mine).values(indexed=self.model))
        for entry_id in written:
            self._unwritten.pop(entry_id, None)
        if late := written.keys() - there:
            # Deleted while their points were being written.
            await self._store.delete(name, _of_entries(tenant, sorted(late)))

    async def _clean(self, tenant: str) -> None:
        doubted = self._orphans.pop(tenant, set())
        query = select(gone.c.entry_id).where(gone.c.tenant == tenant).limit(10 * _AT_ONCE)
        there = select(entries.c.id).where(entries.c.tenant == tenant, entries.c.id.in_(doubted))
        async with self._database.read() as connection:
            removed = set(await connection.scalars(query))
            doubted -= set(await connection.scalars(there))
        if not removed | doubted:
            return
        if self._name(tenant) in await self._store.indexes():
            await self._store.delete(self._name(tenant), _of_entries(tenant, sorted(removed | doubted)))
        async with self._database.write() as connection:
            await connection.execute(delete(gone).where(gone.c.tenant == tenant, gone.c.entry_id.in_(removed)))

    async def _is_there(self, tenant: str) -> bool:
        """Whether a tenant has an index; if not, ``tend`` makes it as soon as there is something to put into it."""
        if tenant not in self._known:
            where = self._known if self._name(tenant) in await self._store.indexes() else self._missing
            where.add(tenant)
        return tenant in self._known

    async def _ensure(self, tenant: str) -> str:
        """Make the index. Where it was lost, or is of another model, everything is to be written anew."""
        name = self._name(tenant)
        if tenant in self._known:
            return name
        async with self._ensuring[tenant]:
            there = await self._store.indexes()
            if name not in there:
                await self._forget_index(tenant)
                await self._store.create(name, IndexSpec(dimension=self._embedder.dimension, language="english"))
                for other in there:
                    if other.startswith(_prefix(tenant)):
                        await self._store.drop(other)
            self._known.add(tenant)
            self._missing.discard(tenant)
        return name

    async def _forget_index(self, tenant: str) -> None:
        """Note that no entry is in an index that is not there."""
        if self._name(tenant) in await self._store.indexes():
            return
        mine = (entries.c.tenant == tenant, entries.c.indexed == self.model)
        async with self._database.write() as connection:
            await connection.execute(update(entries).where(*mine).values(indexed=""))

    def _name(self, tenant: str) -> str:
        return f"{_prefix(tenant)}{self.model}"


def _first(found: Mapping[str, float], limit: int) -> dict[str, float]:
    return dict(sorted(found.items(), key=lambda each: -each[1])[:limit])


def _prefix(tenant: str) -> str:
    return f"answers-{_short(tenant)}-"


def _short(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _of_scope(tenant: str, scope: str) -> "Filter":
    return _filter(tenant, "acl", [scope])


def _of_entries(tenant: str, ids: Sequence[str]) -> "Filter":
    return _filter(tenant, "document_id", ids)


def _filter(tenant: str, key: str, values: Sequence[str]) -> "Filter":
    from qdrant_client.models import FieldCondition, Filter, MatchAny, MatchValue

    return Filter(
        must=[
            FieldCondition(key="tenant", match=MatchValue(value=tenant)),
            FieldCondition(key=key, match=MatchAny(any=list(values))),
        ]
    )
