"""One search as it goes: what the two legs find, how it ranks, and where it leads.

This runs where the points are, in the process of the embedded store too, so it imports little and waits for nothing but
the points and the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal, Protocol

from retrieval.feedback import topic_of, toward_topic
from retrieval.fusion import Leg, add, evidence, min_max, ranked
from retrieval.hops import HITS_PER_NAME, HOPS, Hop, calls_for_hop, follow, names
from retrieval.passages import Ranked, readable, runs_of
from retrieval.questions import lexical
from retrieval.vectors.port import BM25, DENSE, Bm25Query, DenseQuery, Hit

if TYPE_CHECKING:
    from retrieval.live import Live, Version

Mode = Literal["hybrid", "dense", "bm25"]

DENSE_POWER = 3.0
BM25_POWER = 1.0
"""How sharply each leg's scores are told apart when several sentences are searched for. Cosines lie close together,
BM25 scores far apart."""

LEAST_SPREAD = 0.3
"""Cosines of a leg's best and last hit that lie closer than this say little, as with a language that the embedding
model never learnt; an English question over English text has 0.3 to 0.7."""

_DEEPER = 10


class PointsGone(Exception):
    """Points that were found have been removed since: their version is no longer live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is searched for.

    Attributes:
        text: The question, or the story.
        parts: The texts that are searched for, as ``retrieval.questions.segments`` gives them.
        vectors: One for each part, or none where words alone are searched for.
        limit: How many passages are wanted; chunks that touch are one.
        depth: Hits that are asked of each leg.
    """

    text: str
    parts: Sequence[str]
    vectors: Sequence[Sequence[float]]
    mode: Mode
    limit: int
    depth: int

    @property
    def fused_closely(self) -> bool:
        """Whether both legs search for one question, not for the sentences of a story."""
        return self.mode == "hybrid" and len(self.parts) == 1


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        chunks: The best, at least as many as make the passages wanted, if there are.
        versions: The document versions whose text had a part in it: the chunks', and what led to them.
    """

    chunks: list[Ranked]
    versions: set[Version]


class Points(Protocol):
    """The points of one index that match one filter; see ``VectorStore`` for what the methods promise."""

    async def search(self, queries: Sequence[DenseQuery | Bm25Query], *, payloads: bool) -> list[list[Hit]]:
        """The hits of each query."""
        ...

    async def payloads(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """The payloads of those of these points that are there."""
        ...

    async def near(self, ids: Sequence[str], weights: Mapping[str, float]) -> Mapping[str, float]:
        """How near each of these points lies to the weighted middle of some points."""
        ...


@dataclass(slots=True)
class Search:
    """One search for a question.

    Attributes:
        live: Where it is given, hits are not believed before the record calls them live, and what is not has no part in
            the search at all. Without it everything is taken for live, payloads are read of few points only, and
            whoever asked checks ``Found.versions``.
    """

    question: Question
    points: Points
    live: Live | None = None
    _fused: dict[str, float] = field(default_factory=dict)
    _scores: dict[str, dict[str, float]] = field(default_factory=dict)
    _payloads: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _dropped: bool = False

    async def find(self) -> Found:
        """Search by both legs, or by one, rank what they find, and follow it when the question calls for it.

        Raises:
            PointsGone: Not where ``live`` is given.
        """
        await self._ask_legs(self.question.depth)
        if self._dropped and len(self._scores) < self.question.limit:
            # Old versions took the places of live ones: once more, deeply.
            await self._ask_legs(_DEEPER * self.question.depth)
        # What is likely shown is also what is likely followed.
        await self._read(ranked(self._fused)[: self.question.limit + 1])
        if self.question.fused_closely and self._fused:
            await self._hop()
        chunks = await self._enough()
        return Found(chunks, {(each["document_id"], each["version"]) for each in self._payloads.values()})

    async def _ask_legs(self, depth: int) -> None:
        question = self.question
        dense = [DenseQuery(vector=vector, limit=depth) for vector in question.vectors]
        words = [Bm25Query(text=lexical(part), limit=depth) for part in question.parts]
        if question.mode == DENSE:
            words = []
        found = await self._search([*dense, *words])
        power, spread = (1.0, LEAST_SPREAD) if len(question.parts) == 1 else (DENSE_POWER, 0.0)
        by_meaning = min_max(evidence(self._note(DENSE, found[: len(dense)]), power), spread)
        by_words = min_max(evidence(self._note(BM25, found[len(dense) :]), BM25_POWER))
        legs = [leg for leg, asked in ((by_meaning, dense), (by_words, words)) if asked]
        self._fused = add(legs, [1 / len(legs)] * len(legs))
        if question.fused_closely and self._fused:
            await self._toward_topic(trust=max(by_meaning.values(), default=0.0))

    async def _toward_topic(self, trust: float) -> None:
        near = await self.points.near(ranked(self._fused), topic_of(self._fused))
        if near.keys() == self._fused.keys():
            self._fused = toward_topic(self._fused, near, trust)
        elif self.live is None:
            raise PointsGone

    async def _hop(self) -> None:
        """Follow the names in the best passages, while those that were read leave part of the question open."""
        question = self.question.text
        read: dict[str, str] = {}
        reached: dict[str, Leg] = {}
        for hop in HOPS:
            origins = self._origins(hop, read.keys())
            await self._read(origins)
            if not origins or not calls_for_hop(question, " ".join(read.values()) or self._passage(origins[0])):
                return
            read |= {key: self._passage(key) for key in origins}
            named = {key: names(question, read[key]) for key in origins}
            wanted = [name for name in dict.fromkeys(chain.from_iterable(named.values())) if name not in reached]
            if not wanted:
                return
            found = await self._search([Bm25Query(text=name, limit=HITS_PER_NAME) for name in wanted])
            reached |= zip(wanted, self._note("hop", found), strict=True)
            legs = {key: [reached[name] for name in some] for key, some in named.items()}
            self._fused = follow(self._fused, origins, legs, hop.weight)

    def _origins(self, hop: Hop, read: AbstractSet[str]) -> list[str]:
        """The best passages to go on from; after the first hop only those that it led to."""
        there = (key for key in ranked(self._fused) if key not in read and (not read or "hop" in self._scores[key]))
        return list(islice(there, hop.origins))

    def _passage(self, key: str) -> str:
        payload = self._payloads[key]
        return f"{payload['title']}\n{readable(payload)}"

    async def _enough(self) -> list[Ranked]:
        """As many of the best chunks as fill the passages wanted."""
        keys, count = ranked(self._fused), self.question.limit + 1
        while True:
            await self._read(keys[:count])
            chunks = [Ranked(self._payloads[key], self._fused[key], self._scores[key]) for key in keys[:count]]
            if len(chunks) == len(keys) or sum(map(len, runs_of(chunks, self.question.limit))) < len(chunks):
                return chunks
            count *= 2

    async def _search(self, queries: Sequence[DenseQuery | Bm25Query]) -> list[list[Hit]]:
        found = await self.points.search(queries, payloads=self.live is not None)
        if self.live is None:
            return found
        live = await self.live.of(map(_version, chain.from_iterable(found)))
        kept = [[hit for hit in hits if _version(hit) in live] for hits in found]
        self._payloads |= {hit.id: hit.payload for hit in chain.from_iterable(kept)}
        self._dropped = sum(map(len, kept)) < sum(map(len, found))
        return kept

    async def _read(self, keys: Sequence[str]) -> None:
        """See that the payloads of these points are at hand."""
        unread = [key for key in keys if key not in self._payloads]
        if unread:
            read = await self.points.payloads(unread)
            if len(read) < len(unread):
                raise PointsGone
            self._payloads |= read

    def _note(self, leg: str, found: Sequence[Sequence[Hit]]) -> list[Leg]:
        for hits in found:
            for hit in hits:
                scores = self._scores.setdefault(hit.id, {})
                scores[leg] = max(hit.score, scores.get(leg, hit.score))
        return [{hit.id: hit.score for hit in hits} for hits in found]


def _version(hit: Hit) -> Version:
    return hit.payload["document_id"], hit.payload["version"]
