"""The half of the service that holds documents: the database, the vector store, and what ingests and searches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ingest.parsing import ParseLimits, Parser
from ingest.pipeline import Ingestor
from records.database import Database
from retrieval.catalog import Catalog
from retrieval.embedding.cache import CachedEmbedder, RecentEmbedder
from retrieval.embedding.factory import open_embedder
from retrieval.embedding.port import Embedder
from retrieval.rerank import Reranker
from retrieval.retriever import Retriever
from retrieval.vectors.port import VectorStore
from retrieval.vectors.tenanted import TenantedStore
from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """The half of the service that holds documents: enough for ingestion and search.

    Attributes:
        embedder: For questions; remembers the last ones, in memory only.
        indexer: The same model for documents; keeps every vector in the record.
    """

    settings: Settings
    database: Database
    store: VectorStore
    embedder: Embedder
    indexer: Embedder
    catalog: Catalog
    ingestor: Ingestor
    retriever: Retriever


@asynccontextmanager
async def open_knowledge(settings: Settings) -> AsyncIterator[Knowledge]:
    """Open database, vector store and embedder; the data folder must be held by this process."""
    async with AsyncExitStack() as stack:

        async def opened(opening: Awaitable[Any]) -> Any:
            part = await opening
            stack.push_async_callback(part.aclose)
            return part

        # The three have nothing to do with each other, so they start at the same time.
        parts: Sequence[Any] = await asyncio.gather(
            opened(Database.open(settings.records_url)),
            opened(open_store(settings, settings.retrieval.qdrant_url)),
            opened(open_embedder(settings.retrieval.embedder, settings.data_dir / "models", settings.retrieval.cores)),
            return_exceptions=True,
        )
        for part in parts:
            if isinstance(part, BaseException):
                raise part
        database, inner = parts[0], parts[2]
        store = TenantedStore(parts[1])
        embedder, indexer = RecentEmbedder(inner), CachedEmbedder(inner, database)
        ingestion = settings.ingestion
        limits = ParseLimits(
            input_bytes=ingestion.max_bytes,
            seconds=ingestion.parse_seconds,
            memory_bytes=ingestion.parse_memory_mb * 2**20,
        )
        parser = await stack.enter_async_context(Parser(processes=ingestion.workers, limits=limits))
        catalog = Catalog(database)
        reranker = await opened(_open_reranker(settings.retrieval.reranker)) if settings.retrieval.reranker else None
        yield Knowledge(
            settings=settings,
            database=database,
            store=store,
            embedder=embedder,
            indexer=indexer,
            catalog=catalog,
            ingestor=Ingestor(catalog, store, indexer, parser, parsing=ingestion.workers),
            retriever=Retriever(embedder=embedder, store=store, record=catalog, reranker=reranker),
        )


async def _open_reranker(name: str) -> Reranker:
    from retrieval.rerank import CrossEncoderReranker

    return await CrossEncoderReranker.open(name)


async def open_store(settings: Settings, qdrant_url: str | None) -> VectorStore:
    """The Qdrant server at ``qdrant_url``, or without one the engine in a process of its own over the data folder.

    Raises:
        StoreLocked: Another process holds the embedded store.
    """
    if qdrant_url is None:
        from retrieval.vectors.edge import EdgeStore

        return await EdgeStore.open(settings.data_dir / "vectors")
    from retrieval.vectors.server import QdrantServerStore

    key = settings.retrieval.qdrant_api_key
    return QdrantServerStore.connect(qdrant_url, key.get_secret_value() if key else None)
