"""Judging what was found again by how near it lies to the best of it."""

from hypothesis import given
from hypothesis import strategies as st

from retrieval.feedback import topic_of, toward_topic
from retrieval.fusion import ranked


def test_what_lies_near_the_best_passages_overtakes_what_lies_far() -> None:
    first = {"best": 1.0, "second": 0.9, "third": 0.8, "far": 0.5, "near": 0.45}
    near = {"best": 1.0, "second": 1.0, "third": 1.0, "far": 0.0, "near": 1.0}
    assert ranked(toward_topic(first, near)) == ["best", "second", "third", "near", "far"]


def test_the_topic_is_the_best_passages_by_what_they_score() -> None:
    first = {"fourth": 0.1, "best": 1.0, "third": 0.3, "second": 0.5}
    assert topic_of(first) == {"best": 1.0, "second": 0.5, "third": 0.3}


def test_vectors_that_tell_nothing_apart_change_no_score() -> None:
    first = {"far": 0.5, "best": 1.0, "near": 0.45}
    assert toward_topic(first, {"best": 1.0, "far": 0.0, "near": 1.0}, trust=0.0) == first


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.01, 1), min_size=1, max_size=9), st.data())
def test_the_best_stays_the_best_and_no_passage_is_lost(first: dict[str, float], data: st.DataObject) -> None:
    again = toward_topic(first, {key: data.draw(st.floats(-1, 1)) for key in first})
    assert again.keys() == first.keys()
    assert ranked(again)[0] == ranked(first)[0]
