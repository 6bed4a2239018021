"""What a cache has learnt of its traffic: how rare words are, what makes an answer right, and how sure is enough."""

import binascii
import random
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.cache.bound import Bound
from retrieval.cache.candidates import Candidate, Kept, Rarities, candidates
from retrieval.cache.verifier import Verifier

ALWAYS_REFUSED = frozenset({"numbers", "units", "negation", "opposites"})
"""Rules that decide alone; what the others say is weighed."""

_STEP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What was found for a question, and what was decided.

    Attributes:
        found: All answers that were looked at.
        best: The likeliest that no rule refuses, if there is one.
        score: The probability that it is right, as far as the verifier knows.
        threshold: What that had to reach: the cache's, or the question's own where its answer was wrong before.
        hit: Whether the answer is given again.
        check: Whether it is also answered anew, to look whether it was right.
    """

    found: Sequence[Candidate]
    best: Candidate | None
    score: float
    threshold: float
    hit: bool
    check: bool


class Experience:
    """Decides about questions and learns from how they turned out.

    Args:
        max_error: The share of wrong answers among those given again that must not be exceeded.
        shadow: The share of answers given again that are also answered anew and compared.
        draw: Draws the questions that are checked: a number from 0 to 1.
    """

    def __init__(self, max_error: float, shadow: float = 0.05, draw: Callable[[], float] = random.random) -> None:
        self._rarities = Rarities()
        self._verifier = Verifier()
        self._bound = Bound(max_error)
        self._shadow = shadow
        self._draw = draw

    @property
    def threshold(self) -> float:
        """The score from which answers are given again."""
        return self._bound.threshold

    def consider(self, question: str, kept: Sequence[Kept]) -> Considered:
        """Decide whether an answer that was given before is given again."""
        found = candidates(question, kept, self._rarities.of)
        judged = [
            (each, self._verifier.probability(each)) for each in found if not ALWAYS_REFUSED & {*each.disagreements}
        ]
        best, score = max(judged, key=lambda each: each[1], default=(None, 0.0))
        threshold = max(self._bound.threshold, best.nearest.least if best is not None else 0.0)
        hit = best is not None and score >= threshold
        return Considered(
            found=found,
            best=best,
            score=score,
            threshold=threshold,
            hit=hit,
            check=hit and self._draw() < self._shadow,
        )

    def passed(self, considered: Considered) -> None:
        """An answer was given again, and was not drawn to be checked."""
        self._bound.asked(considered.score, given=True)

    def compared(self, considered: Considered, question: str, right: Mapping[str, bool]) -> None:
        """The question was answered anew.

        Args:
            considered: What had been decided before.
            right: For the answer of each candidate whether it was as good as the new one.
        """
        # An entry that keeps itself back is never given at this score: it says nothing of those that are.
        if considered.best is not None and considered.score >= considered.best.nearest.least:
            self._bound.asked(considered.score, given=considered.hit)
            self._bound.saw(considered.score, wrong=not right[considered.best.nearest.answer])
        for each in considered.found:
            self._verifier.learn(each, right=right[each.nearest.answer])
        self._rarities.see(question)

    def complained(self, considered: Considered) -> None:
        """Somebody says that an answer given again was wrong. Praise is not counted: who is content says nothing."""
        if considered.best is not None:
            self._bound.saw(considered.score, wrong=True)
            self._verifier.learn(considered.best, right=False)

    def dump(self) -> Mapping[str, Any]:
        """All that was learnt, for ``load``: JSON of at most some 100 kB, however long it was learnt."""
        return {
            "rarities": b64encode(self._rarities.dump()).decode(),
            "verifier": b64encode(self._verifier.dump()).decode(),
            "bound": self._bound.dump(),
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Go on from what was dumped; what is missing, broken or of another version is left."""
        self._rarities.load(_bytes(dumped.get("rarities")))
        self._verifier.load(_bytes(dumped.get("verifier")))
        if isinstance(bound := dumped.get("bound"), Mapping):
            self._bound.load(bound)


def _bytes(encoded: object) -> bytes:
    try:
        return b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except (binascii.Error, ValueError):
        return b""


def least_after(kept: Kept, score: float, *, wrong: bool) -> float:
    """The least score at which an entry may be given again, after its answer turned out right or wrong at this one."""
    return max(kept.least, min(score + _STEP, 1.0)) if wrong else kept.least
