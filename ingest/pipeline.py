"""Ingestion: sources to parsed text to chunks to points to the record, each stage working while the others do.

    items ─ check ─▶ parse (processes) ─▶ split ─▶ embed ─▶ write and commit

Between two stages is a bounded backlog, so that memory does not grow with the corpus, and documents keep their order
throughout, so that of two for one URI the last wins.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Sequence

from ingest.backlog import Backlog
from ingest.checking import Checker
from ingest.items import Item, Unreadable
from ingest.options import IngestOptions
from ingest.parsing.sandbox import Parser
from ingest.preparing import Prepared, Preparer
from ingest.reindex import Reindexer
from ingest.summary import IngestSummary, OnProgress, Tally
from ingest.writing import Embedded, Writer, parts_of
from records.principal import Principal
from retrieval.active import Collection
from retrieval.catalog import Catalog, check_embedder, index_name
from retrieval.changes import Changes
from retrieval.embedding.port import Embedder
from retrieval.errors import CollectionNotFound
from retrieval.vectors.port import IndexSpec, VectorStore

_log = logging.getLogger(__name__)

_CHECKED = 64
_PRUNED = 500


class Ingestor:
    """Brings documents into a collection and keeps them up to date.

    Args:
        parsing: Documents parsed at once; as many as the parser has processes.
        batch: Chunks embedded and written together.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: VectorStore,
        embedder: Embedder,
        parser: Parser,
        *,
        parsing: int = 2,
        batch: int = 128,
    ) -> None:
        self._catalog = catalog
        self._changes = Changes(catalog.database, store)
        self._store = store
        self._embedder = embedder
        self._parser = parser
        self._parsing = parsing
        self._batch = batch

    async def ingest(
        self,
        items: AsyncIterable[Item | Unreadable],
        options: IngestOptions,
        on_progress: OnProgress | None = None,
    ) -> IngestSummary:
        """Ingest what is new or changed among the items; what failed is in the summary and stops nothing else.

        Readers see each document as it was or as it is, never in between. Killed at any moment, the next run completes.

        Raises:
            EmbedderMismatch: The collection was embedded with another model.
            StoreUnavailable: The vector store cannot be reached.
        """
        started = time.perf_counter()
        tally = Tally(on_progress, dry_run=options.dry_run)
        collection = await self._open(options)
        checker = Checker(self._catalog, collection, options, tally)
        if not options.dry_run:
            await self._changes.clean()
        preparer = Preparer(self._parser, self._embedder, self._changes, collection, options, tally)
        writer = Writer(self._store, self._changes, self._embedder, collection, tally)
        try:
            await _Stages(checker, preparer, writer, parsing=self._parsing, batch=self._batch).run(items)
        finally:
            writer.give_up()
        await self._prune(checker, options, tally)
        tally.summary.seconds = time.perf_counter() - started
        return tally.summary

    async def remove(self, principal: Principal, document_ids: Sequence[str]) -> int:
        """Delete documents with all that was made of them; how many there were."""
        removed = await self._changes.remove(principal.tenant, document_ids)
        await self._changes.clean()
        return removed

    def reindexer(self) -> Reindexer:
        """What rebuilds collections with this embedder."""
        return Reindexer(self._catalog, self._store, self._embedder, self._changes, batch=self._batch)

    async def _open(self, options: IngestOptions) -> Collection:
        tenant, name = options.principal.tenant, options.collection
        try:
            collection = await self._catalog.collection(tenant, name)
            check_embedder(collection, self._embedder)
        except CollectionNotFound:
            collection = Collection(
                tenant=tenant,
                name=name,
                embedder=self._embedder.name,
                dimension=self._embedder.dimension,
                language=options.language,
                index=index_name(tenant, name, 1),
            )
        if options.dry_run:
            return collection
        if collection.index not in await self._store.indexes() and await self._catalog.count(tenant, name):
            _log.warning("the index of %s is missing and is built anew from the record", name)
            return (await self.reindexer().reindex(tenant, name)).collection
        # The index comes first: a collection that the record knows of can be searched.
        spec = IndexSpec(dimension=collection.dimension, language=collection.language)
        await self._store.create(collection.index, spec)
        return await self._catalog.ensure(tenant, name, self._embedder, language=options.language)

    async def _prune(self, checker: Checker, options: IngestOptions, tally: Tally) -> None:
        """Remove the documents under the given roots that no source handed over."""
        if options.prune is None:
            return
        gone = [
            (document.id, document.uri)
            async for document in self._catalog.every(options.principal.tenant, options.collection)
            if options.prune.covers(document.uri) and checker.is_gone(document)
        ]
        for start in range(0, len(gone), _PRUNED):
            page = gone[start : start + _PRUNED]
            if not options.dry_run:
                await self._changes.remove(options.principal.tenant, [document_id for document_id, _ in page])
                await self._changes.clean()
            for _, uri in page:
                tally.done(uri, "removed")


class _Stages:
    """The stages of one run and the backlogs between them."""

    def __init__(self, checker: Checker, preparer: Preparer, writer: Writer, *, parsing: int, batch: int) -> None:
        self._checker = checker
        self._preparer = preparer
        self._writer = writer
        self._batch = batch
        self._found: Backlog[Item | Unreadable] = Backlog(_CHECKED)
        self._parsing: Backlog[asyncio.Task[Prepared | None]] = Backlog(4 * parsing)
        self._prepared: Backlog[Prepared] = Backlog(4 * batch)
        self._embedded: Backlog[Embedded] = Backlog(1)

    async def run(self, items: AsyncIterable[Item | Unreadable]) -> None:
        """Take everything through all stages. Only the source can raise: what a document does wrong is counted."""
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._find(items))
                stages.create_task(self._check(stages))
                stages.create_task(self._collect())
                stages.create_task(self._embed())
                stages.create_task(self._write())
        except* Exception as errors:  # noqa: BLE001 - unwrapped, not handled
            raise errors.exceptions[0] from None

    async def _find(self, items: AsyncIterable[Item | Unreadable]) -> None:
        async for item in items:
            await self._found.put(item)
        await self._found.close()

    async def _check(self, stages: asyncio.TaskGroup) -> None:
        while some := await self._found.take(_CHECKED):
            for task in await self._checker.check(some):
                await self._parsing.put(stages.create_task(self._preparer.prepare(task)))
        await self._parsing.close()

    async def _collect(self) -> None:
        while preparing := await self._parsing.take():
            if (document := await preparing[0]) is not None:
                await self._prepared.put(document, len(document.chunks))
        await self._prepared.close()

    async def _embed(self) -> None:
        while documents := await self._prepared.take(self._batch):
            for parts in parts_of(documents, self._batch):
                await self._embedded.put(await self._writer.embed(parts))
        await self._embedded.close()

    async def _write(self) -> None:
        while batches := await self._embedded.take():
            await self._writer.write(batches[0])
