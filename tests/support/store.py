"""Opens a real record, index and parser in a folder; only the embedding model is not real."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.parsing.sandbox import Parser
from ingest.pipeline import Ingestor
from records.database import Database
from retrieval.catalog import Catalog
from retrieval.embedding.port import Embedder
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import VectorStore
from retrieval.vectors.tenanted import TenantedStore
from tests.support.embedder import HashEmbedder


@dataclass(frozen=True)
class House:
    """Everything that ingestion needs."""

    database: Database
    catalog: Catalog
    store: VectorStore
    embedder: Embedder
    ingestor: Ingestor


@asynccontextmanager
async def open_house(folder: Path, embedder: Embedder | None = None, batch: int = 128) -> AsyncIterator[House]:
    """The house whose data are in ``folder``."""
    embedder = embedder or HashEmbedder()
    folder.mkdir(parents=True, exist_ok=True)
    database = await Database.open(f"sqlite+aiosqlite:///{folder / 'cairn.db'}")
    store = await EdgeStore.open(folder / "vectors")
    parser = Parser(processes=1)
    catalog = Catalog(database)
    try:
        ingestor = Ingestor(catalog, TenantedStore(store), embedder, parser, batch=batch)
        yield House(database, catalog, store, embedder, ingestor)
    finally:
        await parser.aclose()
        await store.aclose()
        await database.aclose()
