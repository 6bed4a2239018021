"""A model folder is whole or not there, and a damaged one is never run."""

import asyncio
import shutil
from pathlib import Path

import pytest

from retrieval.embedding import minilm
from retrieval.embedding.factory import open_embedder
from retrieval.embedding.model_folder import (
    ModelConfig,
    ModelFiles,
    ModelFolderInvalid,
    read_model_folder,
    write_model_folder,
)
from retrieval.errors import EmbedderUnavailable

FILES = ModelFiles(config=ModelConfig(name="m", dimension=3, window=8), model=b"graph", tokenizer="{}")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "m", FILES)
    assert read_model_folder(tmp_path / "m") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "cairn-model.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_folder_is_refused_and_can_be_written_again(tmp_path: Path, name: str, damage: str) -> None:
    folder = tmp_path / "m"
    write_model_folder(folder, FILES)
    if damage == "cut":
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    else:
        (folder / name).unlink()
    if not (name == "cairn-model.json" and damage == "cut"):  # its last byte is a newline
        with pytest.raises(ModelFolderInvalid):
            read_model_folder(folder)
    write_model_folder(folder, FILES)
    assert read_model_folder(folder) == FILES


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="something else"):
        write_model_folder(tmp_path / "m", FILES)
    assert (tmp_path / "m" / "thesis.txt").read_text() == "years of work"


async def test_writers_at_the_same_time_leave_one_whole_model(tmp_path: Path) -> None:
    await asyncio.gather(*(asyncio.to_thread(write_model_folder, tmp_path / "m", FILES) for _ in range(8)))
    assert read_model_folder(tmp_path / "m") == FILES


def test_the_built_in_model_is_built_again_when_its_cache_is_damaged(tmp_path: Path) -> None:
    files = minilm.load_minilm(tmp_path)
    (graph,) = tmp_path.rglob("model.onnx")
    written = graph.stat().st_mtime_ns
    assert minilm.load_minilm(tmp_path) == files
    assert graph.stat().st_mtime_ns == written
    graph.write_bytes(graph.read_bytes()[:1000])
    assert minilm.load_minilm(tmp_path) == files
    assert graph.read_bytes() == files.model


def test_the_built_in_model_works_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert minilm.load_minilm(tmp_path / "file").config == minilm.CONFIG


async def test_a_damaged_model_folder_is_not_run(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "m", FILES)
    (tmp_path / "m" / "model.onnx").write_bytes(b"another graph")
    with pytest.raises(EmbedderUnavailable, match="damaged"):
        await open_embedder(str(tmp_path / "m"), tmp_path, threads=1)
    shutil.rmtree(tmp_path / "m")
