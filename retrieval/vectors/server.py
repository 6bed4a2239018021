"""Vectors on a Qdrant server, through its own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import numpy as np
import orjson

from retrieval.errors import CollectionNotFound, RetrievalError, StoreUnavailable
from retrieval.searching import Found, Question, Search
from retrieval.vectors.bm25 import Bm25Models
from retrieval.vectors.filtered import FilteredPoints
from retrieval.vectors.layout import KEYWORD_FIELDS, METADATA_FIELDS, TEXT_FIELD, FieldKind
from retrieval.vectors.points import Batch, check_index_name, checked_points, checked_vector, read_point
from retrieval.vectors.port import BM25, DENSE, Bm25Query, DenseQuery, Hit, IndexSpec, Point

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient
    from qdrant_client.models import Filter, PointStruct, QueryRequest, Record, ScoredPoint, SparseVector

_NOT_FOUND, _CONFLICT, _SERVER_ERROR = 404, 409, 500


class QdrantServerStore:
    """A ``VectorStore`` whose indexes are collections of a Qdrant server.

    Their names start with ``prefix``, and each keeps its spec in the collection's metadata, so that a server may be
    shared. BM25 weights come from the same engine as in the embedded store, so both rank alike.
    """

    def __init__(self, client: AsyncQdrantClient, *, prefix: str = "cairn-", name: str = "The Qdrant server") -> None:
        self._client = client
        self._server = name
        self._prefix = prefix
        self._specs: dict[str, IndexSpec] = {}
        self._fields: dict[str, set[str]] = {}
        self._bm25 = Bm25Models()

    @classmethod
    def connect(
        cls, url: str, api_key: str | None = None, *, connections: int = 32, timeout: int = 30
    ) -> QdrantServerStore:
        """A store over one client with at most ``connections`` connections; none is opened yet.

        Args:
            url: Address of the server's REST interface.
            api_key: Sent with every request.
            connections: Pool size; further requests wait.
            timeout: Seconds for one request.
        """
        from qdrant_client import AsyncQdrantClient

        client = AsyncQdrantClient(
            url=url, api_key=api_key, timeout=timeout, pool_size=connections, check_compatibility=False
        )
        # Whoever put a password into the address does not want it in a log.
        shown = urlsplit(url)
        shown = shown._replace(netloc=shown.netloc.rpartition("@")[2])
        return cls(client, name=f"The Qdrant server at {shown.geturl()}")

    async def create(self, index: str, spec: IndexSpec) -> None:
        self._bm25.get(spec.language)
        if index not in self._specs:
            async with self._translated(index):
                if not await self._client.collection_exists(self._name(index)):
                    await self._create(index, spec)
        if (there := await self.spec(index)) != spec:
            raise RetrievalError(f"Index {index!r} is there already, with {there} and not {spec}")

    async def indexes(self) -> list[str]:
        async with self._translated():
            listed = await self._client.get_collections()
        names = (each.name for each in listed.collections)
        return sorted(name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix))

    async def spec(self, index: str) -> IndexSpec:
        if index not in self._specs:
            async with self._translated(index):
                if not await self._client.collection_exists(self._name(index)):
                    raise _missing(index)
                metadata = (await self._client.get_collection(self._name(index))).config.metadata or {}
            try:
                self._specs[index] = IndexSpec(dimension=metadata["dimension"], language=metadata["language"])
            except KeyError as error:
                raise RetrievalError(f"Collection {self._name(index)!r} was not made by this service") from error
        return self._specs[index]

    async def drop(self, index: str) -> None:
        self._specs.pop(index, None)
        self._fields.pop(index, None)
        async with self._translated(index):
            await self._client.delete_collection(self._name(index))

    async def upsert(self, index: str, points: Sequence[Point]) -> None:
        spec = await self.spec(index)
        batch = await checked_points(spec, points)
        if not points:
            return
        await self._index_fields(index, batch.fields)
        for part in batch.split():
            structs = await asyncio.to_thread(self._structs, spec, part)
            async with self._translated(index):
                await self._client.upsert(self._name(index), structs, wait=True)

    async def delete(self, index: str, where: Filter) -> None:
        from qdrant_client.models import FilterSelector

        await self.spec(index)
        async with self._translated(index):
            await self._client.delete(self._name(index), FilterSelector(filter=where), wait=True)

    async def search(
        self, index: str, queries: Sequence[DenseQuery | Bm25Query], where: Filter, *, payloads: bool = True
    ) -> list[list[Hit]]:
        spec = await self.spec(index)
        if not queries:
            return []
        requests = [self._request(spec, query, where, payloads=payloads) for query in queries]
        async with self._translated(index):
            answers = await self._client.query_batch_points(self._name(index), requests)
        return [
            [Hit(id=str(point.id), score=point.score, payload=point.payload or {}) for point in answer.points]
            for answer in answers
        ]

    async def find(self, index: str, question: Question, where: Filter) -> Found:
        return await Search(question, FilteredPoints(self, index, where)).find()

    async def payloads(self, index: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        from qdrant_client.models import PayloadSelectorExclude

        await self.spec(index)
        shown = PayloadSelectorExclude(exclude=[TEXT_FIELD])
        async with self._translated(index):
            records = await self._client.retrieve(self._name(index), list(ids), with_payload=shown)
        return {str(each.id): each.payload or {} for each in records}

    async def near(self, index: str, ids: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
        from qdrant_client.models import Filter, HasIdCondition

        await self.spec(index)
        async with self._translated(index):
            records = await self._client.retrieve(
                self._name(index), list(weights), with_payload=False, with_vectors=[DENSE]
            )
            if len(records) < len(weights):
                return {}
            middle = np.array([weights[str(each.id)] for each in records]) @ np.array(
                [_dense(each) for each in records]
            )
            answer = await self._client.query_points(
                self._name(index),
                middle.tolist(),
                using=DENSE,
                query_filter=Filter(must=[HasIdCondition(has_id=list(ids))]),
                limit=len(ids),
                with_payload=False,
            )
        return {str(point.id): point.score for point in answer.points}

    async def scroll(
        self, index: str, where: Filter | None, limit: int, after: str | None = None
    ) -> tuple[list[Point], str | None]:
        await self.spec(index)
        async with self._translated(index):
            records, following = await self._client.scroll(
                self._name(index),
                scroll_filter=where,
                limit=limit,
                offset=after,
                with_payload=True,
                with_vectors=[DENSE],
            )
        page = [read_point(str(each.id), _dense(each), each.payload or {}) for each in records]
        return page, None if following is None else str(following)

    async def count(self, index: str, where: Filter | None = None) -> int:
        await self.spec(index)
        async with self._translated(index):
            return (await self._client.count(self._name(index), count_filter=where, exact=True)).count

    async def ping(self) -> None:
        async with self._translated():
            await self._client.get_collections()

    async def aclose(self) -> None:
        await self._client.close()

    async def _create(self, index: str, spec: IndexSpec) -> None:
        from qdrant_client import models
        from qdrant_client.http.exceptions import UnexpectedResponse

        try:
            await self._client.create_collection(
                self._name(index),
                vectors_config={DENSE: models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                metadata={"dimension": spec.dimension, "language": spec.language},
            )
        except UnexpectedResponse as error:
            if error.status_code != _CONFLICT:
                raise

    async def _index_fields(self, index: str, fields: dict[str, FieldKind]) -> None:
        from qdrant_client.models import PayloadSchemaType

        known = self._fields.setdefault(index, set())
        if not fields.keys() - known:
            return
        async with self._translated(index):
            there = (await self._client.get_collection(self._name(index))).payload_schema
            room = len(KEYWORD_FIELDS) + METADATA_FIELDS - len(there)
            for field in [field for field in fields if field not in there][:room]:
                await self._client.create_payload_index(self._name(index), field, PayloadSchemaType(fields[field]))
        known.update(fields)

    def _structs(self, spec: IndexSpec, batch: Batch) -> list[PointStruct]:
        from qdrant_client.models import PointStruct

        embed = self._bm25.get(spec.language).embed_document
        return [
            PointStruct(
                id=point_id, vector={DENSE: vector.tolist(), BM25: _sparse(embed(text))}, payload=orjson.loads(payload)
            )
            for point_id, vector, text, payload in zip(
                batch.ids, batch.vectors, batch.texts, batch.payloads, strict=True
            )
        ]

    def _request(
        self, spec: IndexSpec, query: DenseQuery | Bm25Query, where: Filter, *, payloads: bool
    ) -> QueryRequest:
        from qdrant_client.models import PayloadSelectorExclude, QueryRequest

        if isinstance(query, Bm25Query):
            leg, target = BM25, _sparse(self._bm25.get(spec.language).embed_query(query.text))
        else:
            leg, target = DENSE, checked_vector(spec, query.vector).tolist()
        shown = PayloadSelectorExclude(exclude=[TEXT_FIELD]) if payloads else False
        return QueryRequest(query=target, using=leg, filter=where, limit=query.limit, with_payload=shown)

    def _name(self, index: str) -> str:
        return self._prefix + check_index_name(index)

    @asynccontextmanager
    async def _translated(self, index: str | None = None) -> AsyncIterator[None]:
        """What the client raises becomes what the port promises."""
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

        try:
            yield
        except UnexpectedResponse as error:
            if error.status_code == _NOT_FOUND and index is not None:
                self._specs.pop(index, None)
                raise _missing(index) from error
            kind = StoreUnavailable if (error.status_code or 0) >= _SERVER_ERROR else RetrievalError
            raise kind(f"{self._server} refused: {error}") from error
        except (ApiException, QdrantException, OSError) as error:
            source = error.source if isinstance(error, ResponseHandlingException) else error
            raise StoreUnavailable(f"{self._server} does not answer: {source or type(source).__name__}") from error
        except ValueError as error:
            raise RetrievalError(f"The Qdrant client refused: {error}") from error


def _dense(point: Record | ScoredPoint) -> list[float]:
    return cast("dict[str, list[float]]", point.vector)[DENSE]


def _missing(index: str) -> CollectionNotFound:
    return CollectionNotFound(f"There is no index {index!r} in the store")


def _sparse(vector: Any) -> SparseVector:
    from qdrant_client.models import SparseVector

    return SparseVector(indices=vector.indices, values=vector.values)
