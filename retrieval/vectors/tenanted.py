"""A vector store that answers nobody who does not say for which tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.errors import RetrievalError
from retrieval.vectors.port import Bm25Query, DenseQuery, Hit, IndexSpec, Point, VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter

    from retrieval.searching import Found, Question


class TenantMissing(RetrievalError):
    """A filter does not keep to one tenant: a mistake in the program. The store was not asked."""


class TenantedStore:
    """A ``VectorStore`` whose points are found, counted, read and deleted under a filter by tenant alone.

    An index belongs to one tenant anyway; this holds where its name is mistaken. What goes by the ids of points
    (``payloads``, ``near``) goes by what a search has found. The store within belongs to this one.
    """

    def __init__(self, inner: VectorStore) -> None:
        self._inner = inner

    async def create(self, index: str, spec: IndexSpec) -> None:
        await self._inner.create(index, spec)

    async def indexes(self) -> list[str]:
        return await self._inner.indexes()

    async def spec(self, index: str) -> IndexSpec:
        return await self._inner.spec(index)

    async def drop(self, index: str) -> None:
        await self._inner.drop(index)

    async def upsert(self, index: str, points: Sequence[Point]) -> None:
        for point in points:
            if not point.payload.get("tenant"):
                raise TenantMissing(f"point {point.id} belongs to no tenant")
        await self._inner.upsert(index, points)

    async def delete(self, index: str, where: Filter) -> None:
        require_tenant(where)
        await self._inner.delete(index, where)

    async def search(
        self, index: str, queries: Sequence[DenseQuery | Bm25Query], where: Filter, *, payloads: bool = True
    ) -> list[list[Hit]]:
        require_tenant(where)
        return await self._inner.search(index, queries, where, payloads=payloads)

    async def find(self, index: str, question: Question, where: Filter) -> Found:
        require_tenant(where)
        return await self._inner.find(index, question, where)

    async def payloads(self, index: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return await self._inner.payloads(index, ids)

    async def near(self, index: str, ids: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
        return await self._inner.near(index, ids, weights)

    async def scroll(
        self, index: str, where: Filter | None, limit: int, after: str | None = None
    ) -> tuple[list[Point], str | None]:
        require_tenant(where)
        return await self._inner.scroll(index, where, limit, after)

    async def count(self, index: str, where: Filter | None = None) -> int:
        require_tenant(where)
        return await self._inner.count(index, where)

    async def ping(self) -> None:
        await self._inner.ping()

    async def aclose(self) -> None:
        await self._inner.aclose()


def require_tenant(where: Filter | None) -> None:
    """Check that only points of one tenant match.

    Raises:
        TenantMissing: It is not a condition that the tenant equals a value.
    """
    from qdrant_client.models import FieldCondition, MatchValue

    must = where.must if where is not None else None
    for each in must if isinstance(must, list) else [must]:
        if isinstance(each, FieldCondition) and each.key == "tenant" and isinstance(each.match, MatchValue):
            return
    raise TenantMissing("the filter names no tenant")


def of_tenant(tenant: str) -> Filter:
    """The filter for all of a tenant's points."""
    from qdrant_client.models import FieldCondition, Filter, MatchValue

    return Filter(must=[FieldCondition(key="tenant", match=MatchValue(value=tenant))])
