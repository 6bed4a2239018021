"""Qdrant Edge shards in a folder, one an index: what the owner process does with the engine. Everything here blocks."""

from __future__ import annotations

import os
import shutil
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as edge

from retrieval.errors import CollectionNotFound
from retrieval.vectors.bm25 import Bm25Models
from retrieval.vectors.edge_filters import to_edge
from retrieval.vectors.layout import KEYWORD_FIELDS, METADATA_FIELDS, TEXT_FIELD, FieldKind
from retrieval.vectors.port import BM25, DENSE

EXACT_BELOW = 150_000
"""Vectors up to which every search is exact: it takes 10 ms at 100,000 and misses nothing."""

_FIELD_TYPES = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
}
_SPEC = "spec.json"
_UNFINISHED = "."


class Shards:
    """The indexes in a folder: ``<root>/<index>/`` holds a shard and, beside it, its ``spec.json``.

    An index comes and goes in one rename, so that a folder found after a crash is whole or starts with a dot.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        for leftover in root.glob(f"{_UNFINISHED}*/"):
            shutil.rmtree(leftover)
        found = {path.parent.name: orjson.loads(path.read_bytes()) for path in root.glob(f"*/{_SPEC}")}
        self._specs: dict[str, dict[str, Any]] = found
        self._open: dict[str, Any] = {}
        self._closed = deque(sorted(self._specs))
        self._bm25 = Bm25Models()

    def specs(self) -> dict[str, dict[str, Any]]:
        """Dimension and language of each index."""
        return self._specs

    def load_next(self) -> bool:
        """Open an index that nobody has asked for yet; False when all are open."""
        while self._closed:
            index = self._closed.popleft()
            if index in self._specs and index not in self._open:
                self._shard(index)
                return True
        return False

    def create(self, index: str, dimension: int, language: str) -> None:
        if index in self._specs:
            return
        self._bm25.get(language)
        building = self._root / f"{_UNFINISHED}new-{index}"
        shutil.rmtree(building, ignore_errors=True)
        (building / "shard").mkdir(parents=True)
        shard = edge.EdgeShard.create(str(building / "shard"), _config(dimension))
        shard.flush()
        shard.close()
        spec = {"dimension": dimension, "language": language}
        _write_durably(building / _SPEC, orjson.dumps(spec))
        building.rename(self._root / index)
        self._specs[index] = spec

    def drop(self, index: str) -> None:
        if index not in self._specs:
            return
        if shard := self._open.pop(index, None):
            shard.close()
        del self._specs[index]
        doomed = self._root / f"{_UNFINISHED}old-{index}"
        shutil.rmtree(doomed, ignore_errors=True)
        (self._root / index).rename(doomed)
        shutil.rmtree(doomed)

    def upsert(self, index: str, ids: list[str], vectors: bytes, texts: list[str], payloads: list[bytes]) -> None:
        """Write one batch of points that were checked before; durable after ``flush``."""
        spec = self._spec(index)
        dimension, model = spec["dimension"], self._bm25.get(spec["language"])
        floats = array("f", vectors)
        rows = (floats[start : start + dimension].tolist() for start in range(0, len(floats), dimension))
        points = [
            edge.Point(point_id, {DENSE: row, BM25: model.embed_document(text)}, orjson.loads(payload))
            for point_id, row, text, payload in zip(ids, rows, texts, payloads, strict=True)
        ]
        self._update(index, edge.UpdateOperation.upsert_points(points))

    def index_fields(self, index: str, fields: dict[str, FieldKind]) -> None:
        """See that the fields have payload indexes; those of metadata as far as there is room."""
        known = self._shard(index).info().payload_schema
        room = len(KEYWORD_FIELDS) + METADATA_FIELDS - len(known)
        missing = [(field, kind) for field, kind in fields.items() if field not in known]
        for field, kind in missing[:room]:
            self._update(index, edge.UpdateOperation.create_field_index(field, _FIELD_TYPES[kind]))

    def delete(self, index: str, where: dict[str, Any], limit: int) -> bool:
        """Delete up to ``limit`` of the points that match; whether there may be more. Durable after ``flush``."""
        matching = edge.ScrollRequest(limit=limit, filter=to_edge(where), with_payload=False, with_vector=False)
        records, following = self._shard(index).scroll(matching)
        if records:
            self._update(index, edge.UpdateOperation.delete_points([each.id for each in records]))
        return following is not None

    def compact(self, index: str) -> None:
        """Give back what deleted points took; searches wait meanwhile (7 s for 100,000 points on two cores)."""
        self._write(index, lambda shard: shard.optimize())
        self.flush(index)

    def flush(self, index: str) -> None:
        self._write(index, lambda shard: shard.flush())

    def search(
        self, index: str, queries: Sequence[tuple[str, Any, int]], where: Mapping[str, Any]
    ) -> list[list[tuple[str, float]]]:
        """The hits of each ``(leg, vector or text, limit)``, as ``(id, score)``; a vector may be its bytes."""
        shard, condition = self._shard(index), to_edge(where)
        requests = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(self._query(index, leg, value), using=leg),
                filter=condition,
            )
            for leg, value, limit in queries
        ]
        found = shard.query_batch(edge.QueryBatchRequest(requests))
        return [[(str(hit.id), hit.score) for hit in hits] for hits in found]

    def search_whole(
        self, index: str, queries: list[tuple[str, Any, int]], where: dict[str, Any]
    ) -> tuple[list[list[tuple[str, float]]], dict[str, dict[str, Any]]]:
        """The same, and the payloads of all that was found: read afterwards they take a quarter of the time."""
        found = self.search(index, queries, where)
        return found, self.payloads(index, list({key: None for hits in found for key, _ in hits}))

    def payloads(self, index: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The payloads of those of the points that are there."""
        records = self._shard(index).retrieve(list(ids), with_payload=True, with_vector=False)
        return {str(each.id): _shown(each.payload) for each in records}

    def near(self, index: str, ids: Sequence[str], weights: Mapping[str, float]) -> list[tuple[str, float]]:
        """Each point's cosine with the weighted sum of the vectors of ``weights``, as ``(id, score)``."""
        shard = self._shard(index)
        records = shard.retrieve(list(weights), with_payload=False, with_vector=[DENSE])
        if len(records) < len(weights):
            return []
        middle = [0.0] * self._spec(index)["dimension"]
        for each in records:
            weight = weights[str(each.id)]
            middle = [total + weight * value for total, value in zip(middle, each.vector[DENSE], strict=True)]
        request = edge.QueryRequest(
            limit=len(ids),
            query=edge.Query.Nearest(middle, using=DENSE),
            filter=edge.Filter(must=[edge.HasIdCondition(set(ids))]),
        )
        return [(str(hit.id), hit.score) for hit in shard.query(request)]

    def scroll(
        self, index: str, where: dict[str, Any] | None, limit: int, after: str | None
    ) -> tuple[list[tuple[str, bytes, dict[str, Any]]], str | None]:
        """A page of ``(id, vector bytes, payload)`` and the id that the next page starts with."""
        request = edge.ScrollRequest(
            offset=after, limit=limit, filter=_optional(where), with_payload=True, with_vector=[DENSE]
        )
        records, following = self._shard(index).scroll(request)
        page = [(str(each.id), _vector(each), each.payload or {}) for each in records]
        return page, None if following is None else str(following)

    def count(self, index: str, where: dict[str, Any] | None) -> int:
        return int(self._shard(index).count(edge.CountRequest(filter=_optional(where), exact=True)))

    def close(self) -> None:
        """Flush and close every shard."""
        while self._open:
            _, shard = self._open.popitem()
            shard.flush()
            shard.close()

    def _update(self, index: str, operation: Any) -> None:
        self._write(index, lambda shard: shard.update(operation))

    def _write(self, index: str, action: Callable[[Any], None]) -> None:
        """Do to a shard what may be done twice.

        A shard that failed to write, on a full disk say, fails until it is opened anew, and once more when it was
        opened while the disk was full.
        """
        for attempts_left in (1, 0):
            try:
                action(self._shard(index))
            except Exception:
                with suppress(Exception):
                    self._open.pop(index).close()
                if not attempts_left:
                    raise
            else:
                return

    def _spec(self, index: str) -> dict[str, Any]:
        try:
            return self._specs[index]
        except KeyError:
            raise CollectionNotFound(f"There is no index {index!r} in the store") from None

    def _shard(self, index: str) -> Any:
        self._spec(index)
        if index not in self._open:
            self._open[index] = edge.EdgeShard.load(str(self._root / index / "shard"))
        return self._open[index]

    def _query(self, index: str, leg: str, value: Any) -> Any:
        if leg == BM25:
            return self._bm25.get(self._spec(index)["language"]).embed_query(value)
        return array("f", value).tolist()


def _shown(payload: dict[str, Any] | None) -> dict[str, Any]:
    """The payload without the text kept for the store; asking the engine to leave it out takes 0.15 ms longer."""
    if payload is None:
        return {}
    payload.pop(TEXT_FIELD, None)
    return payload


def _vector(point: Any) -> bytes:
    return array("f", point.vector[DENSE]).tobytes()


def _optional(where: dict[str, Any] | None) -> Any:
    return None if where is None else to_edge(where)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _config(dimension: int) -> Any:
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(dimension, edge.Distance.Cosine)},
        sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        optimizers=edge.EdgeOptimizersConfig(
            default_segment_number=1, indexing_threshold=EXACT_BELOW * dimension * 4 // 1024
        ),
    )
