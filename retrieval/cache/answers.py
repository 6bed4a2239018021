"""The nouns of the cache: an answer that was kept, what asking for one comes to, an answer that was made afresh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from numpy.typing import NDArray

from retrieval.cache.experience import Considered
from retrieval.cache.scope import Scope
from retrieval.documents import Source

DecidedBy = Literal["exact", "near"]

Reason = Literal[
    "",
    "disabled",
    "oversized",
    "empty",
    "learning",
    "refused",
    "unsure",
    "stale",
    "unavailable",
]
"""Why no answer is given: the cache is off; the question is blank or too long; nothing near it is kept; there is too
little evidence yet to give anything; a rule speaks against all that is near; nothing is likely enough to be right; the
documents have changed; the embedder, the vector store or the database does not answer. Nothing for a hit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """How the cache is run.

    Attributes:
        max_error: The share of wrong answers among those given again that must not be exceeded.
        shadow: The share of answers given again that are answered afresh instead, and compared.
        ttl: How long an answer may be given again.
        max_entries: Answers kept for a tenant; those worth least make room.
        trusted_only: Whether an answer is kept only when all of its sources are trusted.
    """

    enabled: bool = True
    max_error: float = 0.01
    shadow: float = 0.05
    ttl: timedelta = timedelta(days=30)
    max_entries: int = 100_000
    trusted_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAnswer:
    """An answer that was kept, with all that a fresh one has.

    Attributes:
        question: The one that it was made for.
        query: What was searched for then.
        sources: Every source it was given, in the order of their labels.
    """

    id: str
    question: str
    text: str
    query: str
    sources: tuple[Source, ...]
    finish_reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshAnswer:
    """An answer that was just made.

    Attributes:
        revision: Of the collection, read before it was searched.
    """

    text: str
    query: str
    sources: tuple[Source, ...]
    finish_reason: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consulted:
    """What asking the cache came to; ``AnswerCache`` wants it back with what was made of it.

    Attributes:
        answer: What may be given, if there is something.
        check: Whether chance has it that the question is answered afresh and compared instead (`AnswerCache.keep`).
        decided_by: ``exact`` where the question was asked before in the same words.
        score: The probability that the answer is right, as far as is known; 1 for an exact one.
        threshold: What the score had to reach.
        reason: Why nothing is given; empty for a hit.
        decision: Each step of the decision, in words.
    """

    scope: Scope
    question: str
    answer: CachedAnswer | None = None
    check: bool = False
    decided_by: DecidedBy = "near"
    score: float = 0.0
    threshold: float = 0.0
    reason: Reason = ""
    decision: tuple[str, ...] = ()
    considered: Considered | None = field(default=None, repr=False)
    vector: NDArray[Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An answer that was looked at for a question.

    Attributes:
        similarity: Cosine of the two questions.
        disagreements: The rules that speak against it.
    """

    id: str
    question: str
    similarity: float
    disagreements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would be decided about a question now, and what was looked at."""

    consulted: Consulted
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a tenant's cache holds and has done.

    Attributes:
        collections: Answers kept, by collection.
        threshold: The score from which answers are given again; above 1 nothing is, but for exact repeats.
        counts: How often what happened: ``exact``, ``near``, ``missed``, ``stale``, ``stored``, ``checked`` and of
            those ``wrong``, ``complaints``.
    """

    entries: int
    collections: Mapping[str, int]
    unindexed: int
    threshold: float
    max_error: float
    counts: Mapping[str, int]


MAX_QUESTION = 2_000
"""Characters of a question that the cache looks at; a longer one is a story, and hardly ever told twice."""

MAX_ANSWER = 40_000
"""Characters of an answer that is kept."""

MAX_SOURCES = 64


def why_not(question: str, fresh: FreshAnswer, settings: CacheSettings) -> str:
    """Why an answer is not kept; empty if it may be."""
    trusted = all(source.trust == "trusted" for source in fresh.sources)
    size = sum(len(source.text) for source in fresh.sources)
    reasons: Sequence[tuple[bool, str]] = (
        (len(question) > MAX_QUESTION, "the question is too long"),
        (not fresh.text.strip(), "the answer is empty"),
        (len(fresh.text) > MAX_ANSWER, "the answer is too long"),
        (len(fresh.sources) > MAX_SOURCES or size > 10 * MAX_ANSWER, "it has too many sources"),
        (fresh.finish_reason != "stop", f"it ended with {fresh.finish_reason!r}"),
        (settings.trusted_only and not trusted, "it draws on an untrusted source"),
    )
    return next((reason for holds, reason in reasons if holds), "")
