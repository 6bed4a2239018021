"""Builds a collection anew from the record, beside the live one, and switches: another embedder, another splitter."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from ingest.parsing import ParsedDocument
from ingest.splitting import fit_title, split
from retrieval.active import Collection
from retrieval.catalog import Catalog, next_index_name
from retrieval.changes import Built, Changes
from retrieval.documents import Chunk, Document
from retrieval.embedding.port import Embedder
from retrieval.errors import RetrievalError
from retrieval.indexing import index_passages
from retrieval.vectors.port import IndexSpec, VectorStore
from retrieval.vectors.tenanted import of_tenant

OnReindexed = Callable[[int, int], None]
"""Is told how many documents are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexSummary:
    """What a reindexing built."""

    collection: Collection
    documents: int
    chunks: int
    seconds: float


class Reindexer:
    """Rebuilds indexes from the parsed text that the record keeps; no file is read or parsed again.

    The live index stays as it is until the switch. Killed before it, the next run drops what was built and starts
    again; what was embedded is not embedded twice when the embedder has a cache.
    """

    def __init__(
        self, catalog: Catalog, store: VectorStore, embedder: Embedder, changes: Changes, *, batch: int = 128
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._embedder = embedder
        self._changes = changes
        self._batch = batch

    async def reindex(
        self, tenant: str, name: str, *, language: str | None = None, on_progress: OnReindexed | None = None
    ) -> ReindexSummary:
        """Build the collection's next index with this embedder and let it replace the live one.

        Documents that change meanwhile are brought in before the switch.

        Raises:
            CollectionNotFound: The tenant has no such collection.
            ChangeConflict: It was reindexed by someone else meanwhile.
        """
        started = time.perf_counter()
        old = await self._catalog.collection(tenant, name)
        new = replace(
            old,
            embedder=self._embedder.name,
            dimension=self._embedder.dimension,
            language=language or old.language,
            index=next_index_name(old),
        )
        await self._store.drop(new.index)
        await self._store.create(new.index, IndexSpec(dimension=new.dimension, language=new.language))
        built: dict[str, Built] = {}
        while True:
            await self._build(new, built, on_progress)
            await self._verify(new, built)
            if await self._changes.switch(old, new, built):
                break
        await self._changes.clean()
        chunks = sum(each.chunks for each in built.values())
        return ReindexSummary(
            collection=new, documents=len(built), chunks=chunks, seconds=time.perf_counter() - started
        )

    async def _build(self, new: Collection, built: dict[str, Built], on_progress: OnReindexed | None) -> None:
        """Bring the new index to where the record is now."""
        total = await self._catalog.count(new.tenant, new.name)
        gone = dict(built)
        waiting: list[tuple[Document, Chunk]] = []
        async for document, chunks in self._changed(new, built, gone):
            waiting += [(document, chunk) for chunk in chunks]
            built[document.id] = Built(document.version, len(chunks))
            while len(waiting) >= self._batch:
                await self._write(new, waiting[: self._batch])
                del waiting[: self._batch]
            if on_progress is not None:
                on_progress(len(built), max(total, len(built)))
        if waiting:
            await self._write(new, waiting)
        for document_id, outdated in gone.items():
            await self._changes.forget(new, document_id, outdated.version)
            if built.get(document_id) == outdated:
                del built[document_id]

    async def _changed(
        self, new: Collection, built: dict[str, Built], gone: dict[str, Built]
    ) -> AsyncIterator[tuple[Document, list[Chunk]]]:
        """Documents that are not in the new index as they are; ``gone`` is left with what should not be there."""
        async for document in self._catalog.every(new.tenant, new.name):
            before = built.get(document.id)
            if before is not None and before.version == document.version:
                del gone[document.id]
                continue
            kept = await self._catalog.parsed(document.tenant, document.id, document.version)
            if kept is not None:
                yield await asyncio.to_thread(self._split, document, *kept)

    def _split(self, document: Document, text: str, page_starts: tuple[int, ...]) -> tuple[Document, list[Chunk]]:
        parsed = ParsedDocument(
            text=text, title=None, media_type=document.media_type, page_starts=page_starts, parser="record"
        )
        title = fit_title(document.title, self._embedder)
        return replace(document, title=title), split(parsed, title, self._embedder)

    async def _write(self, new: Collection, passages: list[tuple[Document, Chunk]]) -> None:
        await self._store.upsert(new.index, await index_passages(self._embedder, passages))

    async def _verify(self, new: Collection, built: dict[str, Built]) -> None:
        """Never switch to an index that someone else has dropped or written to meanwhile."""
        expected = sum(each.chunks for each in built.values())
        there = await self._store.count(new.index, of_tenant(new.tenant))
        if there != expected:
            raise RetrievalError(
                f"the new index of {new.name!r} has {there} passages instead of {expected}, so it was not switched to; "
                "is another reindexing under way?"
            )
