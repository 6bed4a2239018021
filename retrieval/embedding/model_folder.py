"""A model in a folder: an ONNX graph, its tokenizer, and a description that says what both must hash to.

It is what the embedder runs, what ``cairn model export`` writes, and how the built-in model is cached.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retrieval.errors import EmbedderUnavailable

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "cairn-model.json"


class ModelFolderInvalid(EmbedderUnavailable):
    """A folder does not hold a model, or not the one that was written there."""


class ModelConfig(BaseModel):
    """What a model folder says about its model.

    Attributes:
        name: The embedder's name, recorded with every collection.
        window: Tokens that the model reads, special tokens included.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1)
    dimension: int = Field(gt=0)
    window: int = Field(gt=2)


class _Manifest(ModelConfig):
    model_sha256: str
    tokenizer_sha256: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The content of a model folder.

    Attributes:
        model: A serialised ONNX graph: int64 ``input_ids`` and ``attention_mask``, both ``(texts, tokens)``, to unit
            vectors ``(texts, dimension)``.
        tokenizer: The text of its ``tokenizer.json``.
    """

    config: ModelConfig
    model: bytes
    tokenizer: str


def is_model_folder(folder: Path) -> bool:
    """Whether the folder claims to hold a model."""
    return (folder / CONFIG_FILE).is_file()


def read_model_folder(folder: Path) -> ModelFiles:
    """Read a model and check that it is what was written.

    Raises:
        ModelFolderInvalid: A file is missing, or differs from what the description says.
    """
    try:
        manifest = _Manifest.model_validate_json((folder / CONFIG_FILE).read_bytes())
        model = (folder / MODEL_FILE).read_bytes()
        tokenizer = (folder / TOKENIZER_FILE).read_bytes()
    except (OSError, ValidationError) as error:
        raise ModelFolderInvalid(f"{folder} does not hold a model: {error}") from error
    for name, content, expected in (
        (MODEL_FILE, model, manifest.model_sha256),
        (TOKENIZER_FILE, tokenizer, manifest.tokenizer_sha256),
    ):
        if hashlib.sha256(content).hexdigest() != expected:
            raise ModelFolderInvalid(f"{folder / name} is damaged: its SHA-256 is not the one that was recorded")
    return ModelFiles(config=ModelConfig(**manifest.model_dump()), model=model, tokenizer=tokenizer.decode())


def write_model_folder(folder: Path, files: ModelFiles) -> None:
    """Write a model so that the folder is whole or not there, whoever else writes it at the same time.

    What was in the folder before is replaced.

    Raises:
        OSError: The disk is full, or the place cannot be written; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    manifest = _Manifest(
        **files.config.model_dump(),
        model_sha256=hashlib.sha256(files.model).hexdigest(),
        tokenizer_sha256=hashlib.sha256(files.tokenizer.encode()).hexdigest(),
    )
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        built = Path(scratch) / "new"
        built.mkdir()
        (built / MODEL_FILE).write_bytes(files.model)
        (built / TOKENIZER_FILE).write_bytes(files.tokenizer.encode())
        (built / CONFIG_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
        _replace_folder(folder, built, aside=Path(scratch) / "old")


def _replace_folder(folder: Path, built: Path, *, aside: Path) -> None:
    with _locked(folder.parent) as parent:
        with contextlib.suppress(FileNotFoundError):
            if {path.name for path in folder.iterdir()} - {MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE}:
                raise FileExistsError(f"{folder} holds something else than a model; give an empty or a new folder")
            folder.rename(aside)
        built.rename(folder)
        os.fsync(parent)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)  # which unlocks it
