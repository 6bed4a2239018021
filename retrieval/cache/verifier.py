"""Whether an answer is right for a question: learnt from every answer that was given anew and compared.

A logistic regression over what is known of a candidate and over the words in which the two questions differ, learnt one
example at a time (AdaGrad: Duchi, Hazan & Singer 2011). That "please" may differ and "Cork" may not is not known
beforehand; after some traffic it is.
"""

import math

import numpy as np
from numpy.typing import NDArray

from retrieval.cache.candidates import FEATURES, WORD_BUCKETS, Candidate

Weights = NDArray[np.float64]

_RATE = 0.15
_WORD = 0.5
"""What a word in which two questions differ counts."""

_PRIOR = {
    "always": -0.5,
    "similarity": 0.5,
    "votes": 0.75,
    "lead": 1.5,
    "neighbours": 0.4,
    "several": 0.5,
    "common words missing": -1.0,
    "words new": -0.3,
    "share of words new": -0.5,
    "numbers": -2.0,
    "dates": -1.0,
    "names": -1.0,
    "negation": -2.0,
    "units": -2.0,
    "question type": -1.0,
    "comparatives": -1.0,
    "opposites": -3.0,
}
"""Where learning begins: the direction that each feature points in is known; how far it goes is learnt."""


class Verifier:
    """Gives each candidate the probability that its answer is right."""

    def __init__(self) -> None:
        self._weights = np.zeros(len(FEATURES) + WORD_BUCKETS)
        self._squares = np.full_like(self._weights, 0.01)
        for name, weight in _PRIOR.items():
            self._weights[FEATURES.index(name)] = weight

    def probability(self, candidate: Candidate) -> float:
        """That the candidate's answer is right."""
        places, values = _sparse(candidate)
        return _logistic(float(self._weights[places] @ values))

    def learn(self, candidate: Candidate, *, right: bool) -> None:
        """Take in that its answer was right, or was not."""
        places, values = _sparse(candidate)
        error = _logistic(float(self._weights[places] @ values)) - right
        gradient = error * values
        self._squares[places] += gradient**2
        self._weights[places] -= _RATE * gradient / np.sqrt(self._squares[places])

    def dump(self) -> bytes:
        """What was learnt, for ``load``."""
        return np.stack([self._weights, self._squares]).astype("<f4").tobytes()

    def load(self, dumped: bytes) -> None:
        """Go on from what was dumped; what another version dumped is left."""
        if len(dumped) != 2 * 4 * self._weights.size:
            return
        values = np.frombuffer(dumped, "<f4").astype(np.float64)
        if np.isfinite(values).all():
            self._weights, self._squares = values.reshape(2, -1).copy()


def _sparse(candidate: Candidate) -> tuple[NDArray[np.intp], Weights]:
    count = len(FEATURES)
    places = np.array([*range(count), *(count + word for word in candidate.words)], dtype=np.intp)
    return places, np.array([*candidate.features, *[_WORD] * len(candidate.words)])


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))
