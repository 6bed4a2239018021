"""Ingestion against the embedder alone, on the same chunks in the same run, and its memory over many files.

    python -m bench.ingestion [--files 400] [--rounds 3] [--threads 2] [--json]

Each round ingests files that were not seen before into a store of its own, once through the whole pipeline (hash,
parse, split, embed, write, commit), and embeds the same chunks once with the embedder alone; which goes first
alternates. `--files 10000 --rounds 1 --memory` shows the memory over a large corpus in minutes, with hashing in the
embedder's place: of this process, and of the index's owner and the parser, its children.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ingest.options import IngestOptions
from ingest.parsing import ParsedDocument
from ingest.parsing.sandbox import Parser
from ingest.pipeline import Ingestor
from ingest.sources import read_paths
from ingest.splitting import fit_title, split
from ingest.summary import Progress
from records.database import Database
from records.ids import now
from records.principal import Principal
from retrieval.catalog import Catalog
from retrieval.documents import Document
from retrieval.embedding.factory import DEFAULT_EMBEDDER, open_embedder
from retrieval.embedding.port import Embedder
from retrieval.indexing import searchable_text
from retrieval.vectors.edge import EdgeStore
from tests.support.embedder import HashEmbedder

_BATCH = 128


def write_corpus(folder: Path, files: int, seed: int) -> None:
    """Markdown files of about 500 words under headings, no sentence twice."""
    words = _vocabulary()
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    for number in range(files):
        lines = [f"# {draw.choice(words).title()} {seed}-{number}"]
        for _ in range(draw.randint(2, 5)):
            lines += ["", f"## {' '.join(draw.choices(words, k=3)).capitalize()}", ""]
            sentences = [" ".join(draw.choices(words, k=draw.randint(6, 20))) for _ in range(draw.randint(5, 12))]
            lines.append(" ".join(f"{sentence.capitalize()}." for sentence in sentences))
        (folder / f"{number:05}.md").write_text("\n".join(lines) + "\n")


def _vocabulary() -> list[str]:
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "on", "us")]
    draw = random.Random(0)
    return ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(4000)]


@dataclass
class Memory:
    """Resident MiB of this process, and of its children, after every so many documents."""

    every: int
    samples: list[tuple[int, int, int]] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        if progress.done % self.every == 0:
            this = psutil.Process()
            own, others = ([p.memory_info().rss for p in some] for some in ([this], this.children(recursive=True)))
            self.samples.append((progress.done, sum(own) >> 20, sum(others) >> 20))


@dataclass(frozen=True)
class Cost:
    """Wall and processor seconds, of this process and its children, for a number of chunks."""

    chunks: int
    seconds: float
    cpu_seconds: float

    @classmethod
    def now(cls) -> "Cost":
        """The clocks as they stand."""
        this = psutil.Process()
        times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
        return cls(0, time.perf_counter(), sum(each.user + each.system for each in times))

    def until_now(self, chunks: int) -> "Cost":
        """What was spent on these chunks since."""
        end = Cost.now()
        return Cost(chunks, end.seconds - self.seconds, end.cpu_seconds - self.cpu_seconds)


async def through_pipeline(folder: Path, data: Path, embedder: Embedder, memory: Memory) -> Cost:
    """What the whole pipeline costs, once its processes are up."""
    database = await Database.open(f"sqlite+aiosqlite:///{data / 'cairn.db'}")
    store = await EdgeStore.open(data / "vectors")
    try:
        async with Parser(processes=1) as parser:
            await parser.parse(b"# Warm up\n\nOnce.\n", name="warm.md")
            ingestor = Ingestor(Catalog(database), store, embedder, parser, parsing=1)
            options = IngestOptions(principal=Principal())
            before = Cost.now()
            summary = await ingestor.ingest(read_paths([str(folder)]), options, memory)
            cost = before.until_now(summary.chunks)
    finally:
        await store.aclose()
        await database.aclose()
    if summary.failed:
        raise SystemExit(f"failed: {summary.failed[0]}")
    return cost


def chunk_texts(folder: Path, embedder: Embedder) -> list[str]:
    """What the pipeline embeds for the files."""
    texts: list[str] = []
    for path in sorted(folder.iterdir()):
        text = path.read_text()
        parsed = ParsedDocument(text=text, title=None, media_type="text/markdown", page_starts=(), parser="none")
        title = fit_title(text.partition("\n")[0].lstrip("# "), embedder)
        document = _document(path.as_uri(), title)
        texts += [searchable_text(document, chunk) for chunk in split(parsed, title, embedder)]
    return texts


def _document(uri: str, title: str) -> Document:
    return Document(
        id=uri,
        tenant="default",
        collection="default",
        uri=uri,
        title=title,
        media_type="text/markdown",
        version="",
        acl=("public",),
        metadata={},
        trust="trusted",
        size=0,
        chunk_count=0,
        created_at=now(),
        updated_at=now(),
    )


async def alone(folder: Path, embedder: Embedder) -> Cost:
    """What it costs the embedder to embed the same chunks, in batches of the same size."""
    texts = chunk_texts(folder, embedder)
    before = Cost.now()
    for start in range(0, len(texts), _BATCH):
        await embedder.embed(texts[start : start + _BATCH])
    return before.until_now(len(texts))


async def bench(arguments: argparse.Namespace) -> dict[str, object]:
    embedder: Embedder
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.memory:
            embedder = HashEmbedder(dimension=384, window=256)
        else:
            embedder = await open_embedder(DEFAULT_EMBEDDER, Path(scratch) / "models", arguments.threads)
        await embedder.embed(["warm up"] * 32)
        memory = Memory(max(1, arguments.files // 10))
        rounds: list[tuple[Cost, Cost]] = []
        for number in range(arguments.rounds):
            corpus, data = Path(scratch) / f"corpus-{number}", Path(scratch) / f"data-{number}"
            write_corpus(corpus, arguments.files, seed=number)
            data.mkdir()
            if arguments.memory:
                bare = whole = await through_pipeline(corpus, data, embedder, memory)
            elif number % 2:
                whole, bare = await through_pipeline(corpus, data, embedder, memory), await alone(corpus, embedder)
            else:
                bare, whole = await alone(corpus, embedder), await through_pipeline(corpus, data, embedder, memory)
            rounds.append((whole, bare))
        await embedder.aclose()
    if arguments.memory:
        return {"files": arguments.files, "chunks": rounds[0][0].chunks, "memory_mib": memory.samples}
    median = statistics.median
    return {
        "files": arguments.files,
        "chunks": rounds[0][0].chunks,
        "embedder_chunks_per_second": round(median(bare.chunks / bare.seconds for _, bare in rounds), 1),
        "pipeline_chunks_per_second": round(median(whole.chunks / whole.seconds for whole, _ in rounds), 1),
        "share_of_embedder": round(median(bare.seconds / whole.seconds for whole, bare in rounds), 3),
        "shares": [round(bare.seconds / whole.seconds, 3) for whole, bare in rounds],
        # Says the same of a machine that does other things meanwhile.
        "share_by_cpu_time": round(median(bare.cpu_seconds / whole.cpu_seconds for whole, bare in rounds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="show memory only, hashing instead of embedding")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(bench(arguments))
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
