"""The score from which answers are given again, so that the share of wrong ones stays under what the operator allows.

Scores are put into bands, and of each band is counted how many answers were looked at and how many of those were wrong.
In one band everything is looked at or each with the same chance, so its share is estimated without bias however seldom
that is. For each threshold the bands are weighed by what was given of them lately and what would be given of them soon,
and the upper confidence limit of a weighted sum of Poisson rates (Fay & Feuer 1997, doi
10.1002/(SICI)1097-0258(19970415)16:7<791::AID-SIM500>3.0.CO;2-#) says how large the share of wrong answers may be. The
cache opens down to the least threshold at which that keeps within what is allowed. So what was given with a smaller
share than allowed leaves room for some with a larger one: what is bounded is the share over the last few thousand
answers, not that of the least sure among them.

Two memories, a long one and a short one, keep the evidence; either may open. Two watches close: a CUSUM (an e-detector:
Shin, Ramdas & Rinaldo 2023, arXiv 2203.03532) over what was given and looked at, quick after a break, and the short
memory's lower confidence limit, for what grows worse slowly. What they close has to show anew that it is good.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = (0.5, 0.6, 0.7, 0.78, 0.84, 0.88, 0.91, 0.93, 0.95, 0.965, 0.975, 0.985, 0.992)
"""Where bands begin; below the first nothing is given again. Many cost nothing: their counts are added."""

CLOSED = 2.0
"""A threshold that no score reaches."""

_SHORT = 1000
"""Answers looked at after which the short memory has forgotten most."""
_LONG = 1500
"""The same for the long memory, where a band forgets only by what is looked at in it."""
_TRAFFIC = 4000
"""Questions after which what share of them comes in which band is mostly forgotten, and"""
_GIVEN = 5000
"""how many answers of which band were given: the span over which the share of wrong ones is bounded."""
_AHEAD = 1000
"""Questions to come for which a threshold has to be good enough."""

_WORSE = np.array([1.5, 3.0])
"""How many times what is allowed the watch expects to see after a break."""
_ALARM = 3.5
_DOUBT = 0.9
"""Confidence with which recent answers were wrong too often before the cache closes: closing is cheap."""

Counts = NDArray[np.float64]


class Bound:
    """Which score is high enough.

    Args:
        max_error: The share of wrong answers among those given again that must not be exceeded.
        confidence: One minus the probability that, at any one time, a threshold is taken for good which is not.
    """

    def __init__(self, max_error: float, confidence: float = 0.99) -> None:
        if not 0 < max_error < 1 or not 0 < confidence < 1:
            raise ValueError("max_error and confidence lie between 0 and 1")
        self._allowed = max_error
        self._sure, self._doubt = NormalDist().inv_cdf(confidence), NormalDist().inv_cdf(_DOUBT)
        count = len(LEVELS)
        # Of each memory, short and long: answers looked at, and wrong ones among them.
        self._looked, self._wrong = np.zeros((2, count)), np.zeros((2, count))
        self._came, self._given, self._asked = np.zeros(count), np.zeros(count), np.zeros(1)
        self._watch = np.zeros(len(_WORSE))
        worse = np.minimum(_WORSE * max_error, (1 + max_error) / 2)
        self._if_wrong, self._if_right = np.log(worse / max_error), np.log((1 - worse) / (1 - max_error))
        self._opened = count
        self.threshold = CLOSED

    def asked(self, score: float, *, given: bool) -> None:
        """Count a question by its best answer's score, and whether that answer was given again."""
        self._came *= 1 - 1 / _TRAFFIC
        self._asked = self._asked * (1 - 1 / _TRAFFIC) + 1
        self._given *= 1 - 1 / _GIVEN
        if (band := _band(score)) >= 0:
            self._came[band] += 1
            self._given[band] += given

    def saw(self, score: float, *, wrong: bool) -> None:
        """Take in how an answer turned out that was looked at.

        Which of the answers given again are looked at must be drawn by chance; what was not given always is.
        """
        self._looked[0] *= 1 - 1 / _SHORT
        self._wrong[0] *= 1 - 1 / _SHORT
        if (band := _band(score)) < 0:
            return
        self._looked[1, band] *= 1 - 1 / _LONG
        self._wrong[1, band] *= 1 - 1 / _LONG
        self._looked[:, band] += 1
        self._wrong[:, band] += wrong
        if band >= self._opened:
            self._watch = np.maximum(0, self._watch + (self._if_wrong if wrong else self._if_right))
            if self._watch.max() >= _ALARM or self._grew_worse():
                self._forget()
        self._open()

    def _grew_worse(self) -> bool:
        """Whether recent answers of what is open were wrong too often, almost surely."""
        span = slice(self._opened, None)
        weights = self._came[span] / np.maximum(self._looked[0, span], 1)
        share, variance = weights @ self._wrong[0, span], weights**2 @ self._wrong[0, span]
        if share <= 0:
            return False
        least = variance / (2 * share) * _chi_square(2 * share**2 / variance, -self._doubt)
        return bool(least > self._allowed * self._came[span].sum())

    def _forget(self) -> None:
        self._looked[:, self._opened :] = self._wrong[:, self._opened :] = 0
        self._watch[:] = 0

    def _open(self) -> None:
        soon = _AHEAD * self._came / np.maximum(self._asked, 1)
        # A row for each threshold: what was given already, and what would be given from there upwards.
        weights = self._given + soon * _UPWARDS
        some = _UPWARDS @ self._came > 0
        each = weights / np.maximum(self._looked, 0.5)[:, None]
        most = each.max(axis=2)
        share = (each * self._wrong[:, None]).sum(axis=2) + most
        variance = (each**2 * self._wrong[:, None]).sum(axis=2) + most**2
        share, variance = np.where(some, share, 1), np.where(some, variance, 1)
        limit = variance / (2 * share) * _chi_square(2 * share**2 / variance, self._sure)
        # A band of which nothing was looked at stays closed.
        good = some & (self._looked[1] >= 1) & (limit.min(axis=0) <= self._allowed * weights.sum(axis=1))
        self._opened = int(good.argmax()) if good.any() else len(LEVELS)
        self.threshold = LEVELS[self._opened] if good.any() else CLOSED

    def dump(self) -> Mapping[str, Any]:
        """The evidence so far, for ``load``."""
        return {name: getattr(self, f"_{name}").round(4).tolist() for name in _KEPT}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Go on from what was dumped; what another version dumped is left."""
        try:
            read = {name: np.array(dumped[name], dtype=np.float64) for name in _KEPT}
        except (KeyError, TypeError, ValueError):
            return
        if all(
            values.shape == getattr(self, f"_{name}").shape and np.isfinite(values).all() and (values >= 0).all()
            for name, values in read.items()
        ):
            for name, values in read.items():
                setattr(self, f"_{name}", values)
            self._open()


_KEPT = ("looked", "wrong", "came", "given", "asked", "watch")
_UPWARDS = np.tri(len(LEVELS)).T
"""For each level the bands from there upwards."""


def _band(score: float) -> int:
    return int(np.searchsorted(LEVELS, score, side="right")) - 1


def _chi_square(freedom: Any, deviate: float) -> Any:
    """The quantile of a chi-square distribution at a normal deviate (Wilson & Hilferty 1931)."""
    spread = 2 / (9 * freedom)
    return freedom * np.maximum(0, 1 - spread + deviate * np.sqrt(spread)) ** 3
