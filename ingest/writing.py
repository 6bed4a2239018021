"""From chunks to the index and the record: embedded and written in batches across documents."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from ingest.preparing import Prepared
from ingest.summary import Outcome, Tally
from records.disk import DISK_FULL, disk_full
from retrieval.active import Collection
from retrieval.changes import ChangeConflict, Changes
from retrieval.documents import Chunk
from retrieval.embedding.port import Embedder
from retrieval.indexing import index_passages
from retrieval.vectors.port import Point, VectorStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of a document's chunks; a long document is written in several batches."""

    document: Prepared
    chunks: Sequence[Chunk]
    last: bool


@dataclass(frozen=True, slots=True)
class Embedded:
    """Parts with their points."""

    parts: list[tuple[Part, list[Point]]]


def parts_of(documents: Iterable[Prepared], batch: int) -> Iterator[list[Part]]:
    """The documents' chunks in order, in batches of at most ``batch``."""
    parts: list[Part] = []
    room = batch
    for document in documents:
        start = 0
        while start < len(document.chunks):
            chunks = document.chunks[start : start + room]
            start += len(chunks)
            room -= len(chunks)
            parts.append(Part(document, chunks, last=start == len(document.chunks)))
            if room == 0:
                yield parts
                parts, room = [], batch
    if parts:
        yield parts


class Writer:
    """Embeds, writes and commits batches. What a batch cannot do together its documents try one by one."""

    def __init__(
        self, store: VectorStore, changes: Changes, embedder: Embedder, collection: Collection, tally: Tally
    ) -> None:
        self._store = store
        self._changes = changes
        self._embedder = embedder
        self._collection = collection
        self._tally = tally
        self._begun: set[Prepared] = set()

    async def embed(self, parts: Sequence[Part]) -> Embedded:
        """The parts with their points; those that cannot be embedded are counted and left out."""
        done: list[tuple[Part, list[Point]]] = []

        async def embed(some: Sequence[Part]) -> None:
            passages = [(part.document.version.document, chunk) for part in some for chunk in part.chunks]
            points = iter(await index_passages(self._embedder, passages))
            done.extend((part, [next(points) for _ in part.chunks]) for part in some)

        await self._together(embed, [part for part in parts if not part.document.failed])
        return Embedded(done)

    async def write(self, embedded: Embedded) -> None:
        """Write the points, and commit the documents of which these were the last."""
        points = dict(embedded.parts)
        parts = list(points)

        async def begin(some: Sequence[Part]) -> None:
            new = [part.document for part in some if not part.document.receipt]
            receipts = await self._changes.begin(self._collection.index, [each.version.document for each in new])
            for document, receipt in zip(new, receipts, strict=True):
                document.receipt = receipt
                self._begun.add(document)

        async def upsert(some: Sequence[Part]) -> None:
            await self._store.upsert(self._collection.index, [point for part in some for point in points[part]])

        async def commit(some: Sequence[Part]) -> None:
            versions = [(part.document.receipt, part.document.version) for part in some]
            await self._changes.commit(self._collection, versions)
            for part in some:
                self._begun.discard(part.document)
                self._tally.done(*_outcome(part.document))

        await self._together(begin, [part for part in parts if not part.document.failed])
        await self._together(upsert, [part for part in parts if not part.document.failed])
        await self._together(commit, [part for part in parts if part.last and not part.document.failed])
        await self._changes.clean()

    def give_up(self) -> None:
        """Leave what was begun and not committed to the next clean-up."""
        self._changes.give_up(document.receipt for document in self._begun)
        self._begun.clear()

    async def _together(self, work: Callable[[Sequence[Part]], Awaitable[None]], parts: Sequence[Part]) -> None:
        """Do the work for all parts at once or, when that fails, for each alone: only the culprits fail."""
        if not parts:
            return
        try:
            await work(parts)
        except Exception as error:  # noqa: BLE001 - whatever it is, only the documents it concerns may fail
            if len(parts) == 1:
                self._fail(parts[0].document, error)
                return
            for part in parts:
                if not part.document.failed:
                    await self._together(work, [part])

    def _fail(self, document: Prepared, error: Exception) -> None:
        document.failed = True
        self._begun.discard(document)
        self._changes.give_up([document.receipt])
        if isinstance(error, ChangeConflict):
            self._tally.failed(document.task.item.uri, "conflict", str(error))
            return
        _log.warning("writing %s failed", document.task.item.uri, exc_info=error)
        if disk_full(error):
            self._tally.failed(document.task.item.uri, "disk_full", DISK_FULL)
            return
        reason = str(error.orig) if isinstance(error, DBAPIError) else str(error) or type(error).__name__
        self._tally.failed(document.task.item.uri, "not_written", reason)


def _outcome(document: Prepared) -> tuple[str, Outcome, int]:
    return document.task.item.uri, "added" if document.task.new else "changed", len(document.chunks)
