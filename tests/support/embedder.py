"""A deterministic embedder without a model: words to directions, so that texts sharing words are near."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from retrieval.embedding.port import Vectors

_PIECE = re.compile(r"\w{1,4}|[^\w\s]")


Direction = np.ndarray[tuple[int], np.dtype[np.float64]]


@lru_cache(maxsize=2_000)
def _direction(piece: str, dimension: int) -> Direction:
    seed = int.from_bytes(blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(dimension)


class HashEmbedder:
    """Every four letters are a token; a text's vector is the sum of its tokens' directions."""

    def __init__(self, name: str = "hash", dimension: int = 32, window: int = 64) -> None:
        self.name = name
        self.dimension = dimension
        self.window = window
        self.calls: list[int] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(len(texts))
        vectors = np.array([self._vector(text) for text in texts], dtype=np.float32).reshape(-1, self.dimension)
        unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return unit

    def _vector(self, text: str) -> Direction:
        total = np.full(self.dimension, 1e-3)
        for piece in _PIECE.findall(text.lower())[: self.window]:
            total += _direction(piece, self.dimension)
        return total

    def count_tokens(self, text: str) -> int:
        return len(self.token_spans(text)) + 2

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _PIECE.finditer(text)]

    async def aclose(self) -> None:
        """Nothing to free."""
