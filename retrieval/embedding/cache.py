"""Nothing is embedded twice: vectors kept in the record, and those of recent questions in memory."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from records.database import Database
from records.schema import embeddings
from retrieval.embedding.port import Embedder, Vectors

SLICE = 256
"""Texts embedded before their vectors are kept: what a process loses when it is killed."""

_LOOKED_UP_AT_ONCE = 500
_FLOAT = np.dtype("<f4")


class CachedEmbedder:
    """An embedder that keeps each vector in the record under the text's SHA-256 and the model's name.

    It is meant for documents. For questions use `RecentEmbedder`, which leaves no trace of them.
    """

    def __init__(self, inner: Embedder, database: Database) -> None:
        self._inner = inner
        self._database = database

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    @property
    def window(self) -> int:
        return self._inner.window

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.embed``."""
        keys = [_key(text) for text in texts]
        unique = dict(zip(keys, texts, strict=True))
        known = await self._look_up(list(unique))
        missing = [key for key in unique if key not in known]
        for start in range(0, len(missing), SLICE):
            part = missing[start : start + SLICE]
            fresh = dict(zip(part, await self._inner.embed([unique[key] for key in part]), strict=True))
            await self._keep(fresh)
            known.update(fresh)
        return np.array([known[key] for key in keys], dtype=np.float32).reshape(len(keys), self.dimension)

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self._inner.token_spans(text)

    async def aclose(self) -> None:
        """Close the inner embedder; the database belongs to who opened it."""
        await self._inner.aclose()

    async def _look_up(self, keys: Sequence[str]) -> dict[str, Vectors]:
        known: dict[str, Vectors] = {}
        if not keys:
            return known
        async with self._database.read() as connection:
            for start in range(0, len(keys), _LOOKED_UP_AT_ONCE):
                query = select(embeddings.c.text_hash, embeddings.c.vector).where(
                    embeddings.c.model == self.name,
                    embeddings.c.text_hash.in_(keys[start : start + _LOOKED_UP_AT_ONCE]),
                )
                for row in await connection.execute(query):
                    vector = np.frombuffer(row.vector, dtype=_FLOAT) if len(row.vector) % 4 == 0 else ()
                    if len(vector) == self.dimension:
                        known[row.text_hash] = np.asarray(vector)
        return known

    async def _keep(self, fresh: Mapping[str, Vectors]) -> None:
        rows = [
            {"model": self.name, "text_hash": key, "vector": np.asarray(vector, dtype=_FLOAT).tobytes()}
            for key, vector in fresh.items()
        ]
        async with self._database.write() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            insert = dialect.insert(embeddings)
            replace = insert.on_conflict_do_update(
                index_elements=["model", "text_hash"], set_={"vector": insert.excluded.vector}
            )
            await connection.execute(replace, rows)


class RecentEmbedder:
    """An embedder that remembers, in memory, the vectors of the last few thousand short texts: for questions."""

    def __init__(self, inner: Embedder, *, size: int = 2048) -> None:
        """``size`` is how many texts are remembered."""
        self._inner = inner
        self._size = size
        self._recent: OrderedDict[str, Vectors] = OrderedDict()

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    @property
    def window(self) -> int:
        return self._inner.window

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.embed``."""
        found = {text: self._recent[text] for text in texts if text in self._recent}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            found.update(zip(missing, await self._inner.embed(missing), strict=True))
        for text in texts:
            self._recent[text] = found[text]
            self._recent.move_to_end(text)
        while len(self._recent) > self._size:
            self._recent.popitem(last=False)
        return np.array([found[text] for text in texts], dtype=np.float32).reshape(len(texts), self.dimension)

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self._inner.token_spans(text)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _key(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
