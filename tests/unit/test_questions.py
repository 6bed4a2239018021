"""What a question is searched as, and where its results lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import ranked
from retrieval.hops import calls_for_hop, follow, names
from retrieval.questions import MAX_SEGMENTS, coverage, lexical, segments


def test_a_short_question_is_searched_whole() -> None:
    assert segments(" Where is it? I need it. Please. ") == ["Where is it? I need it. Please."]


def test_a_story_is_searched_sentence_by_sentence() -> None:
    story = "I moved house.\nMy card was lost! Who pays? 誰が払いますか。次の文。"
    assert segments(story) == ["I moved house.", "My card was lost!", "Who pays?", "誰が払いますか。", "次の文。"]


@given(st.text(max_size=400))
def test_segments_are_few_and_lose_nothing_but_white_space(text: str) -> None:
    parts = segments(text)
    assert 1 <= len(parts) <= MAX_SEGMENTS
    kept = "".join("".join(parts).split())
    # Closing quotes between sentences belong to neither.
    assert len(kept) >= len("".join(text.split())) - sum(text.count(mark) for mark in "\"'”’)]")


@given(st.lists(st.sampled_from(["One fact.", "Another?", "Yes!"]), min_size=1, max_size=200))
def test_however_long_a_story_it_has_a_bounded_number_of_segments(sentences: list[str]) -> None:
    assert len(segments(" ".join(sentences))) <= MAX_SEGMENTS


def test_scripts_without_spaces_become_pairs_for_bm25() -> None:
    assert lexical("abc 返品期限 x").split() == ["abc", "返品", "品期", "期限", "x"]
    assert lexical("only latin, ça va") == "only latin, ça va"
    assert lexical("価").split() == ["価"]


def test_coverage_is_the_share_of_longer_words() -> None:
    assert coverage("returned headphones", "Headphone returns are free") == 1.0
    assert coverage("returned penguins", "We take returns") == 0.5
    assert coverage("who is it", "anything") == 1.0


def test_names_in_a_passage_leave_out_what_the_question_has() -> None:
    found = names("Who directed Northern Light?", "Northern Light is a film by Ada of Lund, shot in Oslo, 1978.")
    assert found == ["Ada of Lund", "Oslo"]
    assert names("?", "no capitals here") == []


def test_a_question_that_the_best_passage_covers_needs_no_hop() -> None:
    assert not calls_for_hop("opened headphones return", "Opened headphones may be returned")
    assert calls_for_hop("Where was the director of Northern Light born?", "Northern Light is a film by Ada Lund")


@pytest.mark.parametrize("hop_score", [1.0, 50.0])
def test_what_a_hop_finds_rises_but_never_above_what_led_there(hop_score: float) -> None:
    first = {"film": 1.0, "noise": 0.3, "other": 0.2}
    fused = follow(first, ["film"], {"film": [{"director": hop_score, "film": 99.0, "noise": 0.1}]}, 0.5)
    assert ranked(fused)[:2] == ["film", "director"]
    assert fused["film"] == 1.0
    assert first == {"film": 1.0, "noise": 0.3, "other": 0.2}


def test_a_runner_up_that_a_hop_confirms_does_not_pass_the_best() -> None:
    for best in "abcdef":
        first = {**dict.fromkeys("abcdef", 0.9), best: 1.0}
        runner_up = next(key for key in "abcdef" if key != best)
        fused = follow(first, [best], {best: [{runner_up: 5.0}]}, 0.5)
        assert ranked(fused)[:2] == [best, runner_up]
