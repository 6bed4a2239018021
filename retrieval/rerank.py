"""The port behind which a model reads question and passage together and judges how well they match."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from retrieval.embedding.tokens import encodable
from retrieval.embedding.worker import URGENT, PriorityWorker
from retrieval.errors import RerankerUnavailable

BATCH = 16


class Reranker(Protocol):
    """A model that scores passages for a question."""

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """A score for each passage, in the order given; higher is better, comparable within one call."""
        ...

    async def aclose(self) -> None:
        """Free threads and memory. Safe to call twice."""
        ...


class CrossEncoderReranker:
    """A sentence-transformers ``CrossEncoder`` (Nogueira & Cho 2019, arXiv 1901.04085), run in a thread of its own."""

    def __init__(self, model: Any) -> None:
        """``model`` is a loaded ``CrossEncoder``."""
        self._model = model
        self._worker = PriorityWorker("reranker")

    @classmethod
    async def open(cls, name: str) -> CrossEncoderReranker:
        """Load a cross-encoder by its name or local path.

        Raises:
            RerankerUnavailable: sentence-transformers is not installed, or the model cannot be loaded.
        """
        return cls(await asyncio.to_thread(_load, name))

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """See ``Reranker.scores``."""
        if not passages:
            return []
        pairs = [(encodable(question), encodable(passage)) for passage in passages]
        return await self._worker.submit(URGENT, partial(self._predict, pairs))

    async def aclose(self) -> None:
        await self._worker.aclose()

    def _predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        scores = self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False)
        return [float(score) for score in scores]


def _load(name: str) -> Any:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise RerankerUnavailable(
            f"the reranker {name!r} needs sentence-transformers; install it with `make setup` or "
            "`pip install cairn[torch]`"
        ) from error
    try:
        model = CrossEncoder(name)
    except Exception as error:  # a hub, a disk or a broken file: the library raises whatever it met
        raise RerankerUnavailable(f"the reranker {name!r} cannot be loaded: {error}") from error
    if model.num_labels != 1:
        raise RerankerUnavailable(f"the reranker {name!r} gives {model.num_labels} labels a pair, not one score")
    return model
