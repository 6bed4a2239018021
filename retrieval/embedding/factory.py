"""From a model's name to an embedder."""

import asyncio
from pathlib import Path

from retrieval.embedding import minilm
from retrieval.embedding.model_folder import is_model_folder
from retrieval.embedding.onnx_embedder import OnnxEmbedder
from retrieval.embedding.port import Embedder

DEFAULT_EMBEDDER = minilm.NAME


async def open_embedder(name: str, cache_dir: Path, threads: int) -> Embedder:
    """Open an embedding model.

    Args:
        name: ``all-MiniLM-L6-v2`` (built in), a folder that ``cairn model export`` wrote, or anything that
            sentence-transformers can load: a local path or a model's name.
        cache_dir: Where the built-in model is kept once built.
        threads: Cores that a batch is spread over.

    Raises:
        EmbedderUnavailable: The model is missing, is not the published one, is damaged or cannot be loaded, or needs
            sentence-transformers, which is not installed.
    """
    if name in minilm.NAMES:
        return await asyncio.to_thread(lambda: OnnxEmbedder(minilm.load_minilm(cache_dir), threads=threads))
    if is_model_folder(Path(name)):
        return await OnnxEmbedder.open(Path(name), threads=threads)
    from retrieval.embedding.sentence_transformers import SentenceTransformersEmbedder

    return await SentenceTransformersEmbedder.open(name, threads=threads)
