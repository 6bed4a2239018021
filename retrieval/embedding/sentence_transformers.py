"""Any other embedding model, through sentence-transformers and torch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from retrieval.embedding.batches import plan_batches
from retrieval.embedding.port import Vectors
from retrieval.embedding.tokens import TokenCounter, encodable
from retrieval.embedding.worker import ROUTINE, URGENT, PriorityWorker
from retrieval.errors import EmbedderUnavailable

URGENT_TEXTS = 16
_GPU_BATCH_TOKENS = 16_384
_GPU_BATCH_TEXTS = 128


class SentenceTransformersEmbedder:
    """A ``SentenceTransformer`` on the device that it chose; vectors are normalised whatever the model does."""

    def __init__(self, name: str, model: Any) -> None:
        """``model`` is a loaded ``SentenceTransformer`` whose tokenizer is a fast one."""
        self._name = name
        self._model = model
        self._dimension = int(model.get_embedding_dimension())
        self._counter = TokenCounter(model.tokenizer.backend_tokenizer.to_str())
        self._window = int(model.max_seq_length)
        on_cpu = model.device.type == "cpu"
        self._batches = (
            plan_batches if on_cpu else partial(plan_batches, tokens=_GPU_BATCH_TOKENS, texts=_GPU_BATCH_TEXTS)
        )
        self._worker = PriorityWorker(f"embedder {name}")

    @classmethod
    async def open(cls, name: str, *, threads: int) -> SentenceTransformersEmbedder:
        """Load a model by its name or local path.

        Raises:
            EmbedderUnavailable: sentence-transformers is not installed, or the model cannot be loaded.
        """
        return cls(name, await asyncio.to_thread(load_sentence_transformer, name, threads=threads))

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def window(self) -> int:
        return self._window

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.embed``."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        priority = URGENT if len(texts) <= URGENT_TEXTS else ROUTINE
        readable = [encodable(text) for text in texts]
        lengths = await self._worker.submit(priority, lambda: [self._length(text) for text in readable])
        batches = self._batches(lengths)
        jobs = [self._worker.submit(priority, partial(self._encode, [readable[i] for i in batch])) for batch in batches]
        try:
            for batch, job in zip(batches, jobs, strict=True):
                vectors[batch] = await job
        finally:
            for job in jobs:
                job.cancel()
        return vectors

    def count_tokens(self, text: str) -> int:
        return self._counter.count(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self._counter.spans(text)

    async def aclose(self) -> None:
        await self._worker.aclose()

    def _length(self, text: str) -> int:
        return min(self._counter.count(text), self._window)

    def _encode(self, texts: list[str]) -> Vectors:
        vectors: Vectors = self._model.encode(
            texts, batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False
        )
        return vectors


def load_sentence_transformer(name: str, *, threads: int | None = None) -> Any:
    """The ``SentenceTransformer`` of this name; see ``SentenceTransformersEmbedder.open``."""
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EmbedderUnavailable(
            f"the embedding model {name!r} needs sentence-transformers; install it with `make setup` or "
            "`pip install cairn[torch]`, or use a folder that `cairn model export` wrote"
        ) from error
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        model = SentenceTransformer(name)
    except Exception as error:  # a hub, a disk or a broken file: the library raises whatever it met
        raise EmbedderUnavailable(f"the embedding model {name!r} cannot be loaded: {error}") from error
    if not getattr(model.tokenizer, "is_fast", False):
        raise EmbedderUnavailable(f"the embedding model {name!r} has no fast tokenizer, so its tokens have no spans")
    return model
