"""The embedded vector store: Qdrant Edge in an owner process, searched exactly."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retrieval.errors import CollectionNotFound, RetrievalError, StoreUnavailable
from retrieval.passages import Ranked
from retrieval.searching import Found, Question
from retrieval.vectors.edge_link import OwnerLink
from retrieval.vectors.layout import DELETED_AT_ONCE
from retrieval.vectors.points import Batch, check_index_name, checked_points, checked_vector, read_point
from retrieval.vectors.port import BM25, DENSE, Bm25Query, DenseQuery, Hit, IndexSpec, Point

if TYPE_CHECKING:
    from qdrant_client.models import Filter

_log = logging.getLogger(__name__)

_RESTARTS = 5
_RESTART_WINDOW = 60.0


class EdgeStore:
    """A ``VectorStore`` in a folder of this machine, owned by one process at a time.

    The owner is started by ``open`` and again by the first call after it died, at most five times a minute. It ends
    with this process, on Linux even when that is killed.
    """

    def __init__(self, root: Path, *, lock_wait: float = 5.0) -> None:
        self._root = root
        self._lock_wait = lock_wait
        self._link: OwnerLink | None = None
        self._starting = asyncio.Lock()
        self._starts: deque[float] = deque(maxlen=_RESTARTS)
        self._specs: dict[str, IndexSpec] = {}
        self._fields: dict[str, set[str]] = {}
        self._closed = False

    @classmethod
    async def open(cls, root: Path, *, lock_wait: float = 5.0) -> EdgeStore:
        """The store in ``root``, which is made when it is not there.

        Args:
            root: Folder with a folder for each index.
            lock_wait: Seconds to wait for another owner to end.

        Raises:
            StoreLocked: Another process that is alive holds the folder.
            StoreUnavailable: The owner process did not start.
        """
        store = cls(root, lock_wait=lock_wait)
        await store._owner()
        return store

    @property
    def owner_pid(self) -> int | None:
        """Process id of the owner, for diagnostics."""
        return self._link.pid if self._link else None

    async def create(self, index: str, spec: IndexSpec) -> None:
        check_index_name(index)
        await self._call("create", index, spec.dimension, spec.language)
        self._specs.setdefault(index, spec)
        if self._specs[index] != spec:
            raise RetrievalError(f"Index {index!r} is there already, with {self._specs[index]} and not {spec}")

    async def indexes(self) -> list[str]:
        await self._owner()
        return sorted(self._specs)

    async def spec(self, index: str) -> IndexSpec:
        await self._owner()
        try:
            return self._specs[index]
        except KeyError:
            raise CollectionNotFound(f"There is no index {index!r} in the store") from None

    async def drop(self, index: str) -> None:
        await self._call("drop", index)
        self._specs.pop(index, None)
        self._fields.pop(index, None)

    async def upsert(self, index: str, points: Sequence[Point]) -> None:
        batch = await checked_points(await self.spec(index), points)
        if not points:
            return
        owner = await self._owner()  # One for the whole write: only the process that wrote can flush it.
        await self._index_fields(owner, index, batch)
        for part in batch.split():
            await owner.call("upsert", index, part.ids, part.vectors.tobytes(), part.texts, part.payloads)
        await owner.call("flush", index)

    async def delete(self, index: str, where: Filter) -> None:
        owner, condition = await self._owner(), _plain(where)
        while await owner.call("delete", index, condition, DELETED_AT_ONCE):
            pass
        await owner.call("flush", index)

    async def compact(self, index: str) -> None:
        """Give back what deleted points took, on disk, in search time and in BM25's statistics.

        For maintenance: searches wait until it is done, about 7 s for 100,000 points.
        """
        await self._call("compact", index)

    async def search(
        self, index: str, queries: Sequence[DenseQuery | Bm25Query], where: Filter, *, payloads: bool = True
    ) -> list[list[Hit]]:
        spec = await self.spec(index)
        legs = [_leg(spec, query) for query in queries]
        if payloads:
            found, read = await self._call("search_whole", index, legs, _plain(where))
            return [[Hit(id=key, score=score, payload=read[key]) for key, score in hits] for hits in found]
        found = await self._call("search", index, legs, _plain(where))
        return [[Hit(id=key, score=score, payload={}) for key, score in hits] for hits in found]

    async def find(self, index: str, question: Question, where: Filter) -> Found:
        spec = await self.spec(index)
        vectors = [checked_vector(spec, vector).tobytes() for vector in question.vectors]
        fields = {name: getattr(question, name) for name in Question.__slots__} | {"vectors": vectors}
        chunks, versions = await self._call("find", index, fields, _plain(where))
        return Found([Ranked(*chunk) for chunk in chunks], set(versions))

    async def payloads(self, index: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return cast("dict[str, Mapping[str, Any]]", await self._call("payloads", index, list(ids)))

    async def near(self, index: str, ids: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
        return dict(await self._call("near", index, list(ids), dict(weights)))

    async def scroll(
        self, index: str, where: Filter | None, limit: int, after: str | None = None
    ) -> tuple[list[Point], str | None]:
        page, following = await self._call("scroll", index, where and _plain(where), limit, after)
        points = [read_point(point_id, array("f", vector).tolist(), payload) for point_id, vector, payload in page]
        return points, following

    async def count(self, index: str, where: Filter | None = None) -> int:
        return int(await self._call("count", index, where and _plain(where)))

    async def ping(self) -> None:
        await self._call("ping")

    async def aclose(self) -> None:
        self._closed = True
        async with self._starting:
            link, self._link = self._link, None
        if link:
            await link.stop()

    async def _index_fields(self, owner: OwnerLink, index: str, batch: Batch) -> None:
        known = self._fields.setdefault(index, set())
        if batch.fields.keys() - known:
            await owner.call("index_fields", index, batch.fields)
            known.update(batch.fields)

    async def _call(self, operation: str, *arguments: Any) -> Any:
        return await (await self._owner()).call(operation, *arguments)

    async def _owner(self) -> OwnerLink:
        if self._link and not self._link.lost:
            return self._link
        async with self._starting:
            if self._closed:
                raise StoreUnavailable("The embedded store has been closed")
            if self._link is None or self._link.lost:
                self._count_start()
                if self._link:
                    _log.warning("The process of the embedded store ended (pid %d); starting another", self._link.pid)
                    await self._link.kill()
                self._link, specs = await OwnerLink.start(self._root, self._lock_wait)
                self._specs = {index: IndexSpec(**spec) for index, spec in specs.items()}
            return self._link

    def _count_start(self) -> None:
        now = time.monotonic()
        if len(self._starts) == _RESTARTS and now - self._starts[0] < _RESTART_WINDOW:
            raise StoreUnavailable(
                f"The process of the embedded store died {_RESTARTS} times within a minute; see its messages in the log"
            )
        self._starts.append(now)


def _plain(where: Filter) -> dict[str, Any]:
    return where.model_dump(mode="json", by_alias=True, exclude_none=True)


def _leg(spec: IndexSpec, query: DenseQuery | Bm25Query) -> tuple[str, bytes | str, int]:
    if isinstance(query, Bm25Query):
        return BM25, query.text, query.limit
    return DENSE, checked_vector(spec, query.vector).tobytes(), query.limit
