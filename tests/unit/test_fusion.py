"""Fusing ranked lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import add, distribution_based, evidence, min_max, ranked, reciprocal_rank, weighted_sum

legs = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 100), max_size=8)


def test_the_best_scores_1_and_the_worst_0() -> None:
    assert min_max({"a": 3.0, "b": 1.0, "c": 2.0}) == {"a": 1.0, "b": 0.0, "c": 0.5}
    assert min_max({"a": 2.0}) == {"a": 1.0}
    assert min_max({}) == {}


def test_a_leg_that_tells_its_hits_apart_badly_counts_less() -> None:
    assert min_max({"a": 0.7, "b": 0.6}, least_spread=0.5)["a"] == pytest.approx(0.2)
    sure, unsure = {"x": 30.0, "y": 1.0}, {"y": 0.62, "x": 0.60}
    assert ranked(add([min_max(sure), min_max(unsure, 0.3)], [0.5, 0.5])) == ["x", "y"]


def test_what_both_legs_find_beats_what_one_finds() -> None:
    dense, words = {"a": 0.9, "b": 0.8, "c": 0.1}, {"d": 9.0, "b": 8.0, "e": 1.0}
    for fused in (weighted_sum([dense, words], [0.5, 0.5]), reciprocal_rank([dense, words])):
        assert ranked(fused)[0] == "b"
    assert ranked(distribution_based([dense, words]))[0] == "b"


def test_reciprocal_rank_depends_on_ranks_alone() -> None:
    assert reciprocal_rank([{"a": 5.0, "b": 1.0}]) == reciprocal_rank([{"a": 0.2, "b": 0.1}])
    assert reciprocal_rank([{"a": 5.0}, {"a": 1.0}])["a"] == pytest.approx(2 / 61)


def test_distribution_based_fusion_clips_at_three_deviations() -> None:
    assert distribution_based([{"a": 1.0, "b": 1.0}, {}]) == {"a": 0.5, "b": 0.5}
    outlier = {str(i): 1.0 for i in range(30)} | {"far": 100.0}
    assert distribution_based([outlier])["far"] == 1.0


def test_many_faint_matches_do_not_outweigh_a_strong_one() -> None:
    found = [{"strong": 0.8, "faint": 0.3}, {"faint": 0.3}, {"faint": 0.3}]
    assert ranked(evidence(found, 3)) == ["strong", "faint"]
    assert ranked(evidence(found, 1)) == ["faint", "strong"]
    assert evidence([{"against": -0.2}], 1) == {}


@given(dense=legs, words=legs, key=st.sampled_from("abcdefgh"), more=st.floats(0.01, 50))
def test_a_better_score_in_a_leg_never_costs_a_passage_its_place(
    dense: dict[str, float], words: dict[str, float], key: str, more: float
) -> None:
    if key not in dense:
        return
    raised = dense | {key: dense[key] + more}
    before = ranked(weighted_sum([dense, words], [0.5, 0.5])).index(key)
    # An equal score keeps the order in which it came, which raising does not change.
    assert ranked(weighted_sum([raised, words], [0.5, 0.5])).index(key) <= before


@given(dense=legs, words=legs)
def test_every_fusion_keeps_every_passage_and_adds_none(dense: dict[str, float], words: dict[str, float]) -> None:
    for fused in (
        weighted_sum([dense, words], [0.3, 0.7]),
        reciprocal_rank([dense, words]),
        distribution_based([dense, words]),
        evidence([dense, words], 2),
    ):
        assert fused.keys() == dense.keys() | words.keys()
