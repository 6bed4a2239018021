"""The port behind which text becomes vectors."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A model that maps text to unit vectors.

    Attributes:
        name: Recorded with every collection; another name means another space.
        dimension: Length of a vector.
        window: Tokens that the model reads, special tokens included; what lies beyond is not embedded.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def window(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: shape ``(len(texts), dimension)``, float32, rows of length 1, in the order given."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of the text, the model's special tokens included; may exceed ``window``."""
        ...

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Code-point span of each token of the text, special tokens left out, untruncated."""
        ...

    async def aclose(self) -> None:
        """Free threads and memory. Safe to call twice."""
        ...
