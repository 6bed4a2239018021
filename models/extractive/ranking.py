"""Which sentences answer a question: a linear ranker over what a reader would look at."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.extractive.answer_types import asked_for, holds
from models.extractive.sentences import Sentence
from models.extractive.words import STOPWORDS, is_cjk, stem, terms, tokens

Vectors = NDArray[np.float32]

# Fitted as a pairwise logistic ranker on English reading-comprehension questions, five-fold by article, then rounded.
_COSINE = 4.0
_OVERLAP = 4.3
_OVERLAP_BEFORE = 0.5
_TYPE = 2.1
_NEIGHBOUR = 0.8
_RANK = 1.6
_PASSAGE_OVERLAP = 5.0
_PASSAGE_COSINE = 8.4
_PAIRS = 0.6
_LENGTH = 0.7
_CONTEXT_SHARE = 0.5
_FOREIGN_COSINE = 0.25
_OTHER_THING = 3.0
# `Falcon 20`, `Apollo 11`: a name told apart by its number. `May 2015` is not one.
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_NUMBERED = re.compile(rf"\b(?!(?:{_MONTHS})\b)[A-Z][\w-]+ \d{{1,4}}\b(?![.,:]\d)")

# Logistic: answered questions against the same questions put to documents that do not answer them. The embedder knows
# English; in Chinese and Japanese shared words tell more.
_CONFIDENCE = (8.1, 3.3, 4.6, -7.2)
_CONFIDENCE_FOREIGN = (1.0, 5.7, 8.9, -4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A sentence and why it stands where it stands.

    Attributes:
        score: Comparable within one question only.
        confidence: Log-odds that it answers the question at all; comparable between questions.
    """

    sentence: Sentence
    score: float
    confidence: float


@dataclass(frozen=True, slots=True)
class _Terms:
    """Words of one sentence: its own, and those of the headings above it."""

    own: frozenset[str]
    above: frozenset[str]
    order: tuple[str, ...]


def preselect(question: str, sentences: Sequence[Sentence], limit: int) -> list[Sentence]:
    """Keep the sentences worth embedding, in their order: those that share rare words, and those that rank first."""
    if len(sentences) <= limit:
        return list(sentences)
    wanted = question_terms(question)
    words = [_terms_of(sentence) for sentence in sentences]
    weights = _rarity(wanted, [entry.own | entry.above for entry in words])
    scored = [
        _overlap(wanted, entry, weights) + 0.5 / (1 + sentence.rank) + 0.1 / (1 + sentence.position)
        for sentence, entry in zip(sentences, words, strict=True)
    ]
    best = sorted(range(len(sentences)), key=lambda i: -scored[i])[:limit]
    return [sentences[i] for i in sorted(best)]


def embedded_text(sentence: Sentence) -> str:
    """What is embedded for a sentence: a table's row means little without the heading above it."""
    return f"{sentence.context}: {sentence.text}" if sentence.cells and sentence.context else sentence.text


def rank(question: str, sentences: Sequence[Sentence], question_vector: Vectors, vectors: Vectors) -> list[Ranked]:
    """Order sentences by how well they answer.

    Args:
        question: What was asked.
        sentences: Candidates in order of passage and position.
        question_vector: Unit vector of the question.
        vectors: Unit vectors of the candidates, one row each.
    """
    wanted = question_terms(question)
    words = [_terms_of(sentence) for sentence in sentences]
    weights = _rarity(wanted, [entry.own | entry.above for entry in words])
    overlaps = [_overlap(wanted, entry, weights) for entry in words]
    cosines = [float(value) for value in vectors @ question_vector]
    members: dict[int, list[int]] = {}
    for i, sentence in enumerate(sentences):
        members.setdefault(sentence.rank, []).append(i)
    foreign = is_cjk(question)
    held = {
        rank_: frozenset[str]().union(*(words[i].own | words[i].above for i in indices))
        for rank_, indices in members.items()
    }
    passages = _passage_scores(wanted, held, cosines, members, trusts_cosine=not foreign)
    kind = asked_for(question)
    named = set(_NUMBERED.findall(question))
    pairs = set(pairwise(wanted))
    trust = _FOREIGN_COSINE if foreign else 1.0
    by_cosine, by_cover, by_passage, bias = _CONFIDENCE_FOREIGN if foreign else _CONFIDENCE

    ranked = []
    for rank_, indices in members.items():
        for place, i in enumerate(indices):
            before = overlaps[indices[place - 1]] if place else 0.0
            other = _OTHER_THING if _is_about_another(named, question, sentences[i]) else 0.0
            around = [cosines[indices[j]] for j in (place - 1, place + 1) if 0 <= j < len(indices)]
            order = words[i].order
            score = (
                trust * _COSINE * cosines[i]
                + _OVERLAP * overlaps[i]
                + _OVERLAP_BEFORE * before
                + _TYPE * (holds(kind, sentences[i].text, question) if kind else 0.0)
                + trust * _NEIGHBOUR * max(around, default=0.0)
                + _PAIRS * len(pairs & set(pairwise(order))) / max(1, len(pairs))
                + _LENGTH * min(len(order), 40) / 40
                + passages[rank_]
                - other
            )
            confidence = (
                by_cosine * cosines[i]
                + by_cover * _cover(wanted, words[i].own)
                + by_passage * _cover(wanted, held[rank_])
                + bias
                - other
            )
            ranked.append(Ranked(sentence=sentences[i], score=score, confidence=confidence))
    return sorted(ranked, key=lambda entry: -entry.score)


def question_terms(question: str) -> list[str]:
    """Words that an answer should share; a question made of common words only keeps those."""
    return list(dict.fromkeys(terms(question))) or list(dict.fromkeys(map(stem, tokens(question))))


def _terms_of(sentence: Sentence) -> _Terms:
    order = terms(sentence.text)
    return _Terms(frozenset(order), frozenset(terms(sentence.context)), tuple(order))


def _rarity(wanted: Sequence[str], sets: Sequence[frozenset[str]]) -> Mapping[str, float]:
    counts = Counter(word for entry in sets for word in entry)
    return {
        word: math.log(1 + (len(sets) - counts[word] + 0.5) / (counts[word] + 0.5)) * (0.5 if word in STOPWORDS else 1)
        for word in wanted
    }


def _overlap(wanted: Sequence[str], words: _Terms, weights: Mapping[str, float]) -> float:
    total = sum(weights.values())
    if not total:
        return 0.0
    held = sum(
        weights[word] * (1.0 if word in words.own else _CONTEXT_SHARE)
        for word in wanted
        if word in words.own or word in words.above
    )
    return held / total


def _is_about_another(named: set[str], question: str, sentence: Sentence) -> bool:
    """Whether a sentence names things of the question's kind (`Falcon 20`), but not the one that it asks for.

    What stands first in a table's row is a name, also where the question writes it without a capital.
    """
    if sentence.cells and (key := _NUMBERED.fullmatch(sentence.cells[0][1])):
        kind = re.compile(rf"\b{re.escape(key[0].rpartition(' ')[0])} \d{{1,4}}\b", re.IGNORECASE)
        asked = {name.casefold() for name in kind.findall(question)}
        if asked and asked.isdisjoint(name.casefold() for name in kind.findall(sentence.text)):
            return True
    if not named:
        return False
    others = set(_NUMBERED.findall(f"{sentence.text} {sentence.context}"))
    return bool(others) and not named & others


def _cover(wanted: Sequence[str], held: frozenset[str]) -> float:
    return sum(word in held for word in wanted) / len(wanted) if wanted else 0.0


def _passage_scores(
    wanted: Sequence[str],
    held: Mapping[int, frozenset[str]],
    cosines: Sequence[float],
    members: Mapping[int, Sequence[int]],
    *,
    trusts_cosine: bool,
) -> dict[int, float]:
    weights = _rarity(wanted, list(held.values()))
    total = sum(weights.values()) or 1.0
    return {
        rank_: _PASSAGE_OVERLAP * sum(weights[word] for word in wanted if word in held[rank_]) / total
        + _RANK / (1 + rank_)
        + _PASSAGE_COSINE * (1.0 if trusts_cosine else _FOREIGN_COSINE) * max(cosines[i] for i in indices)
        for rank_, indices in members.items()
    }
