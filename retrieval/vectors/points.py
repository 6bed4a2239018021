"""What both adapters do to points before they write them, and after they read them: check, split, keep the text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from retrieval.errors import InvalidVector, RetrievalError
from retrieval.vectors.layout import KEYWORD_FIELDS, TEXT_FIELD, WRITTEN_AT_ONCE, FieldKind
from retrieval.vectors.port import IndexSpec, Point

_METADATA_KEY = re.compile(r"[A-Za-z0-9_-]+")
_INDEX_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Batch:
    """Points that were found valid, ready to be written.

    Attributes:
        vectors: Shape ``(len(ids), dimension)``, finite.
        payloads: JSON objects, encoded, from which the text can be read back.
        fields: Payload fields that are to have an index.
    """

    ids: list[str]
    vectors: NDArray[np.float32]
    texts: list[str]
    payloads: list[bytes]
    fields: dict[str, FieldKind]

    def split(self, size: int = WRITTEN_AT_ONCE) -> Iterator[Batch]:
        """The same points in batches of at most ``size``."""
        for start in range(0, len(self.ids), size):
            part = slice(start, start + size)
            yield Batch(self.ids[part], self.vectors[part], self.texts[part], self.payloads[part], self.fields)


def check_index_name(index: str) -> str:
    """The name, when it can be a folder and a collection.

    Raises:
        RetrievalError: It cannot.
    """
    if not _INDEX_NAME.fullmatch(index):
        raise RetrievalError(
            f"{index!r} cannot name an index: use up to 128 letters, digits, '.', '_' and '-', not starting with '.'"
        )
    return index


async def checked_points(spec: IndexSpec, points: Sequence[Point]) -> Batch:
    """Check and encode all the points before any of them is written, off the event loop when there are many.

    Raises:
        InvalidVector: A vector has the wrong dimension or is not finite in single precision.
        RetrievalError: An id is no UUID, or a payload is no JSON object.
    """
    if len(points) <= WRITTEN_AT_ONCE:
        return _checked(spec, points)
    return await asyncio.to_thread(_checked, spec, points)


def checked_vector(spec: IndexSpec, vector: Sequence[float]) -> NDArray[np.float32]:
    """The vector in single precision, shape ``(dimension,)``.

    Raises:
        InvalidVector: It has the wrong dimension or is not finite.
    """
    with np.errstate(over="ignore"):
        try:
            row = np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidVector(f"A vector is made of {spec.dimension} numbers: {error}") from error
    if row.shape != (spec.dimension,):
        raise InvalidVector(f"The index holds vectors of {spec.dimension} numbers, this one has shape {row.shape}")
    if not np.isfinite(row).all():
        raise InvalidVector("A vector holds a number that is not finite")
    return row


def read_point(point_id: str, vector: Sequence[float], payload: Mapping[str, Any]) -> Point:
    """The point as it was written, from what the store keeps of it."""
    fields = dict(payload)
    text = fields.pop(TEXT_FIELD, None)
    return Point(id=point_id, vector=vector, text=fields.get("text", "") if text is None else text, payload=fields)


def _checked(spec: IndexSpec, points: Sequence[Point]) -> Batch:
    vectors = np.empty((len(points), spec.dimension), dtype=np.float32)
    for row, point in enumerate(points):
        try:
            vectors[row] = checked_vector(spec, point.vector)
        except InvalidVector as error:
            raise InvalidVector(f"Point {point.id}: {error}") from error
    ids, texts = [_point_id(point.id) for point in points], [point.text for point in points]
    return Batch(ids, vectors, texts, [_encoded(point) for point in points], _fields(points))


def _fields(points: Sequence[Point]) -> dict[str, FieldKind]:
    fields: dict[str, FieldKind] = dict.fromkeys(KEYWORD_FIELDS, "keyword")
    for point in points:
        metadata = point.payload.get("metadata")
        for key, value in metadata.items() if isinstance(metadata, Mapping) else ():
            kind = _kind(value)
            if kind and _METADATA_KEY.fullmatch(key):
                fields.setdefault(f"metadata.{key}", kind)
    return fields


def _kind(value: Any) -> FieldKind | None:
    if isinstance(value, list | tuple):
        return _kind(value[0]) if value else None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "float"
    return "keyword" if isinstance(value, str) else None


def _point_id(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError as error:
        raise RetrievalError(f"The id of a point must be a UUID, {value!r} is none") from error


def _encoded(point: Point) -> bytes:
    payload = dict(point.payload)
    if point.keeps_text and payload.get("text") != point.text:
        payload[TEXT_FIELD] = point.text
    try:
        return orjson.dumps(payload)
    except TypeError as error:
        raise RetrievalError(f"The payload of point {point.id} is not JSON: {error}") from error
