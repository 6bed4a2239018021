"""The port behind which vectors are kept and searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qdrant_client.models import Filter

    from retrieval.searching import Found, Question

DENSE = "dense"
BM25 = "bm25"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """How an index is laid out: a dense cosine vector and a BM25 sparse vector a point."""

    dimension: int
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A vector with the text it stands for.

    Attributes:
        id: A UUID; a point with the same id is replaced.
        vector: ``dimension`` finite floats.
        text: What BM25 indexes (the store tokenizes it in the index's language).
        payload: JSON; holds ``tenant``, ``collection``, ``document_id``, ``version``, ``acl`` and the chunk's fields.
        keeps_text: Whether the store keeps the text as well, so that the point can be written anew from what it reads;
            without it nothing that was said stands in the store's files.
    """

    id: str
    vector: Sequence[float]
    text: str
    payload: Mapping[str, Any]
    keeps_text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A point that a leg found, with that leg's raw score (cosine for dense, BM25 for bm25).

    Attributes:
        payload: Empty where the search asked for none.
    """

    id: str
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseQuery:
    """Nearest vectors by cosine."""

    vector: Sequence[float]
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25Query:
    """Best texts by BM25."""

    text: str
    limit: int


class VectorStore(Protocol):
    """Indexes of points, each searched densely and by BM25. Every method may raise ``RetrievalError``.

    A write is durable when its call returns. Filters are ``qdrant_client.models``; the store adds none of its own,
    the caller always filters by tenant: a service's store is a ``retrieval.vectors.tenanted.TenantedStore``.
    """

    async def create(self, index: str, spec: IndexSpec) -> None:
        """Make the index unless it is there already."""
        ...

    async def indexes(self) -> list[str]:
        """Names of the indexes there are, sorted."""
        ...

    async def spec(self, index: str) -> IndexSpec:
        """How the index was made.

        Raises:
            CollectionNotFound: There is no such index.
        """
        ...

    async def drop(self, index: str) -> None:
        """Remove the index and all its points; no error when it is not there."""
        ...

    async def upsert(self, index: str, points: Sequence[Point]) -> None:
        """Write all the points or, when one of them is invalid, none.

        Raises:
            InvalidVector: A vector has the wrong dimension or is not finite.
        """
        ...

    async def delete(self, index: str, where: Filter) -> None:
        """Delete the points that match."""
        ...

    async def search(
        self, index: str, queries: Sequence[DenseQuery | Bm25Query], where: Filter, *, payloads: bool = True
    ) -> list[list[Hit]]:
        """The best points for each query, in one round trip; hits best first, a list a query.

        Without payloads it takes a third of the time: whoever fuses and then keeps few reads theirs with `payloads`.
        """
        ...

    async def find(self, index: str, question: Question, where: Filter) -> Found:
        """The best chunks for a question, as `retrieval.searching.Search` finds them when it takes all for live.

        It searches several times and reads between, so it runs where that costs least.

        Raises:
            PointsGone: Points were removed meanwhile.
        """
        ...

    async def payloads(self, index: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The payloads of these points; a point that is not there is left out."""
        ...

    async def near(self, index: str, ids: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
        """How near (cosine) each of these points lies to the weighted middle of some points.

        Args:
            index: The index of all of them.
            ids: The points that are judged; one that is not there is left out.
            weights: The points whose middle it is, with what each counts; nothing is near when one of them is gone.
        """
        ...

    async def scroll(
        self, index: str, where: Filter | None, limit: int, after: str | None = None
    ) -> tuple[list[Point], str | None]:
        """A page of points with their vectors, and the id to go on after (None at the end)."""
        ...

    async def count(self, index: str, where: Filter | None = None) -> int:
        """How many points match, exactly."""
        ...

    async def ping(self) -> None:
        """Raise unless the store answers."""
        ...

    async def aclose(self) -> None:
        """Flush and let go of the store. Safe to call twice."""
        ...
