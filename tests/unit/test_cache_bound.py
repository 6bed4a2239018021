"""The share of wrong answers that the operator allows holds, also where traffic drifts; simulated from fixed seeds."""

import json
import math
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
        given = score >= bound.threshold
        bound.asked(score, given=given)
        if given:
            found.opened = number if found.opened is None else found.opened
            if number >= since:
                found.hits += 1
                found.wrong += wrong
        if not given or draw() < SHADOW:
            bound.saw(score, wrong=wrong)
    return found


def calibrated(_: int, score: float) -> float:
    return 0.1 * (1 - score)


@pytest.mark.parametrize("allowed", [0.02, 0.05])
def test_steady_traffic_stays_within_what_is_allowed_and_is_answered(allowed: float) -> None:
    runs = [simulate(allowed, 6000, calibrated, seed) for seed in range(3)]
    assert all(run.hits > 3000 for run in runs)
    assert all(run.wrong <= allowed * run.hits for run in runs)


def test_what_is_allowed_is_used_where_most_answers_would_be_wrong_too_often() -> None:
    def overconfident(_: int, score: float) -> float:
        return min(1.0, 0.01 + 1.5 * (1 - score))

    runs = [simulate(0.05, 8000, overconfident, seed) for seed in range(3)]
    assert all(0.4 * 0.05 * run.hits <= run.wrong <= 0.05 * run.hits for run in runs)
    # With the true rates known, half of the questions could be answered.
    assert all(run.hits > 0.2 * 8000 for run in runs)


def test_nothing_is_given_again_before_there_is_evidence() -> None:
    bound = Bound(0.01)
    assert bound.threshold == CLOSED
    needed = 0
    while bound.threshold == CLOSED:
        bound.asked(0.999, given=False)
        bound.saw(0.999, wrong=False)
        needed += 1
    # 460 right answers bound the share of wrong ones by 1 % with 99 % confidence: 0.99 ** 460 is 0.01; memory fades.
    assert 460 < needed < 600
    assert bound.threshold == LEVELS[-1]


@pytest.mark.parametrize("rate", [0.075, 0.2, 1.0])
def test_a_cache_that_is_wrong_too_often_hardly_ever_opens(rate: float) -> None:
    runs = [simulate(0.05, 2500, lambda _, __: rate, seed) for seed in range(8)]
    assert sum(run.opened is not None for run in runs) <= 1


@pytest.mark.parametrize("after", [0.3, 1.0])
def test_after_a_break_a_cache_closes_within_a_bounded_number_of_wrong_answers(after: float) -> None:
    def breaking(number: int, score: float) -> float:
        return after if number >= 4000 else 0.1 * (1 - score)

    runs = [simulate(0.05, 6000, breaking, seed, since=4000) for seed in range(4)]
    # Four wrong ones that are looked at, among few right ones, close it at once.
    assert sum(run.wrong for run in runs) / len(runs) <= 6 / SHADOW


def test_traffic_that_grows_worse_little_by_little_is_followed() -> None:
    def drifting(number: int, score: float) -> float:
        return min(1.0, 0.1 * (1 - score) + number / 40_000)

    runs = [simulate(0.05, 8000, drifting, seed) for seed in range(4)]
    # At the end every answer would be wrong with a probability of 0.2 to 0.3.
    assert sum(run.wrong for run in runs) <= 1.2 * 0.05 * sum(run.hits for run in runs)
    assert all(run.wrong <= 0.05 * run.hits + 2 / SHADOW for run in runs)


def test_traffic_that_comes_and_goes_stays_within_what_is_allowed() -> None:
    def waving(number: int, score: float) -> float:
        return min(1.0, 0.2 * (1 - score) * (1 + math.sin(number / 1000)))

    runs = [simulate(0.05, 8000, waving, seed) for seed in range(3)]
    assert all(run.wrong <= 0.05 * run.hits for run in runs)
    assert all(run.hits > 2000 for run in runs)


def test_a_band_that_was_bad_for_long_still_opens_when_it_has_become_good() -> None:
    def mending(number: int, score: float) -> float:
        return 0.5 if number < 3000 else 0.02 * (1 - score)

    assert all(simulate(0.05, 9000, mending, seed).hits > 500 for seed in range(2))


def test_evidence_outlives_the_process_and_that_of_another_version_is_left() -> None:
    bound = Bound(0.05)
    for _ in range(400):
        bound.asked(0.999, given=False)
        bound.saw(0.999, wrong=False)
    again = Bound(0.05)
    again.load(json.loads(json.dumps(bound.dump())))
    assert again.threshold == bound.threshold == LEVELS[-1]
    for other in ({}, {"wealth": [[0.0]], "seen": [1.0]}, {**bound.dump(), "looked": [[0.0]]}):
        again.load(other)
        assert again.threshold == LEVELS[-1]


@pytest.mark.parametrize("given", [{"max_error": 0.0}, {"max_error": 1.0}, {"max_error": 0.1, "confidence": 1.0}])
def test_a_bound_that_means_nothing_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Bound(**given)
