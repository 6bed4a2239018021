"""The cross-encoder adapter, over a tiny model with random weights that the test makes."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from retrieval.errors import RerankerUnavailable
from retrieval.rerank import CrossEncoderReranker

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("sentence_transformers") is None,
    reason="sentence-transformers and torch are not installed: `make setup` installs them",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder = tmp_path_factory.mktemp("cross-encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", "is", "the", "parcel", "blue", "box"]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizer(vocab_file=str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    return folder


async def test_each_passage_is_scored_on_its_own_in_the_order_given(folder: Path) -> None:
    reranker = await CrossEncoderReranker.open(str(folder))
    passages = ["the parcel is blue", "box", "", "the parcel " * 200, "lone \ud800"]
    scores = await reranker.scores("where is the parcel", passages)
    alone = [(await reranker.scores("where is the parcel", [passage]))[0] for passage in passages]
    assert scores == pytest.approx(alone, abs=1e-5)
    assert len(set(scores)) > 1
    assert await reranker.scores("where", []) == []
    await reranker.aclose()
    await reranker.aclose()


async def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(RerankerUnavailable, match="nothing-here"):
        await CrossEncoderReranker.open(str(tmp_path / "nothing-here"))
