"""Does hybrid search find more than words alone, meaning alone, and the usual ways to fuse them?

    python evals/retrieval.py DATA_DIR [--json] [--only NAME ...] [--cache DIR]

DATA_DIR holds question sets in any of the formats of `evals/retrieval_sets.py`. Every method searches the same index
of the embedded engine with the same embeddings and looks equally deep; the baselines search the question as it stands.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from evals.retrieval_metrics import METRICS
from evals.retrieval_sets import Passage, QuestionSet, load_sets
from ingest.splitting import fit_title, split
from records.database import Database
from records.principal import Principal
from retrieval.active import ActiveDocument, Collection
from retrieval.documents import Document, document_id
from retrieval.embedding.cache import CachedEmbedder
from retrieval.embedding.factory import DEFAULT_EMBEDDER, open_embedder
from retrieval.embedding.port import Embedder
from retrieval.fusion import Leg, distribution_based, ranked, reciprocal_rank, weighted_sum
from retrieval.indexing import Passage as IndexedPassage
from retrieval.indexing import index_passages
from retrieval.questions import lexical
from retrieval.retriever import Retriever
from retrieval.scope import scope
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import Bm25Query, DenseQuery, Hit, IndexSpec, VectorStore

PRINCIPAL = Principal()
DEPTH = 50
Search = Callable[[str], Awaitable[list[str]]]


class Corpus:
    """A question set's documents in an index of their own; it is its own record of what is live."""

    def __init__(self, given: QuestionSet, embedder: Embedder, store: VectorStore) -> None:
        self._given = given
        self._embedder = embedder
        self._store = store
        self._documents = {d.id: d for d in (_document(given.name, passage) for passage in given.corpus)}
        self._texts = dict(zip(self._documents, (passage.text for passage in given.corpus), strict=True))
        self._names = {d.id: d.uri for d in self._documents.values()}

    async def index(self) -> int:
        """Split, embed and index everything; the number of chunks."""
        await self._store.create(
            self._given.name, IndexSpec(dimension=self._embedder.dimension, language=self._given.language)
        )
        pairs: list[IndexedPassage] = []
        for passage, document in zip(self._given.corpus, self._documents.values(), strict=True):
            parsed = _Parsed(passage.text)
            title = fit_title(document.title, self._embedder)
            pairs += [(document, chunk) for chunk in split(parsed, title, self._embedder)]
        await self._store.upsert(self._given.name, await index_passages(self._embedder, pairs))
        return len(pairs)

    async def collection(self, tenant: str, name: str) -> Collection:
        return Collection(
            tenant=tenant,
            name=name,
            embedder=self._embedder.name,
            dimension=self._embedder.dimension,
            language=self._given.language,
            index=name,
        )

    async def active(self, tenant: str, collection: str, document_ids: Sequence[str]) -> Mapping[str, ActiveDocument]:
        del tenant, collection
        return {key: ActiveDocument(self._documents[key].version, self._documents[key].acl) for key in document_ids}

    async def excerpt(self, tenant: str, document_id: str, version: str, start: int, end: int) -> str | None:
        del tenant, version
        return self._texts[document_id][start:end]

    def methods(self) -> dict[str, Search]:
        """The ways to search, by name; the last is the product's."""
        retriever = Retriever(embedder=self._embedder, store=self._store, record=self)

        async def ours(question: str) -> list[str]:
            found = await retriever.search(question, principal=PRINCIPAL, collection=self._given.name, limit=DEPTH)
            return self._distinct(source.document_id for source in found)

        return {
            "BM25": lambda question: self._fused(question, lambda _, words: words),
            "dense": lambda question: self._fused(question, lambda dense, _: dense),
            "RRF(60)": lambda question: self._fused(question, lambda *legs: reciprocal_rank(legs)),
            "DBSF": lambda question: self._fused(question, lambda *legs: distribution_based(legs)),
            "min-max": lambda question: self._fused(question, lambda *legs: weighted_sum(legs, (0.5, 0.5))),
            "Cairn": ours,
        }

    async def _fused(self, question: str, fuse: Callable[[Leg, Leg], Leg]) -> list[str]:
        (vector,) = await self._embedder.embed([question])
        queries = (DenseQuery(vector=vector, limit=DEPTH), Bm25Query(text=lexical(question), limit=DEPTH))
        where = scope(PRINCIPAL, None)
        hits = await self._store.search(self._given.name, queries, where)
        found: dict[str, Hit] = {hit.id: hit for leg in hits for hit in leg}
        dense, words = ({hit.id: hit.score for hit in leg} for leg in hits)
        return self._distinct(found[key].payload["document_id"] for key in ranked(fuse(dense, words)))

    def _distinct(self, found: Iterable[str]) -> list[str]:
        return [self._names[key] for key in dict.fromkeys(found)]


class _Parsed:
    """A text without pages."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.page_starts: Sequence[int] = ()


def _document(collection: str, passage: Passage) -> Document:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    return Document(
        id=document_id(PRINCIPAL.tenant, collection, passage.id),
        tenant=PRINCIPAL.tenant,
        collection=collection,
        uri=passage.id,
        title=passage.title,
        media_type="text/plain",
        version=sha256(passage.text.encode()).hexdigest(),
        acl=("public",),
        metadata={},
        trust="untrusted",
        size=len(passage.text),
        chunk_count=0,
        created_at=moment,
        updated_at=moment,
    )


async def measure(given: QuestionSet, embedder: Embedder, store: VectorStore) -> dict[str, object]:
    """A set's scores by method and metric, with the median milliseconds of a search."""
    corpus = Corpus(given, embedder, store)
    chunks = await corpus.index()
    await embedder.embed([question.text for question in given.questions])
    results: dict[str, dict[str, float]] = {}
    for name, search in corpus.methods().items():
        rankings: list[list[str]] = []
        seconds: list[float] = []
        for question in given.questions:
            started = time.perf_counter()
            rankings.append(await search(question.text))
            seconds.append(time.perf_counter() - started)
        judged = list(zip(rankings, given.questions, strict=True))
        results[name] = {
            metric: sum(METRICS[metric](ranking, question.relevant) for ranking, question in judged) / len(judged)
            for metric in given.metrics
        } | {"ms": 1000 * sorted(seconds)[len(seconds) // 2]}
    return {
        "set": given.name,
        "documents": len(given.corpus),
        "chunks": chunks,
        "questions": len(given.questions),
        "metrics": list(given.metrics),
        "results": results,
    }


def table(measured: Mapping[str, object]) -> str:
    """One set as rows of a table, and what beats the product there."""
    results: Mapping[str, Mapping[str, float]] = measured["results"]  # type: ignore[assignment]
    metrics: list[str] = measured["metrics"]  # type: ignore[assignment]
    lines = [
        "\n{set}: {documents} documents, {chunks} chunks, {questions} questions".format(**measured),
        f"{'':10}" + "".join(f"{metric:>11}" for metric in (*metrics, "ms")),
    ]
    for name, scores in results.items():
        lines.append(f"{name:10}" + "".join(f"{scores[m]:>11.3f}" for m in metrics) + f"{scores['ms']:>11.1f}")
    for metric in metrics:
        ahead = [name for name, scores in results.items() if scores[metric] > results["Cairn"][metric]]
        if ahead:
            lines.append(f"  not beaten on {metric}: {', '.join(ahead)}")
    return "\n".join(lines)


async def main() -> None:
    arguments = _arguments()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    database = await Database.open(f"sqlite+aiosqlite:///{arguments.cache / 'evals.db'}")
    model = await open_embedder(DEFAULT_EMBEDDER, arguments.cache, threads=arguments.threads)
    embedder = CachedEmbedder(model, database)
    measured: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        store = await EdgeStore.open(Path(folder))
        try:
            for given in load_sets(arguments.data):
                if not arguments.only or given.name in arguments.only:
                    measured.append(await measure(given, embedder, store))
                    if not arguments.json:
                        print(table(measured[-1]), flush=True)
        finally:
            await store.aclose()
            await embedder.aclose()
            await database.aclose()
    if arguments.json:
        print(json.dumps(measured, ensure_ascii=False, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of sets")
    parser.add_argument("--cache", type=Path, default=Path(".cairn/evals"), help="embeddings, kept between runs")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
