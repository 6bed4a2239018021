"""A collection is rebuilt beside the live one, from the record alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from qdrant_client.models import Filter

from ingest.options import IngestOptions
from ingest.reindex import Reindexer
from records.principal import Principal
from retrieval.changes import Changes
from retrieval.embedding.port import Vectors
from retrieval.errors import EmbedderMismatch
from tests.support.dying_ingest import corpus, given
from tests.support.embedder import HashEmbedder
from tests.support.store import House, open_house

ALICE = Principal()
OTHER = HashEmbedder("other", dimension=16, window=128)


def reindexer(house: House, embedder: HashEmbedder) -> Reindexer:
    return Reindexer(house.catalog, house.store, embedder, Changes(house.database, house.store))


async def test_another_embedder_is_refused_until_the_collection_is_reindexed_with_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))
        before = await house.catalog.collection(ALICE.tenant, "default")
        with pytest.raises(EmbedderMismatch, match="cairn reindex default"):
            await house.catalog.ensure(ALICE.tenant, "default", OTHER)

        summary = await reindexer(house, OTHER).reindex(ALICE.tenant, "default")

        after = await house.catalog.ensure(ALICE.tenant, "default", OTHER)
        assert (after.embedder, after.dimension, summary.documents) == ("other", 16, 5)
        assert await house.store.indexes() == [after.index] != [before.index]
        assert await house.store.count(after.index) == summary.chunks
        documents = (await house.catalog.documents(ALICE)).documents
        assert sum(document.chunk_count for document in documents) == summary.chunks


async def test_what_an_earlier_run_left_half_built_is_dropped_and_documents_changed_meanwhile_come_in(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))
        broken = DyingEmbedder("other", dimension=16, window=128)
        with pytest.raises(RuntimeError, match="died"):
            await reindexer(house, broken).reindex(ALICE.tenant, "default")
        assert len(await house.store.indexes()) == 2

        changed = False

        class Meddling(HashEmbedder):
            async def embed(self, texts: Sequence[str]) -> Vectors:
                nonlocal changed
                if not changed:
                    changed = True
                    await house.ingestor.ingest(given(corpus(2)), IngestOptions(principal=ALICE))
                    [stays] = [d for d in (await house.catalog.documents(ALICE)).documents if d.uri == "doc:stays"]
                    await house.ingestor.remove(ALICE, [stays.id])
                return await super().embed(texts)

        summary = await reindexer(house, Meddling("other", dimension=16, window=128)).reindex(ALICE.tenant, "default")

        documents = {d.id: d for d in (await house.catalog.documents(ALICE)).documents}
        points, _ = await house.store.scroll(summary.collection.index, Filter(), 10_000)
        assert {(p.payload["document_id"], p.payload["version"]) for p in points} == {
            (d.id, d.version) for d in documents.values()
        }
        assert len(points) == sum(d.chunk_count for d in documents.values()) == summary.chunks
        assert await house.store.indexes() == [summary.collection.index]


async def test_a_lost_index_is_built_anew_by_the_next_ingestion(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        first = await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))
        await house.store.drop((await house.catalog.collection(ALICE.tenant, "default")).index)

        again = await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))

        collection = await house.catalog.collection(ALICE.tenant, "default")
        assert again.unchanged == 5
        assert await house.store.count(collection.index) == first.chunks


class DyingEmbedder(HashEmbedder):
    """Fails at its first batch, as if the process had been killed there."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError(f"died with {len(texts)} texts")
