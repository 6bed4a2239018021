"""Hybrid search through the vector store against Qdrant Edge called directly, over the same shard in the same run.

The two take turns on every query, so that whatever else the machine does weighs on both. Vectors are random and of
length 1, texts are random words that occur as often as words do (Zipf).
Run it with ``python bench/vectors.py --sizes 10000,100000``.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import qdrant_edge as edge
from numpy.typing import NDArray
from qdrant_client import models

sys.path.insert(0, str(Path(__file__).parents[1]))

from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import BM25, DENSE, Bm25Query, DenseQuery, IndexSpec, Point

DIMENSION, WORDS_A_CHUNK, WORDS_A_QUESTION, VOCABULARY = 384, 120, 8, 20_000
INDEX = "bench"
TENANT, GROUPS = "t0", ["public", "staff"]

Query = tuple[NDArray[np.float32], str]
Search = Callable[[Query], Awaitable[int]]


class Corpus:
    """Random chunks of two tenants, of which one is searched, and random questions."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def points(self, count: int) -> list[Point]:
        return [
            Point(id=str(uuid.UUID(int=number)), vector=vector.tolist(), text=text, payload=self._payload(number, text))
            for number, (vector, text) in enumerate(
                zip(self._vectors(count), self._texts(count, WORDS_A_CHUNK), strict=True)
            )
        ]

    def queries(self, count: int) -> list[Query]:
        return list(zip(self._vectors(count), self._texts(count, WORDS_A_QUESTION), strict=True))

    def _vectors(self, count: int) -> NDArray[np.float32]:
        rows = self._rng.standard_normal((count, DIMENSION), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def _texts(self, count: int, words: int) -> list[str]:
        drawn = self._rng.zipf(1.3, size=(count, words)) % VOCABULARY
        return [" ".join(f"word{number}" for number in row) for row in drawn]

    @staticmethod
    def _payload(number: int, text: str) -> dict[str, Any]:
        return {
            "tenant": f"t{number % 2}",
            "collection": "handbook",
            "document_id": str(uuid.UUID(int=number // 20)),
            "version": f"{number // 20:064x}",
            "acl": ["public"],
            "uri": f"file:///handbook/{number // 20}.md",
            "title": "A chapter of the handbook",
            "heading_path": ["Returns", "Opened goods"],
            "start": number % 20 * 700,
            "end": number % 20 * 700 + len(text),
            "text": text,
        }


def through_port(store: EdgeStore, limit: int) -> Search:
    async def search(query: Query) -> int:
        where = models.Filter(
            must=[
                models.FieldCondition(key="tenant", match=models.MatchValue(value=TENANT)),
                models.FieldCondition(key="acl", match=models.MatchAny(any=GROUPS)),
            ]
        )
        legs = (DenseQuery(vector=query[0].tolist(), limit=limit), Bm25Query(text=query[1], limit=limit))
        return sum(map(len, await store.search(INDEX, legs, where)))

    return search


def directly(shard: edge.EdgeShard, limit: int) -> Search:
    model = edge.Bm25(edge.Bm25Config(language="english"))

    async def search(query: Query) -> int:
        where = edge.Filter(
            must=[
                edge.FieldCondition("tenant", match=edge.MatchValue(TENANT)),
                edge.FieldCondition("acl", match=edge.MatchAny(GROUPS)),
            ]
        )
        targets: list[tuple[str, Any]] = [(DENSE, query[0].tolist()), (BM25, model.embed_query(query[1]))]
        requests = [
            edge.QueryRequest(limit=limit, query=edge.Query.Nearest(target, using=leg), filter=where, with_payload=True)
            for leg, target in targets
        ]
        found = shard.query_batch(edge.QueryBatchRequest(requests))
        return sum(len([(str(hit.id), hit.score, hit.payload) for hit in hits]) for hits in found)

    return search


async def measure(searches: dict[str, Search], queries: list[Query]) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each query by each way; the first tenth warms up and is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in searches}
    for query in queries:
        counts = set()
        for name, search in searches.items():
            started = time.perf_counter()
            counts.add(await search(query))
            taken[name].append((time.perf_counter() - started) * 1000)
        if len(counts) != 1:
            raise AssertionError(f"The ways found different numbers of hits: {counts}")
    return {name: np.array(times[len(queries) // 10 :]) for name, times in taken.items()}


async def bench(size: int, queries: int, limit: int, folder: Path) -> dict[str, Any]:
    corpus = Corpus()
    store = await EdgeStore.open(folder / "vectors")
    await store.create(INDEX, IndexSpec(dimension=DIMENSION, language="english"))
    started = time.perf_counter()
    await store.upsert(INDEX, corpus.points(size))
    written = time.perf_counter() - started
    await store.aclose()
    shutil.copytree(folder / "vectors" / INDEX / "shard", folder / "shard")
    shard = edge.EdgeShard.load(str(folder / "shard"))
    started = time.perf_counter()
    store = await EdgeStore.open(folder / "vectors")
    opened = time.perf_counter() - started
    await store.count(INDEX)

    times = await measure(
        {"port": through_port(store, limit), "engine": directly(shard, limit)}, corpus.queries(queries)
    )

    await store.aclose()
    shard.close()
    figures = {
        name: {p: round(float(np.percentile(each, int(p[1:]))), 3) for p in ("p50", "p95")}
        for name, each in times.items()
    }
    return {
        "chunks": size,
        **figures,
        "ratio": {p: round(figures["port"][p] / figures["engine"][p], 2) for p in ("p50", "p95")},
        "open_s": round(opened, 2),
        "written_per_s": round(size / written),
    }


def table(results: list[dict[str, Any]]) -> str:
    rows = [
        "| chunks | engine p50 / p95 ms | port p50 / p95 ms | ratio p50 / p95 | chunks written a second |",
        "|--:|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {r['chunks']:,} | {r['engine']['p50']} / {r['engine']['p95']} | {r['port']['p50']} / {r['port']['p95']} "
        f"| {r['ratio']['p50']} / {r['ratio']['p95']} | {r['written_per_s']:,} |"
        for r in results
    ]
    return "\n".join(rows)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="numbers of chunks")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--limit", type=int, default=50, help="hits a leg")
    options = parser.parse_args()
    results = []
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            results.append(await bench(size, options.queries, options.limit, Path(folder)))
    print(table(results))
    print(orjson.dumps({"bench": "vectors", "limit": options.limit, "results": results}).decode())


if __name__ == "__main__":
    asyncio.run(main())
