"""One index of a store seen through one filter, for a search that is made on this side of the port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.vectors.port import Bm25Query, DenseQuery, Hit, VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter


@dataclass(frozen=True, slots=True)
class FilteredPoints:
    """The ``retrieval.searching.Points`` of any store."""

    store: VectorStore
    index: str
    where: Filter

    async def search(self, queries: Sequence[DenseQuery | Bm25Query], *, payloads: bool) -> list[list[Hit]]:
        return await self.store.search(self.index, queries, self.where, payloads=payloads)

    async def payloads(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        return await self.store.payloads(self.index, ids)

    async def near(self, ids: Sequence[str], weights: Mapping[str, float]) -> Mapping[str, float]:
        return await self.store.near(self.index, ids, weights)
