"""A whole search in the process that owns the embedded store: one message there, one back.

It costs nothing to go back to the points here, and nothing is written meanwhile.
"""

from __future__ import annotations

from array import array
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.searching import Found, Question, Search
from retrieval.vectors.edge_shards import Shards
from retrieval.vectors.port import BM25, DENSE, Bm25Query, DenseQuery, Hit

Wired = tuple[list[tuple[Mapping[str, Any], float, Mapping[str, float]]], list[tuple[str, str]]]
"""What was found, as it goes through the socket."""


def find(shards: Shards, index: str, question: Mapping[str, Any], where: Mapping[str, Any]) -> Wired:
    """Search for a question whose vectors are bytes."""
    vectors = [array("f", vector) for vector in question["vectors"]]
    search = Search(Question(**{**question, "vectors": vectors}), _LocalPoints(shards, index, where))
    found = _finished(search.find())
    return [(chunk.payload, chunk.score, chunk.scores) for chunk in found.chunks], list(found.versions)


@dataclass(frozen=True, slots=True)
class _LocalPoints:
    """The points at hand: its methods never wait."""

    shards: Shards
    index: str
    where: Mapping[str, Any]

    async def search(self, queries: Sequence[DenseQuery | Bm25Query], *, payloads: bool) -> list[list[Hit]]:
        del payloads  # they are read where they are needed
        found = self.shards.search(self.index, [_leg(query) for query in queries], self.where)
        return [[Hit(id=key, score=score, payload={}) for key, score in hits] for hits in found]

    async def payloads(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        return self.shards.payloads(self.index, ids)

    async def near(self, ids: Sequence[str], weights: Mapping[str, float]) -> Mapping[str, float]:
        return dict(self.shards.near(self.index, ids, weights))


def _leg(query: DenseQuery | Bm25Query) -> tuple[str, Any, int]:
    return (BM25, query.text, query.limit) if isinstance(query, Bm25Query) else (DENSE, query.vector, query.limit)


def _finished(coroutine: Coroutine[Any, Any, Found]) -> Found:
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        found: Found = end.value
        return found
    raise RuntimeError("a search of local points waited")
