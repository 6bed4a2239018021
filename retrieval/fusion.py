"""Fusing ranked lists whose scores mean different things. A leg maps a passage's key to its raw score.

The search fuses min-max-normalised scores (Bruch et al. 2023, arXiv 2210.11934, found score fusion ahead of ranks); the
two rank- and distribution-based methods are here to be measured against.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean

Leg = Mapping[str, float]


def evidence(legs: Iterable[Leg], power: float) -> dict[str, float]:
    """What several questions say together: the sum of a passage's positive scores, each to the ``power``.

    Raw scores are summed, not normalised ones: a sentence that finds nothing good must not count as much as one that
    does. A higher power lets one strong match outweigh many faint ones.
    """
    total: dict[str, float] = {}
    for leg in legs:
        for key, score in leg.items():
            if score > 0:
                total[key] = total.get(key, 0.0) + score**power
    return total


def min_max(leg: Leg, least_spread: float = 0.0) -> dict[str, float]:
    """Scores scaled to 0 (the worst that was found) … 1 (the best); all 1 where all are equal.

    Args:
        leg: Raw scores.
        least_spread: A leg whose best and worst lie closer together than this tells its hits apart badly; its scores
            are scaled to less than 1 accordingly, instead of being blown up.
    """
    if not leg:
        return {}
    low, high = min(leg.values()), max(leg.values())
    spread = max(high - low, least_spread)
    if spread == 0:
        return dict.fromkeys(leg, 1.0)
    return {key: (score - low) / spread for key, score in leg.items()}


def weighted_sum(legs: Sequence[Leg], weights: Sequence[float]) -> dict[str, float]:
    """Each leg min-max-normalised, times its weight; what a leg did not find counts 0 there."""
    return add((min_max(leg) for leg in legs), weights)


def add(legs: Iterable[Leg], weights: Sequence[float]) -> dict[str, float]:
    """The legs' scores as they are, each times its leg's weight; what a leg did not find counts 0 there."""
    total: dict[str, float] = {}
    for leg, weight in zip(legs, weights, strict=True):
        for key, score in leg.items():
            total[key] = total.get(key, 0.0) + weight * score
    return total


def reciprocal_rank(legs: Iterable[Leg], k: float = 60) -> dict[str, float]:
    """Reciprocal rank fusion: the sum of 1 / (k + rank), ranks from 1 (Cormack et al. 2009)."""
    total: dict[str, float] = {}
    for leg in legs:
        for rank, key in enumerate(ranked(leg), start=1):
            total[key] = total.get(key, 0.0) + 1 / (k + rank)
    return total


def distribution_based(legs: Iterable[Leg]) -> dict[str, float]:
    """Distribution-based score fusion: scores scaled by three standard deviations around each leg's mean, clipped."""
    total: dict[str, float] = {}
    for leg in legs:
        if not leg:
            continue
        mean = fmean(leg.values())
        spread = 3 * sqrt(fmean((score - mean) ** 2 for score in leg.values()))
        for key, score in leg.items():
            place = 0.5 if spread == 0 else (score - mean + spread) / (2 * spread)
            total[key] = total.get(key, 0.0) + min(1.0, max(0.0, place))
    return total


def ranked(leg: Leg) -> list[str]:
    """Keys, best first; equal scores keep the order in which they came."""
    return sorted(leg, key=lambda key: -leg[key])
