"""The index of what is remembered: it proposes, the record decides. It can be made anew from the record at any time."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select, update

from memory.ledger import Clock, operation
from memory.records import MemoryVersion
from memory.rows import heads, read_version
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import memory_records as records
from records.tenancy import Crossing, across_tenants
from retrieval.embedding.port import Embedder
from retrieval.errors import StoreUnavailable
from retrieval.questions import lexical
from retrieval.vectors.port import Bm25Query, DenseQuery, Hit, IndexSpec, Point, VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter

COLLECTION = "memory"
_log = structlog.get_logger("cairn.memory")
_AT_ONCE = 100
_SECONDS = 5.0


class MemoryIndex:
    """An index for each tenant, of the records that are active: one point a record, found by meaning and by words.

    Writing memory does not wait for it. What has changed since is written before it is searched, and now and then.

    Args:
        language: What BM25 takes the records to be written in.
    """

    def __init__(
        self, database: Database, store: VectorStore, embedder: Embedder, language: str = "english", clock: Clock = now
    ) -> None:
        self._database = database
        self._store = store
        self._embedder = embedder
        self._language = language
        self._clock = clock
        self._known: set[str] = set()
        self._catching_up: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def search(self, principal: Principal, question: str, limit: int, legs: Sequence[str]) -> list[list[Hit]]:
        """The hits of each leg (``dense``, ``bm25``) among what may be recalled for the principal, best first."""
        queries: list[DenseQuery | Bm25Query] = []
        for leg in legs:
            if leg == "dense":
                [vector] = await self._embedder.embed([question])
                queries.append(DenseQuery(vector=vector, limit=limit))
            else:
                queries.append(Bm25Query(text=lexical(question), limit=limit))
        where = _recalled_for(principal)
        return await self._store.search(self._name(principal.tenant), queries, where)

    async def catch_up(self, tenant: str, *, batches: int | None = None) -> None:
        """Write and remove what has changed in a tenant's memory since the last time.

        Args:
            batches: Of 100 records each: no more than so many, what was forgotten first, then the newest records.

        Raises:
            RetrievalError: The store or the model cannot be reached; the next time does it.
        """
        async with self._catching_up[tenant]:
            await self._ensure(tenant)
            while batches != 0 and (pending := await self._pending(tenant)):
                await self._write(tenant, pending)
                batches = None if batches is None else batches - 1

    async def tend(self) -> None:
        """Catch up for every tenant of which something has changed."""
        behind = select(records.c.tenant).where(records.c.indexed != records.c.head).distinct()
        async with self._database.read() as connection:
            tenants = (await connection.execute(across_tenants(behind, Crossing.INDEX))).scalars().all()
        for tenant in tenants:
            try:
                await self.catch_up(tenant)
            except Exception as error:  # noqa: BLE001 - the others do not wait for it, and the next time it may work
                _log.error("a tenant's memory could not be indexed", exc_info=error)

    async def _ensure(self, tenant: str) -> None:
        """Make the index. Where it was lost, or is of another model, everything is to be written anew."""
        name = self._name(tenant)
        if name in self._known:
            return
        there = await self._store.indexes()
        if name not in there:
            anew = update(records).where(records.c.tenant == tenant).values(indexed=0)
            async with self._database.write() as connection:
                await connection.execute(anew)
            await self._store.create(name, IndexSpec(dimension=self._embedder.dimension, language=self._language))
            for other in there:
                if other.startswith(_prefix(tenant)):
                    await self._store.drop(other)
        self._known.add(name)

    async def _pending(self, tenant: str) -> dict[str, int]:
        behind = (records.c.tenant == tenant, records.c.indexed != records.c.head)
        query = select(records.c.id, records.c.head).where(*behind)
        query = query.order_by(records.c.forgotten_at.is_(None), records.c.id.desc()).limit(_AT_ONCE)
        async with self._database.read() as connection:
            return {row.id: row.head for row in await connection.execute(query)}

    async def _write(self, tenant: str, pending: Mapping[str, int]) -> None:
        """Bring the index to where these records are, of those that nobody changes meanwhile."""
        async with self._database.read() as connection:
            rows = await connection.execute(heads(tenant).where(records.c.id.in_(pending)))
            standing = {version.id: version for version in map(read_version, rows)}
        active = [each for each in standing.values() if each.status == "active"]
        # Embedding takes its time; nobody waits for it.
        texts = [each.content.text for each in active]
        vectors: Sequence[Any] = list(await self._embedder.embed(texts)) if texts else []
        # Whoever holds the tenant's memory is the only one who writes its points: an older version never comes last.
        async with operation(self._database, tenant, self._clock) as work:
            query = select(records.c.id, records.c.head).where(records.c.tenant == tenant, records.c.id.in_(pending))
            still = {row.id for row in await work.execute(query) if row.head == pending[row.id]}
            points = [p for p in self._points(tenant, active, vectors) if p.payload["document_id"] in still]
            await self._replace(tenant, points, still - {point.payload["document_id"] for point in points})
            # None of their heads can have moved since: the operation has the tenant's memory to itself.
            seen = update(records).where(records.c.tenant == tenant, records.c.id.in_(still))
            await work.execute(seen.values(indexed=records.c.head))

    async def _replace(self, tenant: str, points: Sequence[Point], gone: AbstractSet[str]) -> None:
        try:
            # Whoever else wants to write is waiting.
            async with asyncio.timeout(_SECONDS):
                if gone:
                    await self._store.delete(self._name(tenant), _of_records(tenant, sorted(gone)))
                if points:
                    await self._store.upsert(self._name(tenant), points)
        except TimeoutError as error:
            raise StoreUnavailable("the vector store did not take a tenant's memory in time") from error

    def _points(self, tenant: str, active: Sequence[MemoryVersion], vectors: Sequence[Any]) -> Sequence[Point]:
        return [
            Point(
                id=version.id,
                vector=vector,
                text=lexical(version.content.text),
                payload={
                    "tenant": tenant,
                    "collection": COLLECTION,
                    "document_id": version.id,
                    "version": str(version.version),
                    "acl": _marks(version),
                },
                keeps_text=False,
            )
            for version, vector in zip(active, vectors, strict=True)
        ]

    def _name(self, tenant: str) -> str:
        return f"{_prefix(tenant)}{_short(self._embedder.name)}"


def _prefix(tenant: str) -> str:
    return f"memory-{_short(tenant)}-"


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def _marks(version: MemoryVersion) -> list[str]:
    own = [f"user:{version.subject.id}"] if version.subject.type == "user" else []
    return [*own, *(f"group:{group}" for group in version.content.acl)]


def _recalled_for(principal: Principal) -> "Filter":
    """What may be recalled for a principal. An administrator may read more, but is not answered by it."""
    from qdrant_client.models import FieldCondition, Filter, MatchAny, MatchValue

    marks = [f"user:{principal.id}", *(f"group:{group}" for group in principal.readable)]
    return Filter(
        must=[
            FieldCondition(key="tenant", match=MatchValue(value=principal.tenant)),
            FieldCondition(key="acl", match=MatchAny(any=marks)),
        ]
    )


def _of_records(tenant: str, ids: list[str]) -> "Filter":
    from qdrant_client.models import FieldCondition, Filter, MatchAny, MatchValue

    return Filter(
        must=[
            FieldCondition(key="tenant", match=MatchValue(value=tenant)),
            FieldCondition(key="document_id", match=MatchAny(any=ids)),
        ]
    )
