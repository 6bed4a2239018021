"""The share of wrong answers that the operator allows holds, also where traffic drifts; simulated from fixed seeds."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from retrieval.cache.bound import CLOSED, LEVELS, Bound

SHADOW = 0.05
Rate = Callable[[int, float], float]
"""The probability that an answer is wrong, by the number of the question and its score."""


@dataclass
class Simulated:
    hits: int = 0
    wrong: int = 0
    opened: int | None = None


def simulate(allowed: float, questions: int, rate: Rate, seed: int, since: int = 0) -> Simulated:
    """Traffic of which a third is scored above 0.95; what is counted begins with the question ``since``."""
    draw = random.Random(seed).random
    bound, found = Bound(allowed), Simulated()
    for number in range(questions):
        score = 1 - draw() ** 3
        wrong = draw() < rate(number, score)
        if score < bound.threshold:
            bound.saw(score, wrong=wrong)
            continue
        if found.opened is None:
            found.opened = number
        if number >= since:
            found.hits += 1
            found.wrong += wrong
        bound.saw(score, wrong=wrong and draw() < SHADOW, chance=SHADOW)
    return found


def calibrated(_: int, score: float) -> float:
    return 0.1 * (1 - score)


@pytest.mark.parametrize("allowed", [0.02, 0.05])
def test_steady_traffic_stays_within_what_is_allowed_and_is_answered(allowed: float) -> None:
    runs = [simulate(allowed, 6000, calibrated, seed) for seed in range(5)]
    assert all(run.hits > 0 for run in runs)
    assert all(run.wrong <= allowed * run.hits + 3 for run in runs)


def test_nothing_is_given_again_before_there_is_evidence() -> None:
    bound = Bound(0.01)
    assert bound.threshold == CLOSED
    needed = 0
    while bound.threshold == CLOSED:
        bound.saw(0.99, wrong=False)
        needed += 1
    # The rule of three: 300 right answers bound the share of wrong ones by 1 % with 95 % confidence.
    assert 300 < needed < 1500
    assert bound.threshold == LEVELS[-1]


@pytest.mark.parametrize("rate", [0.05, 0.2, 1.0])
def test_a_cache_that_is_wrong_too_often_hardly_ever_opens(rate: float) -> None:
    runs = [simulate(0.05, 3000, lambda _, __: rate, seed) for seed in range(12)]
    assert sum(run.opened is not None for run in runs) <= 1


@pytest.mark.parametrize("after", [0.3, 1.0])
def test_after_a_break_a_cache_closes_within_a_bounded_number_of_wrong_answers(after: float) -> None:
    def breaking(number: int, score: float) -> float:
        return after if number >= 4000 else 0.1 * (1 - score)

    runs = [simulate(0.05, 7000, breaking, seed, since=4000) for seed in range(6)]
    # Four wrong ones that are looked at close the one band that is open after so long, and each further one open.
    assert sum(run.wrong for run in runs) / len(runs) <= len(LEVELS) * 4 / SHADOW


def test_traffic_that_grows_worse_little_by_little_is_followed() -> None:
    def drifting(number: int, score: float) -> float:
        return min(1.0, 0.1 * (1 - score) + number / 40_000)

    runs = [simulate(0.05, 8000, drifting, seed) for seed in range(5)]
    assert all(run.wrong <= 0.05 * run.hits + 4 * len(LEVELS) / SHADOW * 0.5 for run in runs)


def test_a_band_that_was_bad_for_long_still_opens_when_it_has_become_good() -> None:
    def mending(number: int, score: float) -> float:
        return 0.5 if number < 3000 else 0.02 * (1 - score)

    assert all(simulate(0.05, 9000, mending, seed).hits > 500 for seed in range(3))


def test_evidence_outlives_the_process_and_that_of_another_version_is_left() -> None:
    bound = Bound(0.05)
    for _ in range(400):
        bound.saw(0.99, wrong=False)
    again = Bound(0.05)
    again.load(bound.dump())
    assert again.threshold == bound.threshold == LEVELS[-1]
    again.load({"wealth": [[0.0]], "seen": [1.0]})
    assert again.threshold == LEVELS[-1]


@pytest.mark.parametrize("given", [{"max_error": 0.0}, {"max_error": 1.0}, {"max_error": 0.1, "confidence": 1.0}])
def test_a_bound_that_means_nothing_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Bound(**given)
