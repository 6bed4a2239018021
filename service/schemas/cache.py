"""The bodies about answers that are given again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from retrieval.cache.answers import CacheStats, DecidedBy, Explanation
from service.schemas.fields import Name


class CacheStatsBody(BaseModel):
    """What the cache of a tenant holds, and has done."""

    enabled: bool
    entries: int = Field(description="Answers that are kept.")
    collections: Mapping[str, int] = Field(description="The same, by collection.")
    unindexed: int = Field(description="Of them those that are not found by meaning yet.")
    max_error: float = Field(description="The share of wrong answers among those given again that is allowed.")
    threshold: float = Field(
        description="The probability of being right from which an answer is given again; above 1 too little is known "
        "yet, and only the same words get the same answer."
    )
    counts: Mapping[str, int] = Field(
        description="How often what happened: `exact`, `near`, `missed`, `stale`, `stored`, `checked`, of those "
        "`wrong`, `complaints`. What has not happened is not in it."
    )


class CachePurge(BaseModel):
    """Which answers are to be deleted: all, or those of which what is given holds."""

    # A name that is misspelt must not come to mean all of them.
    model_config = ConfigDict(extra="forbid")

    collection: Name | None = Field(default=None, description="Only those of this collection.")
    entry_id: Name | None = Field(default=None, description="Only this one.")


class CacheQuestion(BaseModel):
    """A question that somebody might ask."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"question": "How long may I return opened headphones?"}]}
    )

    question: str = Field(min_length=1, description="It stands by itself, outside any session.")
    collection: Name | None = Field(default=None, description="The service's default if absent.")
    model: str | None = Field(default=None, max_length=200, description="`provider:name`, one that the service allows.")


class KeptAnswerBody(BaseModel):
    """An answer that would be given again."""

    entry_id: str
    question: str = Field(description="The one that it was made for.")
    answer: str
    created_at: datetime


class NeighbourBody(BaseModel):
    """An answer that was looked at."""

    entry_id: str
    question: str | None = Field(description="For administrators; null for others, since others have asked it.")
    similarity: float = Field(description="The cosine of the two questions.")
    disagreements: list[str] = Field(description="The rules that speak against giving it.")


class CacheExplanation(BaseModel):
    """What would be decided about a question now. Nothing is counted, learnt or deleted."""

    outcome: Literal["hit", "miss"]
    reason: str = Field(description="Of a miss: a stable word (docs/semantic-cache.md); empty for a hit.")
    decided_by: DecidedBy | None = Field(description="Of a hit: `exact` for the same words.")
    score: float = Field(description="The probability that the best answer is right, as far as is known.")
    threshold: float = Field(description="What the score has to reach.")
    checked: bool = Field(description="Whether chance would have had the hit answered afresh and compared, this time.")
    kept: KeptAnswerBody | None
    decision: list[str] = Field(description="Each step, in words.")
    neighbours: list[NeighbourBody] = Field(description="What lies near the question, the nearest first.")


class CachePurged(BaseModel):
    """How much was deleted."""

    entries: int


def stats_body(stats: CacheStats, *, enabled: bool) -> CacheStatsBody:
    """What is told of a tenant's cache."""
    return CacheStatsBody(
        enabled=enabled,
        entries=stats.entries,
        collections=stats.collections,
        unindexed=stats.unindexed,
        max_error=stats.max_error,
        threshold=stats.threshold,
        counts=stats.counts,
    )


def explanation_body(found: Explanation, *, whole: bool) -> CacheExplanation:
    """What is told of a decision.

    Args:
        whole: Whether the questions that others have asked are told, too.
    """
    consulted = found.consulted
    answer = consulted.answer
    return CacheExplanation(
        outcome="miss" if answer is None else "hit",
        reason=consulted.reason,
        decided_by=None if answer is None else consulted.decided_by,
        score=round(consulted.score, 4),
        threshold=round(consulted.threshold, 4),
        checked=consulted.check,
        kept=None
        if answer is None
        else KeptAnswerBody(
            entry_id=answer.id, question=answer.question, answer=answer.text, created_at=answer.created_at
        ),
        decision=list(consulted.decision),
        neighbours=[
            NeighbourBody(
                entry_id=each.id,
                question=each.question if whole else None,
                similarity=round(each.similarity, 4),
                disagreements=list(each.disagreements),
            )
            for each in found.neighbours
        ],
    )
