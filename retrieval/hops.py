"""Hops: passages that the first results lead to, which the question itself does not name.

"When was the director of this film born?" finds the film; its passage names the director, whose own passage has the
date. Names in the first passages that are not in the question are searched for, and what they find is ranked below
what led there. Bridging by names follows the idea of entity-centric retrieval (Godbole et al. 2019, arXiv 1909.07598).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import regex

from retrieval.fusion import Leg, min_max, ranked
from retrieval.questions import coverage


@dataclass(frozen=True, slots=True)
class Hop:
    """One step away from the first search.

    Attributes:
        origins: Passages that are followed.
        weight: What the best passage found gains, against 1 for the best of the first search.
    """

    origins: int
    weight: float


HOPS = (Hop(origins=3, weight=0.5), Hop(origins=1, weight=0.4))
"""The second goes on from the best passage that the first led to: questions over three passages gain by it, and those
over two stay about where they were as long as it leads only one way."""

NAMES_PER_ORIGIN = 16
HITS_PER_NAME = 5

COVERED = 0.8
"""When what was read has this share of the question's words, it is likely about all of it: no hop, or no further."""

_CAPITAL = regex.compile(r"[\p{Lu}\p{Lt}]")
_WORD = regex.compile(r"\w+")
_CAPITALISED = r"[\p{Lu}\p{Lt}\p{Nd}][\w'’.&-]*"
_NAME = regex.compile(rf"{_CAPITALISED}(?:\s+(?:(?:of|the|de|von|van|and|la|in|for)\s+|&\s+)?{_CAPITALISED})*")


def calls_for_hop(question: str, read: str) -> bool:
    """Whether part of the question is left open by what was read."""
    return coverage(question, read) < COVERED


def names(question: str, passage: str) -> list[str]:
    """Names in the passage, in order, without the words that the question has already.

    A name is a run of capitalised words, perhaps with numbers (a number alone leads anywhere); scripts without
    capitals have none.
    """
    known = set(_WORD.findall(question.lower()))
    found = (
        " ".join(word for word in name.split() if word.lower().strip(".'’-") not in known).rstrip(".'’-")
        for name in dict.fromkeys(_NAME.findall(passage))
        if _CAPITAL.search(name)
    )
    return list(dict.fromkeys(name for name in found if len(name) > 1 and _CAPITAL.search(name)))[:NAMES_PER_ORIGIN]


def follow(first: Leg, origins: Sequence[str], found: Mapping[str, Iterable[Leg]], weight: float) -> dict[str, float]:
    """The scores of the first search with what was found on the way added.

    Args:
        first: Fused scores of the first search.
        origins: The passages that were followed.
        found: For each origin, what each of its names found.
        weight: The hop's.

    Returns:
        A score for every passage of either; the first search's best stays the best.
    """
    best = ranked(first)[0]
    gains: dict[str, float] = {}
    for origin in origins:
        reached: dict[str, float] = {}
        for leg in found[origin]:
            for key, score in leg.items():
                if key != origin:
                    reached[key] = max(score, reached.get(key, 0.0))
        strength = first[origin] / first[best] if first[best] > 0 else 0.0
        for key, gain in min_max(reached).items():
            gains[key] = max(gains.get(key, 0.0), strength * gain)
    # The best comes first here, so that it stays ahead of an equal score.
    keys = dict.fromkeys((best, *first, *gains))
    total = {key: first.get(key, 0.0) + weight * gains.get(key, 0.0) for key in keys}
    ceiling = first[best]
    highest = max((score for key, score in total.items() if key != best), default=0.0)
    shrink = ceiling / highest if highest > ceiling else 1.0
    return {key: ceiling if key == best else min(ceiling, score * shrink) for key, score in total.items()}
