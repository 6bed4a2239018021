"""Answers that an earlier question was given, and what speaks for each as the answer to another question.

Questions that had the same answer are one candidate: what they have in common says what the answer hangs on ("Cork",
where every question that had it names Cork), and that several of them lie near says more than that one does.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from zlib import crc32

import numpy as np

from retrieval.cache.disagreements import RULES, disagreements
from retrieval.cache.words import words

NEIGHBOURS = 24
"""Questions that are looked at: those nearest to the one asked."""

CANDIDATES = 6
"""Answers that are looked at."""

WORD_BUCKETS = 4096
"""Places for what is learnt of single words; two words that share one hardly ever meet."""

FEATURES: Sequence[str] = (
    "always",
    "similarity",
    "similarity squared",
    "second similarity",
    "mean similarity",
    "lead",
    "nearest",
    "votes",
    "neighbours",
    "several",
    "shared words",
    "words asked alone",
    "words kept alone",
    "rare words asked alone",
    "same words",
    "common words missing",
    "words new",
    "share of words new",
    "right before",
    "question right before",
    *RULES,
)
"""What is known of a candidate, each about between -2 and 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A question that was answered before.

    Attributes:
        answer: The same for questions that had the same answer.
        similarity: Cosine with the question asked.
        right: How often its answer was found right for another question, and
        wrong: how often not.
        least: The score below which it is not given again, since it was wrong with a lower one.
    """

    id: str
    question: str
    answer: str
    similarity: float
    right: int = 0
    wrong: int = 0
    least: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An answer that was given before.

    Attributes:
        nearest: Of the questions that had it, the one nearest to what is asked.
        features: One for each of ``FEATURES``.
        words: Places of the words that only one of the two questions has.
        disagreements: Rules by which it cannot be the answer.
    """

    nearest: Kept
    features: Sequence[float]
    words: Sequence[int]
    disagreements: Sequence[str]


Rarity = Callable[[str], float]
"""How much a word tells questions apart: about the logarithm of the number of questions for each that has it."""


def candidates(asked: str, kept: Sequence[Kept], rarity: Rarity) -> list[Candidate]:
    """The answers of the nearest questions, the nearest question's first."""
    nearest = sorted(kept, key=lambda each: -each.similarity)[:NEIGHBOURS]
    if not nearest:
        return []
    by_answer: defaultdict[str, list[Kept]] = defaultdict(list)
    for each in nearest:
        by_answer[each.answer].append(each)
    # High powers: a neighbour that lies much nearer says much more.
    votes = {answer: sum(max(0.0, each.similarity) ** 10 for each in some) for answer, some in by_answer.items()}
    total = sum(votes.values()) or 1.0
    firsts = [some[0].similarity for some in by_answer.values()]
    said = frozenset(words(asked))
    # The same few words come in many of the questions.
    rarity = cache(rarity)
    found = []
    for place, (answer, some) in enumerate(list(by_answer.items())[:CANDIDATES]):
        rival = firsts[1] if place == 0 and len(firsts) > 1 else firsts[0] if place else 0.0
        found.append(_candidate(asked, said, some, rarity, votes[answer] / total, some[0].similarity - rival, place))
    return found


def _candidate(
    asked: str, said: frozenset[str], some: Sequence[Kept], rarity: Rarity, votes: float, lead: float, place: int
) -> Candidate:
    first = some[0]
    texts = [frozenset(words(each.question)) for each in some]
    # Of the questions that had the answer the one that reads most like it.
    closest = min(texts, key=lambda text: sum(map(rarity, said ^ text)))
    asked_alone, kept_alone = said - closest, closest - said
    shared, only_asked, only_kept = (sum(map(rarity, each)) for each in (said & closest, asked_alone, kept_alone))
    common = frozenset.intersection(*texts) if len(texts) > 1 else frozenset()
    new = said.difference(*texts)
    similarities = [each.similarity for each in some]
    against = disagreements(asked, first.question)
    right, wrong = sum(each.right for each in some), sum(each.wrong for each in some)
    near = _scaled(first.similarity)
    features = (
        1.0,
        near,
        near * near,
        _scaled(similarities[1]) if len(similarities) > 1 else -1.0,
        _scaled(sum(similarities) / len(similarities)),
        5 * lead,
        float(place == 0),
        2 * votes,
        math.log1p(len(some)),
        float(len(some) > 1),
        2 * shared / (shared + only_asked + only_kept or 1.0),
        min(only_asked, 20.0) / 5,
        min(only_kept, 20.0) / 5,
        0.25 * sum(rarity(word) > _RARE for word in asked_alone),
        float(not asked_alone and not kept_alone),
        min(sum(map(rarity, common - said)), 15.0) / 5,
        min(sum(map(rarity, new)), 20.0) / 5,
        len(new) / max(1, len(said)),
        math.log1p(right) - math.log1p(wrong),
        math.log1p(first.right) - math.log1p(first.wrong),
        *(float(rule in against) for rule in RULES),
    )
    places = tuple(sorted({bucket(word) for word in asked_alone | kept_alone}))
    return Candidate(nearest=first, features=features, words=places, disagreements=against)


_RARE = 6.0


def _scaled(similarity: float) -> float:
    return 5 * (similarity - 0.7)


@lru_cache(maxsize=16384)
def bucket(word: str) -> int:
    """The word's place among ``WORD_BUCKETS``."""
    return crc32(word.encode()) % WORD_BUCKETS


class Rarities:
    """How rare words are among the questions seen so far."""

    def __init__(self, counts: Mapping[int, int] | None = None, questions: int = 0) -> None:
        self.counts = Counter(counts or {})
        self.questions = questions

    def see(self, question: str) -> None:
        """Count a question's words."""
        self.questions += 1
        self.counts.update({bucket(word) for word in words(question)})

    def of(self, word: str) -> float:
        """The rarity of a word."""
        return math.log((self.questions + 1) / (self.counts[bucket(word)] + 0.5))

    def dump(self) -> bytes:
        """The counts, one for each place, for ``load``."""
        counts = np.array([self.questions, *(self.counts[place] for place in range(WORD_BUCKETS))])
        return counts.astype("<u4").tobytes()

    def load(self, dumped: bytes) -> None:
        """Go on from what was dumped; what another version dumped is left."""
        if len(dumped) == 4 * (1 + WORD_BUCKETS):
            self.questions, *counts = np.frombuffer(dumped, "<u4").tolist()
            self.counts = Counter({place: count for place, count in enumerate(counts) if count})
