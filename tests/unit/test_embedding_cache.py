"""Nothing is embedded twice."""

from pathlib import Path

import numpy as np
from sqlalchemy import func, select, update

from records.database import Database
from records.schema import embeddings
from retrieval.embedding.cache import CachedEmbedder, RecentEmbedder
from tests.support.embedder import HashEmbedder


async def test_a_text_is_embedded_once_across_calls_and_processes(tmp_path: Path) -> None:
    first, database = HashEmbedder(), await Database.open(f"sqlite+aiosqlite:///{tmp_path}/cairn.db")
    vectors = await CachedEmbedder(first, database).embed(["a", "b", "a", "c"])
    assert first.calls == [3]
    await database.aclose()

    second, database = HashEmbedder(), await Database.open(f"sqlite+aiosqlite:///{tmp_path}/cairn.db")
    again = await CachedEmbedder(second, database).embed(["c", "b", "d", "a"])
    assert second.calls == [1]
    assert np.array_equal(again[[3, 1, 3, 0]], vectors)
    await database.aclose()


async def test_another_model_has_vectors_of_its_own(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/cairn.db")
    await CachedEmbedder(HashEmbedder("one"), database).embed(["a"])
    other = HashEmbedder("two")
    await CachedEmbedder(other, database).embed(["a"])
    assert other.calls == [1]
    await database.aclose()


async def test_a_vector_of_the_wrong_length_is_embedded_again(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/cairn.db")
    inner = HashEmbedder()
    right = await CachedEmbedder(inner, database).embed(["a"])
    async with database.write() as connection:
        await connection.execute(update(embeddings).values(vector=b"\x00" * 7))
    assert np.array_equal(await CachedEmbedder(inner, database).embed(["a"]), right)
    assert inner.calls == [1, 1]
    async with database.read() as connection:
        assert await connection.scalar(select(func.length(embeddings.c.vector))) == 4 * inner.dimension
    await database.aclose()


async def test_recent_texts_are_remembered_and_old_ones_forgotten() -> None:
    inner = HashEmbedder()
    recent = RecentEmbedder(inner, size=2)
    await recent.embed(["a", "b"])
    await recent.embed(["a"])
    await recent.embed(["c"])
    assert inner.calls == [2, 1]
    await recent.embed(["a", "c"])
    assert inner.calls == [2, 1]
    await recent.embed(["b"])
    assert inner.calls == [2, 1, 1]
