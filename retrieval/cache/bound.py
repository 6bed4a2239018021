"""The score from which answers are given again, so that the share of wrong ones stays under what the operator allows.

Scores are put into bands. For each band and each rate of a ladder there is a bet against "an answer with such a score
is wrong with at least this probability" (testing by betting: Waudby-Smith & Ramdas 2024, doi 10.1093/jrsssb/qkad009).
Each outcome multiplies the bet's wealth; one that is looked at seldom counts inversely to how likely that was. While
the statement is true the wealth does not grow on average, so great wealth is a rare accident (Ville's inequality), and
the least rate that has it bounds the band's. The cache opens down to the band with which the bounds, weighted by how
many questions come in each band, still keep within what is allowed.

Wealth has a ceiling, so that a few wrong answers close a band after the traffic has changed, and a floor, so that one
that was bad for long can still open (an e-detector: Shin, Ramdas & Rinaldo 2023, arXiv 2203.03532).

What that rests on: that questions with like scores are like those before them, until the traffic changes, and that
which of the answers given again are looked at is drawn by chance.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

LEVELS = (0.6, 0.75, 0.87, 0.95)
"""Where bands begin; below the first nothing is given again. Each band needs evidence of its own, so they are few."""

CLOSED = 2.0
"""A threshold that no score reaches."""

_RATES = np.geomspace(0.002, 0.5, 28)
_STAKES = np.array([0.25, 0.75])
"""Shares of what may be bet; the wealth is the mean over them, so that the best need not be known."""

_FLOOR = -2.0
_PATIENCE = 3
"""Wrong answers that a band which has long been right survives; with the next one it closes."""

_MEMORY = 2000
"""Questions after which what share of them comes in which band is half forgotten, about."""


class Bound:
    """Which score is high enough.

    Args:
        max_error: The share of wrong answers among those given again that must not be exceeded.
        confidence: One minus the probability that a band's bound is wrong by accident, over all bands.
    """

    def __init__(self, max_error: float, confidence: float = 0.95) -> None:
        if not 0 < max_error < 1 or not 0 < confidence < 1:
            raise ValueError("max_error and confidence lie between 0 and 1")
        self._allowed = max_error
        self._enough = math.log(len(LEVELS) / (1 - confidence))
        self._ceiling = self._enough - _PATIENCE * np.log1p(-_STAKES)
        self._wealth = np.zeros((len(LEVELS), len(_RATES), len(_STAKES)))
        self._seen = np.zeros(len(LEVELS))
        self._bounds = np.ones(len(LEVELS))
        self.threshold = CLOSED

    def saw(self, score: float, *, wrong: bool, chance: float = 1.0) -> None:
        """Take in the outcome of an answer, or that it was not looked at.

        Args:
            score: The answer's score.
            wrong: Whether it was looked at and found wrong.
            chance: How likely it was, before, that it would be looked at: 1 for what was not given again, since the
                answer that was given instead is always compared.
        """
        band = int(np.searchsorted(LEVELS, score, side="right")) - 1
        self._seen *= 1 - 1 / _MEMORY
        if band < 0:
            return
        self._seen[band] += 1
        # What is looked at with chance q counts 1/q where it is wrong; at most q of the wealth can be bet on it.
        change = _RATES[:, None] * chance - (1.0 if wrong else 0.0)
        wealth = self._wealth[band] + np.log1p(_STAKES * change)
        self._wealth[band] = np.clip(wealth, _FLOOR, self._ceiling)
        self._open()

    def _open(self) -> None:
        mean = np.logaddexp.reduce(self._wealth, axis=2) - math.log(len(_STAKES))
        enough = mean >= self._enough
        self._bounds = np.where(enough.any(axis=1), _RATES[enough.argmax(axis=1)], 1.0)
        # From the highest band downwards, as each further one is added; one of which nothing is known stays closed.
        seen, wrong = self._seen[::-1].cumsum(), (self._seen * self._bounds)[::-1].cumsum()
        within = (wrong <= self._allowed * seen) & (self._bounds[::-1] < 1)
        self.threshold = LEVELS[len(LEVELS) - 1 - int(np.flatnonzero(within)[-1])] if within.any() else CLOSED

    def dump(self) -> Mapping[str, Any]:
        """The evidence so far, for ``load``."""
        return {"wealth": self._wealth.round(4).tolist(), "seen": self._seen.round(2).tolist()}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Go on from what was dumped; what another version dumped is left."""
        try:
            wealth, seen = (np.array(dumped[name], dtype=np.float64) for name in ("wealth", "seen"))
        except (KeyError, TypeError, ValueError):
            return
        fits = wealth.shape == self._wealth.shape and seen.shape == self._seen.shape
        if fits and np.isfinite(wealth).all() and np.isfinite(seen).all():
            self._wealth, self._seen = wealth, seen
            self._open()
