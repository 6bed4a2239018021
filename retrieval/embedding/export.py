"""Writes any embedding model as a folder that production runs without torch."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from retrieval.embedding import minilm
from retrieval.embedding.model_folder import ModelConfig, ModelFiles, write_model_folder
from retrieval.embedding.sentence_transformers import load_sentence_transformer
from retrieval.errors import EmbedderUnavailable

_EXAMPLES = ["A short text.", "A text that is a good deal longer, so that the other one has to be padded."]
OPSET = 17


def export(model: str, folder: Path) -> ModelConfig:
    """Write the model as an ONNX graph with its tokenizer into a folder; it takes seconds to minutes, and blocks.

    Args:
        model: The built-in model's name, or a name or local path that sentence-transformers loads (needs torch).
        folder: A new or empty folder, or one written before.

    Raises:
        EmbedderUnavailable: The model cannot be loaded, or works in a way that ONNX cannot hold.
        OSError: The folder cannot be written, or holds something else.
    """
    files = minilm.build_minilm() if model in minilm.NAMES else _trace(model)
    write_model_folder(folder, files)
    return files.config


def _trace(name: str) -> ModelFiles:
    model = load_sentence_transformer(name)
    config = ModelConfig(name=name, dimension=int(model.get_embedding_dimension()), window=int(model.max_seq_length))
    try:
        graph = _graph(model)
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        raise EmbedderUnavailable(f"the embedding model {name!r} cannot be exported to ONNX: {error}") from error
    return ModelFiles(config=config, model=graph, tokenizer=model.tokenizer.backend_tokenizer.to_str())


def _graph(model: Any) -> bytes:
    import torch

    class Embedding(torch.nn.Module):  # type: ignore[misc]  # torch comes without the types that this check reads
        """The whole pipeline of modules, normalised: pooling is part of the graph."""

        def __init__(self) -> None:
            super().__init__()
            self.pipeline = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            return torch.nn.functional.normalize(self.pipeline(features)["sentence_embedding"], dim=-1)

    model.eval().to("cpu")
    # Eager attention is plain arithmetic; fused kernels have no ONNX form.
    model[0].auto_model.set_attn_implementation("eager")
    encoded = model.tokenizer(_EXAMPLES, padding=True, return_tensors="pt")
    written = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Embedding(),
            (encoded["input_ids"], encoded["attention_mask"]),
            written,
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={
                "input_ids": {0: "texts", 1: "tokens"},
                "attention_mask": {0: "texts", 1: "tokens"},
                "embedding": {0: "texts"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    return written.getvalue()
