"""An embedder on ONNX runtime: no torch, no global interpreter lock, milliseconds a query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.embedding.batches import plan_batches
from retrieval.embedding.model_folder import ModelFiles, read_model_folder
from retrieval.embedding.port import Vectors
from retrieval.embedding.tokens import TokenCounter, encodable
from retrieval.embedding.worker import ROUTINE, URGENT, PriorityWorker

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

URGENT_TEXTS = 16
"""A call with at most so many texts (a question, its sentences) goes before the batches of larger calls."""

SHORT_CHARACTERS = 4_000
"""Tokenizing so little (a fraction of a millisecond) costs less than handing it to a thread."""

READ_CHARACTERS = 50_000
"""What is tokenized of a text: a window's worth many times over, so that an oversized text costs no more."""


class OnnxEmbedder:
    """Runs a model folder's graph, which maps ``input_ids`` and ``attention_mask`` to pooled unit vectors.

    Calls may be concurrent; one thread does the work, a batch at a time, queries first.
    """

    def __init__(self, files: ModelFiles, *, threads: int) -> None:
        """``threads`` is how many cores a batch is spread over."""
        self._config = files.config
        self._session = _session(files.model, threads)
        self._tokenizer = _truncating_tokenizer(files.tokenizer, files.config.window)
        self._counter = TokenCounter(files.tokenizer)
        self._worker = PriorityWorker(f"embedder {files.config.name}")

    @classmethod
    async def open(cls, folder: Path, *, threads: int) -> OnnxEmbedder:
        """Open the model in a folder.

        Raises:
            ModelFolderInvalid: It is not a model folder, or its files are not those that were written.
        """
        return await asyncio.to_thread(lambda: cls(read_model_folder(folder), threads=threads))

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def dimension(self) -> int:
        return self._config.dimension

    @property
    def window(self) -> int:
        return self._config.window

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.embed``."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        priority = URGENT if len(texts) <= URGENT_TEXTS else ROUTINE
        short = sum(map(len, texts)) <= SHORT_CHARACTERS
        encodings = self._tokenize(texts) if short else await asyncio.to_thread(self._tokenize, texts)
        batches = plan_batches([len(encoding) for encoding in encodings])
        jobs = [self._worker.submit(priority, partial(self._run, [encodings[i] for i in batch])) for batch in batches]
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
        # Its hundreds of megabytes are free now, not when the collector finds the last reference to this.
        self._session = None

    def _tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch_fast([encodable(text[:READ_CHARACTERS]) for text in texts])

    def _run(self, encodings: list[Encoding]) -> Vectors:
        shape = (len(encodings), max(len(encoding) for encoding in encodings))
        ids = np.zeros(shape, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
        output: Vectors = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return output


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads must not spin: on a small machine they would take the event loop's core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _truncating_tokenizer(definition: str, window: int) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(definition)
    tokenizer.no_padding()
    tokenizer.enable_truncation(window)
    return tokenizer
