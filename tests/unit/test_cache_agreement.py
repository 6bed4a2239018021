"""When a fresh answer says what the one that was kept says."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from retrieval.cache.agreement import Agreement, may_agree, plain
from retrieval.cache.answers import CachedAnswer, FreshAnswer
from retrieval.documents import Source
from tests.support.embedder import HashEmbedder

KEPT = "Shoes may be returned within 30 days [1]. Bring the receipt [2]."


def source(document: str, version: str = "1") -> Source:
    return Source(
        document_id=document,
        version=version,
        collection="docs",
        uri=document,
        title="",
        heading_path=(),
        page=None,
        start=0,
        end=1,
        text="x",
        trust="trusted",
        score=1.0,
    )


def fresh(text: str, *documents: str) -> FreshAnswer:
    sources = tuple(map(source, documents or ("shoes", "receipts")))
    return FreshAnswer(text=text, query="", sources=sources, finish_reason="stop", revision=0)


def kept(text: str = KEPT, *documents: str, **changes: Any) -> CachedAnswer:
    made = fresh(text, *documents)
    answer = CachedAnswer(
        id="1",
        question="",
        text=text,
        query="",
        sources=made.sources,
        finish_reason="stop",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(answer, **changes)


async def agree(one: CachedAnswer, other: FreshAnswer) -> bool:
    return (await Agreement(HashEmbedder(dimension=256)).of(other, {one.id: one}))[one.id]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("shoes may be returned within 30 days[1].  Bring the receipt [2]", id="other punctuation"),
        pytest.param("Bring the receipt [2]. Shoes may be returned within 30 days [1].", id="another order"),
        pytest.param("Shoes may be returned within 30 days [1]. Please bring the receipt [2].", id="a word more"),
        pytest.param("Shoes may be returned within thirty days [1]. Bring the receipt [2].", id="a number in words"),
    ],
)
async def test_what_is_said_in_nearly_the_same_words_agrees(text: str) -> None:
    assert await agree(kept(), fresh(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Shoes may be returned within 31 days [1]. Bring the receipt [2].", id="another number"),
        pytest.param("Shoes may not be returned within 30 days [1]. Bring the receipt [2].", id="negated"),
        pytest.param("Shoes may be returned within 30 weeks [1]. Bring the receipt [2].", id="another unit"),
        pytest.param("Shoes may be returned within 30 days [1]. Send the receipt to Cork [2].", id="another name"),
        pytest.param("Lamps weigh a lot and break easily on the way to us [1][2].", id="something else"),
        pytest.param("Shoes may be returned within 30 days [3]. Bring the receipt [3].", id="of another document"),
    ],
)
async def test_what_contradicts_it_or_rests_on_something_else_does_not(text: str) -> None:
    assert not await agree(kept(), fresh(text, "shoes", "receipts", "lamps"))


async def test_another_version_of_a_document_is_another_document() -> None:
    newer = replace(fresh(KEPT), sources=(source("shoes", "2"), source("receipts")))
    assert not await agree(kept(), newer)


async def test_answers_that_cite_nothing_have_to_be_made_from_about_the_same() -> None:
    nothing = "The documents do not say."
    assert await agree(kept(nothing, "a"), fresh(nothing, "b"))  # to the letter
    assert may_agree(kept(nothing, "a", "b", "c"), fresh("The documents don't say.", "a", "b", "d"))
    assert not may_agree(kept(nothing, "a", "b"), fresh("The documents say little.", "c", "d"))


async def test_any_text_can_be_compared() -> None:
    for text in ("[1]", "?!", "\ud800", "x" * 50_000, "7. " * 5_000, "日本語。はい。[1]"):
        assert isinstance(await agree(kept(text), fresh(KEPT)), bool)
    assert plain("A [1], B [2, 3].") == plain("a, b")
