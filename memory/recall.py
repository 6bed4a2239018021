"""Recalling: the few things that matter for a question, of what is remembered for whoever asks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from memory.access import readable
from memory.index import MemoryIndex
from memory.ledger import Clock
from memory.reading import live
from memory.records import MemoryVersion
from memory.rows import heads, read_version
from memory.trust import TrustClass
from models.tokens import estimate_tokens
from records.database import Database
from records.ids import now
from records.principal import Principal
from records.schema import memory_records as records
from records.schema import memory_versions as versions

Mode = Literal["hybrid", "dense", "bm25"]

WORDS = 0.5
"""What the best match by words counts beside a cosine of 1. Cosines are taken as they are: where only one thing is
remembered, that it is the best match says nothing."""

LEAST = 0.12
"""What is less relevant than this has nothing to do with the question."""

HALF_LIFE = timedelta(days=90)
OLDEST = 0.6
"""What is left of a memory's weight when it is old: to be old is not to be wrong."""

WEIGHT: Mapping[TrustClass, float] = {"stated": 1.0, "inferred": 0.9, "imported": 0.8, "untrusted": 0.5}

_DEPTH = 40
_MAX_QUESTION = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A record that was recalled, and why it ranks where it does: the score is the product of the three.

    Attributes:
        tokens: How much of the budget it takes, estimated.
    """

    version: MemoryVersion
    relevance: float
    recency: float
    trust: float
    tokens: int

    @property
    def score(self) -> float:
        """What it is ranked by, from 0 to 1."""
        return self.relevance * self.recency * self.trust


class Recaller:
    """Hybrid search over what is live for a principal. The index proposes; what is true is read from the record."""

    def __init__(self, database: Database, index: MemoryIndex, clock: Clock = now) -> None:
        self._database = database
        self._index = index
        self._clock = clock

    async def recall(
        self, principal: Principal, question: str, budget: int, *, limit: int = 10, mode: Mode = "hybrid"
    ) -> Sequence[Recalled]:
        """At most ``limit`` records that matter for the question, the best first, within ``budget`` tokens together.

        What is about other users is not recalled, not for administrators either, unless it was shared with a group of
        the asker. Of records with one slot the last written is recalled.

        Args:
            mode: ``dense`` and ``bm25`` search by one leg alone.

        Raises:
            RetrievalError: The index or the model cannot be reached.
        """
        question = question[:_MAX_QUESTION]
        if not question.strip() or limit < 1:
            return []
        await self._index.catch_up(principal.tenant, batches=1)
        legs = ["dense", "bm25"] if mode == "hybrid" else [mode]
        found = await self._index.search(principal, question, _DEPTH + limit, legs)
        relevance = _relevance(
            {leg: {hit.id: hit.score for hit in hits} for leg, hits in zip(legs, found, strict=True)}
        )
        moment = self._clock()
        alive = await self._live(principal, list(relevance), moment)
        ranked = sorted(
            (_judged(version, relevance[version.id], moment) for version in alive),
            key=lambda each: (-each.score, each.version.id),
        )
        return _within([each for each in ranked if each.relevance >= LEAST][:limit], budget)

    async def _live(self, principal: Principal, ids: Sequence[str], moment: datetime) -> Sequence[MemoryVersion]:
        # As one who reads only what is his: see ``recall``.
        asker = replace(principal, scopes=frozenset())
        asked = heads(principal.tenant).where(readable(asker), *live(moment))
        async with self._database.read() as connection:
            rows = await connection.execute(asked.where(records.c.id.in_(ids)))
            found = [read_version(row) for row in rows]
            slots = {version.content.slot for version in found} - {None}
            others = await connection.execute(asked.where(versions.c.slot.in_(slots))) if slots else []
            rivals = [read_version(row) for row in others]
        last = {_place(rival): rival.id for rival in sorted(rivals, key=lambda each: each.seq)}
        return [version for version in found if last.get(_place(version), version.id) == version.id]


def _relevance(legs: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """How relevant each record is, from 0 to 1: the cosine, and what the words say beside the best match by words."""
    meant, said = legs.get("dense", {}), legs.get("bm25", {})
    best = max(said.values(), default=0.0)
    weights = {"dense": 1.0, "bm25": WORDS}
    total = sum(weights[leg] for leg in legs)
    return {
        key: (max(0.0, meant.get(key, 0.0)) + (WORDS * max(0.0, said.get(key, 0.0)) / best if best > 0 else 0.0))
        / total
        for key in dict.fromkeys([*meant, *said])
    }


def _place(version: MemoryVersion) -> tuple[object, ...]:
    """What only one record has at a time, but after a rollback."""
    return version.subject, version.kind, version.content.slot or version.id, version.content.acl


def _judged(version: MemoryVersion, relevance: float, moment: datetime) -> Recalled:
    age = max(timedelta(0), moment - version.created_at)
    return Recalled(
        version=version,
        relevance=relevance,
        recency=OLDEST + (1 - OLDEST) * 0.5 ** (age / HALF_LIFE),
        trust=WEIGHT[version.content.trust],
        tokens=estimate_tokens(version.content.text),
    )


def _within(ranked: Iterable[Recalled], budget: int) -> list[Recalled]:
    """The best that fit; what is too long makes room for what comes after it."""
    kept: list[Recalled] = []
    for each in ranked:
        if each.tokens <= budget:
            kept.append(each)
            budget -= each.tokens
    return kept
