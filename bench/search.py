"""The whole of a hybrid search against the engine called directly with the same two legs, in the same run.

`Retriever.search` searches and ranks in the store's process, asks the record (SQLite) whether the collection is still
what it was and whether what it shows is live, and makes sources of it; the engine only searches. Both take turns on
every question, so that whatever else the machine does weighs on both. Vectors are given, as for a question asked
before: embedding is not measured.
Run it with ``python bench/search.py --sizes 10000,100000``.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import qdrant_edge as edge

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.vectors import DIMENSION, GROUPS, INDEX, TENANT, Corpus, Query, Search, directly, measure
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import collections, documents
from retrieval.catalog import Catalog
from retrieval.embedding.port import Vectors
from retrieval.retriever import DEPTH, Retriever
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import IndexSpec, Point

EMBEDDER = "given"
NAMES = 400
"""Names that the texts of the second run hold, so that searches follow them."""

OPEN = "something elsewhere unmentioned"
"""Makes a question of the second run one that no passage answers alone."""


class GivenVectors:
    """An embedder that is handed the vector of each question beforehand."""

    name, dimension, window = EMBEDDER, DIMENSION, 256

    def __init__(self) -> None:
        self.vectors: dict[str, Vectors] = {}

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))] if text else []

    async def aclose(self) -> None:
        pass


def points(size: int, *, named: bool) -> list[Point]:
    """The corpus of `bench.vectors`, where ``named`` with three names in each text."""
    made = [replace(each, payload={**each.payload, "page": None, **_whole(each)}) for each in Corpus().points(size)]
    if not named:
        return made
    draw = np.random.default_rng(1)
    return [_with_names(each, draw.integers(NAMES, size=3).tolist()) for each in made]


def _whole(point: Point) -> Mapping[str, Any]:
    return {"ordinal": point.payload["start"] // 700, "trust": "trusted", "metadata": {}}


def _with_names(point: Point, drawn: Sequence[int]) -> Point:
    text = f"{point.text} {', '.join(f'Name{number} Surname{number}' for number in drawn)}"
    payload = {**point.payload, "text": text, "end": point.payload["start"] + len(text)}
    return replace(point, text=text, payload=payload)


async def record(database: Database, written: Sequence[Point]) -> None:
    """Every document of the points, live."""
    live = {point.payload["document_id"]: point.payload for point in written if point.payload["tenant"] == TENANT}
    common = {"title": "", "media_type": "text/plain", "fingerprint": "", "metadata": {}, "trust": "trusted"}
    counts = {"size": 1, "chunk_count": 20, "created_by": "", "created_at": now(), "updated_at": now()}
    rows = [
        {
            **common,
            **counts,
            "id": key,
            **{field: payload[field] for field in ("tenant", "collection", "uri", "version", "acl")},
        }
        for key, payload in live.items()
    ]
    place = {"tenant": TENANT, "name": "handbook", "embedder": EMBEDDER, "dimension": DIMENSION}
    async with database.write() as connection:
        await connection.execute(
            collections.insert(),
            [{**place, "language": "english", "index_name": INDEX, "trusted": True, "created_at": now()}],
        )
        await connection.execute(documents.insert(), rows)


def whole(retriever: Retriever, embedder: GivenVectors) -> Search:
    principal = Principal(tenant=TENANT, groups=frozenset(GROUPS))

    async def search(query: Query) -> int:
        embedder.vectors[query[1]] = query[0]
        await retriever.search(query[1], principal=principal, collection="handbook")
        return 0

    return search


async def bench(size: int, queries: int, folder: Path, *, named: bool) -> dict[str, Any]:
    store = await EdgeStore.open(folder / "vectors")
    await store.create(INDEX, IndexSpec(dimension=DIMENSION, language="english"))
    written = points(size, named=named)
    await store.upsert(INDEX, written)
    await store.aclose()
    shutil.copytree(folder / "vectors" / INDEX / "shard", folder / "shard")
    shard = edge.EdgeShard.load(str(folder / "shard"))
    store = await EdgeStore.open(folder / "vectors")
    await store.count(INDEX)
    database = await Database.open(f"sqlite+aiosqlite:///{folder / 'cairn.db'}")
    await record(database, written)
    embedder = GivenVectors()
    retriever = Retriever(embedder=embedder, store=store, record=Catalog(database))
    engine = directly(shard, DEPTH)

    async def alone(query: Query) -> int:
        await engine(query)
        return 0

    asked = [(vector, f"{text} {OPEN}" if named else text) for vector, text in Corpus(seed=2).queries(queries)]
    times = await measure({"search": whole(retriever, embedder), "engine": alone}, asked)
    await store.aclose()
    await database.aclose()
    shard.close()
    figures = {
        name: {p: round(float(np.percentile(each, int(p[1:]))), 3) for p in ("p50", "p95")}
        for name, each in times.items()
    }
    ratio = {p: round(figures["search"][p] / figures["engine"][p], 2) for p in ("p50", "p95")}
    return {"chunks": size, "named": named, **figures, "ratio": ratio}


def table(results: list[dict[str, Any]]) -> str:
    rows = [
        "| chunks | follows names | engine p50 / p95 ms | search p50 / p95 ms | ratio p50 / p95 |",
        "|--:|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {r['chunks']:,} | {'yes' if r['named'] else 'no'} | {r['engine']['p50']} / {r['engine']['p95']} "
        f"| {r['search']['p50']} / {r['search']['p95']} | {r['ratio']['p50']} / {r['ratio']['p95']} |"
        for r in results
    ]
    return "\n".join(rows)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="numbers of chunks")
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    results = []
    for size in map(int, options.sizes.split(",")):
        for named in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                results.append(await bench(size, options.queries, Path(folder), named=named))
    print(table(results))
    print(orjson.dumps({"bench": "search", "results": results}).decode())


if __name__ == "__main__":
    asyncio.run(main())
