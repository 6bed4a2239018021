"""An answer given again by a cache of many against what that cannot do without: embedding, and the engine's own search.

A tenant's cache is filled with answers to other questions, in two scopes; what is asked was asked before, in the same
words or in nearly the same. The ways take turns on every question, so that whatever else the machine does weighs on
all. ``floor`` is the embedding of the question and a filtered query to the engine itself, called directly over a copy
of the same shard. Run it with ``python -m bench.cache --sizes 10000,100000``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import qdrant_edge as edge

sys.path.insert(0, str(Path(__file__).parents[1]))

from records.database import Database
from records.ids import now
from records.schema import cache_entries, cache_sources, collections
from retrieval.cache.answers import CacheSettings, Consulted
from retrieval.cache.cache import AnswerCache
from retrieval.cache.candidates import NEIGHBOURS
from retrieval.cache.entries import asked_key
from retrieval.cache.experience import Experience
from retrieval.cache.index import COLLECTION
from retrieval.cache.scope import Scope
from retrieval.cache.words import normal
from retrieval.documents import Source
from retrieval.embedding.factory import DEFAULT_EMBEDDER, open_embedder
from retrieval.embedding.port import Embedder
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import DENSE, IndexSpec, Point

TENANT, AT_ONCE = "acme", 2_000
THINGS = ("shoes", "lamps", "cameras", "books", "chairs", "tents", "bikes", "rugs", "mugs", "drums", "skis", "pans")
ASKED = ("How long may I return {}?", "Where do you send {} to?", "Who repairs {} for me?", "What do {} cost to post?")
AGAIN = ("how long may i return {} please", "where do you send {} to, please", "who repairs {} for me, please",
         "what do {} cost to post, please")  # fmt: skip

Way = Callable[[str], Awaitable[Any]]


def scopes() -> list[Scope]:
    """The one that is asked in, and another one of the same tenant."""
    mine = Scope(tenant=TENANT, groups=frozenset(), collection="docs", config="1", language="en")
    return [mine, replace(mine, groups=frozenset({"staff"}))]


def sources(number: int) -> list[Source]:
    """Four passages, as an answer has them."""
    return [
        Source(
            document_id=str(uuid.UUID(int=number * 4 + place)),
            version=f"{number:064x}",
            collection="docs",
            uri=f"file:///handbook/{number}-{place}.md",
            title="A chapter of the handbook",
            heading_path=("Returns", "Opened goods"),
            page=None,
            start=0,
            end=600,
            text="What may be returned, and until when. " * 16,
            trust="trusted",
            score=1.0,
            scores={"dense": 0.5, "bm25": 3.0},
        )
        for place in range(4)
    ]


async def fill(
    database: Database, store: EdgeStore, embedder: Embedder, index: str, size: int
) -> list[tuple[str, str]]:
    """Questions that were asked, each with what it is asked as again."""
    pairs = [
        (asked.format(thing), again.format(thing))
        for thing in THINGS
        for asked, again in zip(ASKED, AGAIN, strict=True)
    ]
    known = await embedder.embed([asked for asked, _ in pairs])
    draw = np.random.default_rng(0)
    async with database.write() as connection:
        place = {"tenant": TENANT, "name": "docs", "embedder": embedder.name, "dimension": embedder.dimension}
        more = {"language": "english", "index_name": "docs", "trusted": True, "created_at": now()}
        await connection.execute(collections.insert(), [place | more])
    await store.create(index, IndexSpec(dimension=embedder.dimension, language="english"))
    for start in range(0, size, AT_ONCE):
        numbers = range(start, min(size, start + AT_ONCE))
        vectors = draw.standard_normal((len(numbers), embedder.dimension), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        questions = [f"What about matter number {number}?" for number in numbers]
        for number in numbers:
            if number < len(pairs):
                questions[number], vectors[number] = pairs[number][0], known[number]
        await _write(database, store, index, numbers, questions, vectors)
    return pairs


async def _write(
    database: Database, store: EdgeStore, index: str, numbers: range, questions: Sequence[str], vectors: Any
) -> None:
    mine, others = scopes()
    rows, owed, points = [], [], []
    for number, question, vector in zip(numbers, questions, vectors, strict=True):
        scope = others if number % 2 and number >= 100 else mine
        entry = {"tenant": TENANT, "id": str(uuid.UUID(int=number)), "collection": "docs", "scope": scope.key}
        drawn_on = sources(number)
        said = {"question": question, "asked": asked_key(normal(question)), "answer": entry["id"], "query": question}
        made = {
            "text": "Within 30 days. [1]",
            "finish_reason": "stop",
            "revision": 0,
            "worth": 0.0,
            "created_at": now(),
        }
        model = index.rpartition("-")[2]
        rows.append(entry | said | made | {"sources": [asdict(each) for each in drawn_on], "indexed": model})
        owed += [
            {"tenant": TENANT, "document_id": each.document_id, "entry_id": entry["id"], "version": each.version}
            for each in drawn_on
        ]
        payload = {"tenant": TENANT, "collection": COLLECTION, "document_id": entry["id"], "version": ""}
        points.append(Point(id=str(entry["id"]), vector=vector, text=question, payload={**payload, "acl": [scope.key]}))
    async with database.write() as connection:
        await connection.execute(cache_entries.insert(), rows)
        await connection.execute(cache_sources.insert(), owed)
    await store.upsert(index, points)


async def teach(cache: AnswerCache, pairs: Sequence[tuple[str, str]]) -> None:
    """Let the cache see, for as long as it takes, that what it finds for these questions is right."""
    found = [(await consult(cache, again), again) for _, again in pairs]
    for turn in range(200):
        for consulted, again in found:
            cache._learning.learn(TENANT, _lesson(consulted, again))  # noqa: SLF001
        if turn % 5 == 4 and all([(await consult(cache, again)).answer is not None for _, again in pairs]):
            return
    raise AssertionError("the cache gives nothing")


def _lesson(consulted: Consulted, asked: str) -> Callable[[Experience], None]:
    def learn(experience: Experience) -> None:
        # What was nearest was right, and nothing else was.
        considered = consulted.considered
        assert considered is not None
        right = {each.nearest.answer: place == 0 for place, each in enumerate(considered.found)}
        experience.compared(considered, asked, right)

    return learn


async def consult(cache: AnswerCache, question: str) -> Consulted:
    async def search() -> Sequence[Source]:
        raise AssertionError("no document has changed")

    return await cache.consult(scopes()[0], question, search=search)


def floor(embedder: Embedder, shard: edge.EdgeShard) -> tuple[Way, Way]:
    """The embedding of a question, and that with the engine's own filtered query."""
    where = edge.Filter(
        must=[
            edge.FieldCondition("tenant", match=edge.MatchValue(TENANT)),
            edge.FieldCondition("acl", match=edge.MatchAny([scopes()[0].key])),
        ]
    )

    async def embed(question: str) -> Any:
        [vector] = await embedder.embed([question])
        return vector

    async def search(question: str) -> Any:
        vector = (await embed(question)).tolist()
        nearest = edge.Query.Nearest(vector, using=DENSE)
        request = edge.QueryRequest(limit=NEIGHBOURS, query=nearest, filter=where, with_payload=False)
        return [(str(hit.id), hit.score) for hit in shard.query(request)]

    return embed, search


async def measure(ways: dict[str, tuple[Way, Sequence[str]]], turns: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each way, turn by turn; the first tenth warms up and is not counted.

    On a machine that does other things as well the tenth percentile says what the way itself takes.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name, (way, questions) in ways.items():
            started = time.perf_counter()
            await way(questions[turn % len(questions)])
            taken[name].append((time.perf_counter() - started) * 1000)
    return {
        name: {f"p{p}": round(float(np.percentile(each[turns // 10 :], p)), 3) for p in (10, 50, 95)}
        for name, each in taken.items()
    }


async def bench(size: int, turns: int, folder: Path) -> dict[str, Any]:
    embedder = await open_embedder(DEFAULT_EMBEDDER, folder / "models", os.cpu_count() or 1)
    database = await Database.open(f"sqlite:///{folder / 'cairn.db'}")
    store = await EdgeStore.open(folder / "vectors")
    settings = CacheSettings(max_error=0.1, shadow=0.0, ttl=timedelta(days=30), max_entries=2 * size)
    index = AnswerCache(database, store, embedder, settings)._index._name(TENANT)  # noqa: SLF001
    pairs = await fill(database, store, embedder, index, size)
    await store.aclose()
    shutil.copytree(folder / "vectors" / index / "shard", folder / "shard")
    shard = edge.EdgeShard.load(str(folder / "shard"))
    store = await EdgeStore.open(folder / "vectors")
    cache = AnswerCache(database, store, embedder, settings)
    await teach(cache, pairs)
    embed, search = floor(embedder, shard)

    async def exact(question: str) -> None:
        if (await consult(cache, question)).decided_by != "exact":
            raise AssertionError("not an exact repeat")

    async def near(question: str) -> None:
        found = await consult(cache, question)
        if found.answer is None or found.decided_by != "near":
            raise AssertionError("not a hit by meaning")

    asked, again = [one for one, _ in pairs], [other for _, other in pairs]
    ways: dict[str, tuple[Way, Sequence[str]]] = {
        "exact": (exact, asked),
        "near": (near, again),
        "floor": (search, again),
        "embedding": (embed, again),
    }
    figures = await measure(ways, turns)
    await store.aclose()
    await database.aclose()
    await embedder.aclose()
    shard.close()
    over = {p: round(figures["near"][p] - figures["floor"][p], 3) for p in ("p10", "p50")}
    return {"entries": size, **figures, "near_over_floor_ms": over}


def table(results: list[dict[str, Any]]) -> str:
    rows = [
        "| entries | exact p10 / p50 / p95 ms | near | floor | embedding p50 | near over floor p10 / p50 |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for r in results:
        cells = [" / ".join(str(r[name][p]) for p in ("p10", "p50", "p95")) for name in ("exact", "near", "floor")]
        over = " / ".join(f"{each} ms" for each in r["near_over_floor_ms"].values())
        rows.append(f"| {r['entries']:,} | {' | '.join(cells)} | {r['embedding']['p50']} | {over} |")
    return "\n".join(rows)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="numbers of answers")
    parser.add_argument("--turns", type=int, default=400)
    options = parser.parse_args()
    results = []
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            results.append(await bench(size, options.turns, Path(folder)))
    print(table(results))
    print(orjson.dumps({"bench": "cache", "results": results}).decode())


if __name__ == "__main__":
    asyncio.run(main())
