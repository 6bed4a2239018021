"""A cache learns from answers that were compared which questions may share one."""

import json
import random
from dataclasses import replace

import pytest

from retrieval.cache.candidates import FEATURES, Kept, Rarities, candidates
from retrieval.cache.experience import Experience, least_after
from retrieval.cache.verifier import Verifier

ITEMS = ("headphones", "shoes", "cameras", "lamps", "books", "chairs")
FRAMES = (
    "How long may I return {}?",
    "how many days do i have to send back {} please",
    "What is the return period for {}",
    "until when can {} be returned",
)


def kept(question: str, answer: str, similarity: float, **changes: object) -> Kept:
    return replace(Kept(id=question, question=question, answer=answer, similarity=similarity), **changes)  # type: ignore[arg-type]


def traffic(count: int) -> list[tuple[str, str, list[Kept]]]:
    """Questions about several things, each with some that were asked before, all equally near."""
    draw = random.Random(7)
    made = []
    for _ in range(count):
        item = draw.choice(ITEMS)
        others = [
            kept(draw.choice(FRAMES).format(each), each, 0.9 + draw.random() / 20) for each in draw.sample(ITEMS, 3)
        ]
        made.append((draw.choice(FRAMES).format(item), item, others))
    return made


def test_it_learns_which_words_matter_and_opens_only_then() -> None:
    experience = Experience(0.05, draw=lambda: 1.0)
    wrong = hits = 0
    for question, answer, others in traffic(1500):
        considered = experience.consider(question, others)
        if considered.hit and considered.best is not None:
            hits += 1
            wrong += considered.best.nearest.answer != answer
            experience.passed(considered)
        else:
            right = {each.nearest.answer: each.nearest.answer == answer for each in considered.found}
            experience.compared(considered, question, right)
    assert hits > 30
    assert wrong <= 0.05 * hits


def test_what_a_rule_refuses_is_never_given_again_however_sure() -> None:
    experience = Experience(0.05)
    for _ in range(500):
        sure = experience.consider("turn the light on", [kept("turn the light on please", "on", 0.99)])
        experience.compared(sure, "turn the light on", {"on": True})
    assert experience.consider("turn the light on", [kept("turn the light on please", "on", 0.99)]).hit
    refused = experience.consider("turn the light off", [kept("turn the light on please", "on", 0.99)])
    assert (refused.hit, refused.best) == (False, None)
    assert refused.found[0].disagreements == ["opposites"]


def test_an_entry_that_was_wrong_has_a_threshold_of_its_own() -> None:
    experience = Experience(0.05)
    entry = kept("When do you open?", "nine", 0.97)
    for _ in range(500):
        experience.compared(experience.consider("When do you open", [entry]), "When do you open", {"nine": True})
    sure = experience.consider("When do you open", [entry])
    assert sure.hit
    assert least_after(entry, sure.score, wrong=False) == 0.0
    burnt = replace(entry, least=least_after(entry, sure.score, wrong=True))
    assert not experience.consider("When do you open", [burnt]).hit


def test_complaints_close_what_evidence_opened() -> None:
    experience = Experience(0.05)
    entry = kept("When do you open?", "nine", 0.97)
    for _ in range(500):
        experience.compared(experience.consider("When do you open", [entry]), "When do you open", {"nine": True})
    opened = experience.threshold
    hit = experience.consider("When do you open", [entry])
    for _ in range(4):
        experience.complained(hit)
    assert experience.threshold > opened


def test_with_nothing_kept_there_is_nothing_to_give() -> None:
    considered = Experience(0.05).consider("When do you open?", [])
    assert (considered.hit, considered.best, considered.found) == (False, None, [])


@pytest.mark.parametrize("asked", ["", "\x00\ud800", "?" * 10_000, "🙂", "ᚠ" * 5000])
def test_any_question_can_be_considered(asked: str) -> None:
    (found,) = candidates(
        asked, [kept("When do you open?", "nine", float("nan") if asked == "?" else 0.5)], Rarities().of
    )
    assert len(found.features) == len(FEATURES)
    assert 0 <= Verifier().probability(found) <= 1


def test_what_was_learnt_outlives_the_process() -> None:
    verifier, again = Verifier(), Verifier()
    (found,) = candidates("When do you open?", [kept("When do you close?", "six", 0.95)], Rarities().of)
    for _ in range(20):
        verifier.learn(found, right=False)
    again.load(verifier.dump())
    assert again.probability(found) == pytest.approx(verifier.probability(found), abs=1e-5)
    before = again.probability(found)
    again.load(b"\x00" * 8)
    assert again.probability(found) == before


def test_all_that_was_learnt_is_json_of_bounded_size_and_decides_alike_elsewhere() -> None:
    experience = Experience(0.05, draw=lambda: 1.0)
    for question, answer, others in traffic(400):
        considered = experience.consider(question, others)
        right = {each.nearest.answer: each.nearest.answer == answer for each in considered.found}
        experience.compared(considered, question, right)
    dumped = json.dumps(experience.dump())
    assert len(dumped) < 120_000
    again = Experience(0.05, draw=lambda: 1.0)
    again.load(json.loads(dumped))
    for question, _, others in traffic(20):
        one, other = experience.consider(question, others), again.consider(question, others)
        assert other.score == pytest.approx(one.score, abs=1e-4)
        assert other.threshold == one.threshold


@pytest.mark.parametrize(
    "dumped",
    [
        {},
        {"rarities": "", "verifier": "AAAA", "bound": {}},
        {"rarities": 7, "verifier": None, "bound": []},
        {"rarities": "not base64!", "verifier": "é", "bound": {"wealth": "x", "seen": None}},
    ],
    ids=["empty", "another version's", "other types", "broken"],
)
def test_what_cannot_be_read_is_left(dumped: dict[str, object]) -> None:
    experience, entry = Experience(0.05), kept("When do you open?", "nine", 0.97)
    before = experience.consider("When do you open", [entry])
    experience.load(dumped)
    assert experience.consider("When do you open", [entry]) == before
