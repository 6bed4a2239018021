"""The semantic cache: an answer is given again where that is right often enough; see docs/semantic-cache.md."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog

from records.database import Database
from records.ids import now
from retrieval.cache.answers import (
    MAX_QUESTION,
    CacheSettings,
    CacheStats,
    Consulted,
    Explanation,
    FreshAnswer,
    Neighbour,
    why_not,
)
from retrieval.cache.candidates import Candidate
from retrieval.cache.comparing import Comparer
from retrieval.cache.deciding import Decider, missed
from retrieval.cache.entries import Entries
from retrieval.cache.experience import Experience
from retrieval.cache.freshness import Search
from retrieval.cache.index import AnswerIndex
from retrieval.cache.learning import Learning
from retrieval.cache.outcomes import Outcomes
from retrieval.cache.scope import Scope
from retrieval.cache.upkeep import Upkeep
from retrieval.cache.words import normal
from retrieval.embedding.port import Embedder
from retrieval.vectors.port import VectorStore

Clock = Callable[[], datetime]
_log = structlog.get_logger("cairn.cache")


class AnswerCache:
    """Answers that were given before, for one service; any number of services share the record and the index.

    Whoever asks it (`consult`) tells it what became of that: `passed` where the answer was given, `keep` where a fresh
    one was made. Nothing that goes wrong in here is an error of a run: then there is no answer, and nothing is kept.

    Args:
        embedder: What questions are embedded with; best one that remembers recent ones.
        draw: Draws the answers that are checked: a number from 0 to 1.
    """

    def __init__(
        self,
        database: Database,
        store: VectorStore,
        embedder: Embedder,
        settings: CacheSettings,
        *,
        clock: Clock = now,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._entries = Entries(database)
        self._outcomes = Outcomes(database)
        self._index = AnswerIndex(database, store, embedder)
        self._upkeep = Upkeep(database, settings.max_entries)
        self._learning = Learning(
            database, embedder.name, lambda: Experience(settings.max_error, settings.shadow, draw)
        )
        self._decider = Decider(
            self._entries,
            self._index,
            self._learning,
            lambda: clock() - settings.ttl,
            lambda: draw() < settings.shadow,
        )
        self._comparer = Comparer(self._entries, self._outcomes, self._index, self._learning, self._decider, embedder)
        self._uses: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def consult(self, scope: Scope, question: str, *, search: Search) -> Consulted:
        """Look for an answer that may be given to a question.

        Args:
            question: It stands by itself: nothing of a conversation is needed to understand it.
            search: Finds what the question would be answered from; asked only where documents have changed.
        """
        consulted = await self._decide(scope, question, search)
        if consulted.reason != "disabled":
            self._learning.count(scope.tenant, "missed" if consulted.answer is None else consulted.decided_by)
        return consulted

    async def passed(self, consulted: Consulted) -> None:
        """Take in that the answer was given."""
        if consulted.answer is None:
            return
        self._uses[consulted.scope.tenant][consulted.answer.id] += 1
        if (considered := consulted.considered) is not None:
            self._learning.learn(consulted.scope.tenant, lambda experience: experience.passed(considered))

    async def keep(self, consulted: Consulted, fresh: FreshAnswer) -> None:
        """Take in an answer that was made afresh: compare it with what would have been given, and keep it."""
        if consulted.reason in {"disabled", "oversized"} or fresh.finish_reason != "stop" or not fresh.text.strip():
            return
        like = None
        with _harmless("an answer could not be compared"):
            like = await self._comparer.compare(consulted, fresh)
        with _harmless("an answer was not kept"):
            await self._keep(consulted, fresh, like)
        with _harmless("what was learnt could not be written yet"):
            await self._learning.save_due(consulted.scope.tenant)

    async def complain(self, tenant: str, entry_id: str, *, question: str | None = None, score: float = 1.0) -> None:
        """Take in that somebody was given an entry's answer and says that it is wrong. Praise is not counted.

        Args:
            question: What was asked. Where that is not known, or is what the entry was made for, the entry goes.
            score: What the answer was given with.
        """
        self._learning.count(tenant, "complaints")
        with _harmless("a complaint was not taken in"):
            await self._comparer.complain(tenant, entry_id, question, score)

    async def explain(self, scope: Scope, question: str) -> Explanation:
        """What would be decided about a question now; nothing is counted, learnt or deleted.

        Whether documents that came since would be found instead is not looked into.
        """
        consulted = await self._decide(scope, question, None)
        found = consulted.considered.found if consulted.considered is not None else ()
        return Explanation(consulted=consulted, neighbours=tuple(map(_neighbour, found)))

    async def stats(self, tenant: str) -> CacheStats:
        """What a tenant's cache holds and has done."""
        experience = await self._learning.of(tenant)
        return CacheStats(
            entries=await self._upkeep.size(tenant),
            collections=await self._upkeep.collections(tenant),
            unindexed=await self._upkeep.unindexed(tenant, self._index.model),
            threshold=experience.threshold,
            max_error=self.settings.max_error,
            counts=await self._learning.counts(tenant),
        )

    async def purge(self, tenant: str, collection: str | None = None, entry_id: str | None = None) -> int:
        """Delete a tenant's answers: all, or those of a collection, or one; how many. What was learnt stays."""
        return await self._upkeep.purge(tenant, collection, entry_id)

    async def tend(self) -> None:
        """Delete what is too old, bring the index to where the record is, write what was learnt: now and then."""
        uses, self._uses = self._uses, defaultdict(Counter)
        for tenant, times in uses.items():
            with _harmless("what was given could not be counted"):
                await self._outcomes.used(tenant, times, self._clock())
        with _harmless("what was learnt could not be written yet"):
            await self._learning.save_due()
        await self._upkeep.expire(self._clock() - self.settings.ttl)
        await self._index.tend()

    async def aclose(self) -> None:
        """Write what was learnt; what cannot be written is lost with the process."""
        for tenant in self._learning.unwritten:
            with _harmless("what was learnt could not be written"):
                await self._learning.save(tenant)

    async def _decide(self, scope: Scope, question: str, search: Search | None) -> Consulted:
        asked = Consulted(scope=scope, question=question)
        if not self.settings.enabled:
            return missed(asked, "disabled", "the cache is off")
        if not normal(question) or len(question) > MAX_QUESTION:
            return missed(asked, "oversized", f"the question is blank, or longer than {MAX_QUESTION} characters")
        try:
            return await self._decider.decide(asked, search)
        except Exception as error:  # noqa: BLE001 - the question is answered without the cache
            _log.warning("the cache could not be asked", error=type(error).__name__, detail=str(error))
            return missed(asked, "unavailable", f"the cache could not be asked ({type(error).__name__})")

    async def _keep(self, consulted: Consulted, fresh: FreshAnswer, like: str | None) -> None:
        scope, question = consulted.scope, consulted.question
        if why := why_not(question, fresh, self.settings):
            _log.debug("an answer is not kept", reason=why)
            return
        entry_id = await self._entries.add(
            scope, question, normal(question), fresh, like, self._clock(), self.settings.ttl
        )
        if entry_id is None:
            return
        self._learning.count(scope.tenant, "stored")
        await self._upkeep.grew(scope.tenant)
        if consulted.vector is not None:
            self._index.add(scope, entry_id, question, consulted.vector)


@contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Whatever goes wrong within is logged, and nobody else is told: the answer was given all the same."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        _log.warning(what, error=type(error).__name__, detail=str(error))


def _neighbour(found: Candidate) -> Neighbour:
    kept = found.nearest
    return Neighbour(
        id=kept.id, question=kept.question, similarity=kept.similarity, disagreements=tuple(found.disagreements)
    )
