"""Hybrid search: a question becomes sources that its principal may read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from records.principal import Principal
from retrieval.active import ActiveVersions, Collection
from retrieval.documents import Source
from retrieval.embedding.port import Embedder
from retrieval.errors import CollectionNotFound, EmbedderMismatch
from retrieval.live import Live, LiveDocuments
from retrieval.passages import Ranked, readable, runs_of, text_of, to_source
from retrieval.questions import segments
from retrieval.rerank import Reranker
from retrieval.scope import Conditions, scope
from retrieval.searching import Found, Mode, PointsGone, Question, Search
from retrieval.vectors.filtered import FilteredPoints
from retrieval.vectors.port import BM25, VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter

DEPTH = 30
"""Hits that are asked of each leg: enough for fusion, and for what the record then takes away. With 50 the first ten
passages were about as good, and every hit costs time; who wants more passages than this searches deeper."""

RERANKED = 4
"""Passages read by the reranker for each that is wanted."""


class Retriever:
    """Finds passages by meaning and by words, fuses what both found, and follows it when the question calls for it.

    Every result was live in the record, and readable by the principal, when the search was made.
    """

    def __init__(
        self, *, embedder: Embedder, store: VectorStore, record: ActiveVersions, reranker: Reranker | None = None
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._record = record
        self._documents = LiveDocuments(record)
        self._reranker = reranker
        self._places: dict[tuple[str, str], Collection] = {}

    async def search(
        self,
        query: str,
        *,
        principal: Principal,
        collection: str,
        limit: int = 8,
        filters: Conditions | None = None,
        mode: Mode = "hybrid",
    ) -> list[Source]:
        """At most ``limit`` passages of a collection that match the query, best first.

        Args:
            query: A question or a whole story; a blank one finds nothing.
            principal: Who asks: nothing of another tenant, and nothing that it may not read, is found.
            collection: The collection's name.
            limit: How many passages; chunks that touch are one passage.
            filters: Metadata that must be equal (a list: equal to one of them), or a filter over point payloads.
            mode: ``dense`` and ``bm25`` search by one leg alone.

        Raises:
            CollectionNotFound: The tenant has no such collection.
            EmbedderMismatch: It was embedded with another model.
            StoreUnavailable: The vector store cannot be reached.
        """
        if not query.strip() or limit < 1:
            return []
        key = principal.tenant, collection
        place = self._places.get(key) or await self._place(*key)
        parts = segments(query)
        question = Question(
            text=query,
            parts=parts,
            vectors=list(await self._embedder.embed(parts)) if mode != BM25 else [],
            mode=mode,
            limit=RERANKED * limit if self._reranker else limit,
            depth=max(DEPTH, limit),
        )
        chunks = await self._chunks(question, principal, place, scope(principal, filters))
        if self._reranker:
            chunks = await self._rerank(self._reranker, query, chunks[: RERANKED * limit])
        return [await self._source(principal.tenant, run) for run in runs_of(chunks, limit)]

    async def warm_up(self) -> None:
        """Do what only the first search would be slow for."""
        await asyncio.to_thread(scope, Principal(), None)
        await self._embedder.embed(["warm"])

    async def _chunks(self, question: Question, principal: Principal, place: Collection, where: Filter) -> list[Ranked]:
        """The best chunks that are live and may be read, from the index that the collection is remembered to have.

        The record is asked meanwhile whether it still has it; each further turn is for a reindexing that switched.
        """
        while True:
            found, now = await asyncio.gather(
                self._store.find(place.index, question, where),
                self._place(place.tenant, place.name),
                return_exceptions=True,
            )
            if isinstance(found, CollectionNotFound) and now == place:
                # Perhaps the index was switched and dropped after the record had answered.
                now = await self._place(place.tenant, place.name)
            if isinstance(now, BaseException):
                raise now
            if now != place:
                place = now
                continue
            try:
                return await self._confirmed(found, question, principal, now, where)
            except CollectionNotFound:
                # The careful search, which is made later, may meet a switch as well.
                place = await self._place(place.tenant, place.name)
                if place == now:
                    raise

    async def _confirmed(
        self, found: Found | BaseException, question: Question, principal: Principal, place: Collection, where: Filter
    ) -> list[Ranked]:
        """What was found, if all that was used of it is live.

        Nearly always all that the index has is live. So everything found is taken for live at first, and only where it
        is not the search is made again with care.
        """
        live = Live(self._documents, principal, place)
        if isinstance(found, Found) and await live.of(found.versions) == found.versions:
            return found.chunks
        if isinstance(found, BaseException) and not isinstance(found, PointsGone):
            raise found
        return (await Search(question, FilteredPoints(self._store, place.index, where), live).find()).chunks

    async def _place(self, tenant: str, name: str) -> Collection:
        """The collection as it is now, remembered if it can be searched: every search asks whether it still is so."""
        place = await self._record.collection(tenant, name)
        if place.embedder != self._embedder.name:
            raise EmbedderMismatch(
                f"collection {place.name!r} was embedded with {place.embedder!r}, but {self._embedder.name!r} is in "
                f"use; start with that model, or run `cairn reindex {place.name}` to embed it again"
            )
        self._places[tenant, name] = place
        return place

    async def _source(self, tenant: str, run: Sequence[Ranked]) -> Source:
        text = text_of(run)
        if text is None:
            # White space between neighbours is in no chunk: the record has it.
            first, last = run[0].payload, run[-1].payload
            span = first["start"], last["end"]
            text = await self._record.excerpt(tenant, first["document_id"], first["version"], *span)
        if text is None:
            best = max(run, key=lambda chunk: chunk.score)
            return to_source([best], best.payload["text"])
        return to_source(run, text)

    async def _rerank(self, reranker: Reranker, query: str, chunks: Sequence[Ranked]) -> list[Ranked]:
        scores = await reranker.scores(query, [readable(chunk.payload) for chunk in chunks])
        judged = [
            Ranked(chunk.payload, score, {**chunk.scores, "rerank": score})
            for chunk, score in zip(chunks, scores, strict=True)
        ]
        return sorted(judged, key=lambda chunk: -chunk.score)
