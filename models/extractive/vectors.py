"""Vectors of the texts at hand, each embedded once while it is remembered."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Awaitable[Vectors]]

# Embedders let small calls overtake large ones, and somebody waits for these.
_AT_ONCE = 16


class VectorCache:
    """Embeds what it does not remember, a few texts a call, and forgets what was asked for longest ago.

    Args:
        embed: Maps texts to unit vectors, one row each.
        size: Texts to remember.
    """

    def __init__(self, embed: Embed, size: int = 4096) -> None:
        self._embed = embed
        self._size = size
        self._known: OrderedDict[str, Vectors] = OrderedDict()

    async def of(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, one row each, in the order given."""
        # What is known is taken before anything is awaited: another question may push it out meanwhile.
        vectors = {text: self._recall(text) for text in texts if text in self._known}
        missing = list(dict.fromkeys(text for text in texts if text not in vectors))
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            vectors.update(zip(part, await self._embed(part), strict=True))
        self._known.update((text, vectors[text]) for text in missing)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return np.stack([vectors[text] for text in texts]) if texts else np.zeros((0, 0), dtype=np.float32)

    def _recall(self, text: str) -> Vectors:
        self._known.move_to_end(text)
        return self._known[text]
