"""An answer from passages: one or two of their sentences, each cited, or the plain word that none answers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.extractive.ranking import Ranked, question_terms
from models.extractive.sentences import Sentence
from models.extractive.tables import fitted
from models.extractive.words import is_cjk, terms, word_count

NOT_FOUND = "I could not find that in the documents."

_ANSWER_WORDS = 90
_LONG_SENTENCE = 60
_SECOND_WITHIN = 3.0
_ANSWERS = -1.8
_SURE = 2.5
_PRONOUN = re.compile(
    r"^(?:it|its|they|their|them|he|his|she|her|this|these|those|that|such|the latter|the former|both)\b", re.IGNORECASE
)
_CLAUSE = re.compile(r"(?<=[;:—–])\s+|(?<=,)\s+(?=(?:and|but|while|whereas|although|though|because|since|so|which|who"
                     r"|where|when|with|as)\b)|(?<=[,，；])(?=[^\s\d])")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the documents say to a question.

    Attributes:
        text: One or two cited sentences, or ``NOT_FOUND``.
        is_sure: Whether the sentence is so close to the question that it needs nothing beside it.
        confidence: The probability that it answers the question.
    """

    text: str
    is_sure: bool
    confidence: float = 1.0


def compose(question: str, ranked: Sequence[Ranked], sentences: Sequence[Sentence]) -> Answer:
    """Word the answer.

    Args:
        question: What was asked.
        ranked: Candidates, best first.
        sentences: Every sentence of the passages in order, to find what a pronoun refers to.
    """
    if not ranked or ranked[0].confidence < _ANSWERS:
        return Answer(text=NOT_FOUND, is_sure=False, confidence=_probability(ranked))
    chosen = [fitted(sentence, question, sentences) for sentence in _chosen(ranked, sentences)]
    shown = list(dict.fromkeys((_finished(_trim(one.text, question)), one.label) for one in chosen))
    if len(shown) > 1 and sum(word_count(text) for text, _ in shown) > _ANSWER_WORDS:
        shown = shown[:1]
    elif len(shown) > 1 and chosen[0].label == chosen[1].label and chosen[0].position > chosen[1].position:
        shown.reverse()
    text = " ".join(f"{sentence} [{label}]" for sentence, label in shown)
    is_sure = ranked[0].confidence >= _SURE and len(question_terms(question)) > 1
    return Answer(text=text, is_sure=is_sure, confidence=_probability(ranked))


def _probability(ranked: Sequence[Ranked]) -> float:
    """The probability that the best candidate answers; its log-odds are known."""
    return round(1 / (1 + math.exp(-ranked[0].confidence)), 4) if ranked else 0.0


def _chosen(ranked: Sequence[Ranked], sentences: Sequence[Sentence]) -> list[Sentence]:
    best = ranked[0].sentence
    second = _antecedent(best, sentences) or _second(ranked)
    return [best] if second is None else [best, second]


def _second(ranked: Sequence[Ranked]) -> Sentence | None:
    if len(ranked) < 2 or ranked[0].score - ranked[1].score > _SECOND_WITHIN:
        return None
    return ranked[1].sentence


def _antecedent(sentence: Sentence, sentences: Sequence[Sentence]) -> Sentence | None:
    """The sentence before one that opens with a pronoun."""
    if not _PRONOUN.match(sentence.text):
        return None
    return next((one for one in sentences if one.rank == sentence.rank and one.position == sentence.position - 1), None)


def _trim(text: str, question: str) -> str:
    """Cut a very long sentence to the run of clauses that says most about the question."""
    if word_count(text) <= _LONG_SENTENCE:
        return text
    clauses = [clause for clause in _CLAUSE.split(text) if clause]
    wanted = set(terms(question))
    gains = [len(wanted & set(terms(clause))) for clause in clauses]
    best, value = (0, len(clauses)), -1.0
    for start in range(len(clauses)):
        for end in range(start + 1, len(clauses) + 1):
            words = sum(word_count(clause) for clause in clauses[start:end])
            if words > _LONG_SENTENCE and end > start + 1:
                break
            worth = sum(gains[start:end]) + words / _LONG_SENTENCE
            if worth > value:
                best, value = (start, end), worth
    joint = "" if is_cjk(text) else " "
    kept = joint.join(clauses[best[0] : best[1]]).rstrip(" ,;:—–，；")
    return f"{'… ' if best[0] else ''}{kept}{' …' if best[1] < len(clauses) else ''}"


def _finished(text: str) -> str:
    text = text.rstrip(" ,;:")
    return text if text.endswith((".", "!", "?", "…", "。", "！", "？", '"', "”", ")", "'", "’")) else f"{text}."
