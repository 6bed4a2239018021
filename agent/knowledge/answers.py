"""Answers that were given before, as runs ask for them and leave theirs: the semantic cache seen from the loop."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from agent.events import CacheHit, CacheMissed
from agent.knowledge.preparing import Asked, Fresh, Given, Looked, Search
from models.messages import FinishReason
from records.ids import now
from retrieval.active import ActiveVersions
from retrieval.cache.answers import CachedAnswer, Consulted, FreshAnswer
from retrieval.cache.cache import AnswerCache
from retrieval.cache.scope import Scope
from retrieval.cache.words import normal
from retrieval.errors import CollectionNotFound

_log = structlog.get_logger("cairn.runs")
_STOP: FinishReason = "stop"

CalledWrong = Callable[[str, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """What the cache was asked, by which run, and the collection's revision before anything was searched."""

    consulted: Consulted
    revision: int
    run_id: str


class CachedAnswers:
    """The cache for runs.

    Args:
        config_version: Stands for the settings that shape an answer.
        called_wrong: Whether somebody has called the answer of a run wrong, by its tenant and its id.
    """

    def __init__(
        self, cache: AnswerCache, record: ActiveVersions, config_version: str, called_wrong: CalledWrong | None = None
    ) -> None:
        self._cache = cache
        self._record = record
        self._config_version = config_version
        self._called_wrong = called_wrong

    async def scope(self, asked: Asked) -> tuple[Scope, int] | None:
        """Within what the answer may be given again, and the revision of its collection; None if there is none."""
        try:
            place = await self._record.collection(asked.principal.tenant, asked.collection)
        except CollectionNotFound:
            return None
        shaping = json.dumps([self._config_version, asked.model, sorted(asked.tools), asked.sources])
        config = hashlib.sha256(shaping.encode()).hexdigest()[:16]
        return Scope.of(asked.principal, place.name, config, place.language), place.revision

    async def look_up(self, asked: Asked, search: Search) -> Looked | None:
        """An answer that may be given again; None where there is nothing that one could rest on."""
        try:
            found = await self.scope(asked)
        except Exception as error:  # noqa: BLE001 - the question is answered without the cache
            _log.warning("the cache could not be asked", exc_info=error)
            return None
        if found is None:
            return None
        scope, revision = found
        consulted = await self._cache.consult(scope, asked.question, search=search)
        if consulted.reason == "disabled":
            return None
        trace = _Trace(consulted=consulted, revision=revision, run_id=asked.run_id)
        if asked.cache == "bypass":
            return Looked(missed=_missed("bypass", consulted, "a fresh answer was asked for"), trace=trace)
        if consulted.answer is None:
            question = (scope.key, normal(asked.question))
            return Looked(missed=_missed(consulted.reason, consulted), trace=trace, question=question)
        if consulted.check:
            return Looked(missed=_missed("checked", consulted), trace=trace)
        return Looked(given=_given(consulted, consulted.answer), trace=trace)

    async def keep(self, looked: Looked, fresh: Fresh) -> None:
        """Compare an answer with the one that would have been given, and keep it."""
        trace: _Trace = looked.trace
        answer = FreshAnswer(
            text=fresh.text,
            query=fresh.query,
            sources=fresh.sources,
            finish_reason=fresh.finish_reason,
            revision=trace.revision,
        )
        consulted = trace.consulted
        await self._cache.keep(consulted, answer)
        # Whoever was quicker than this to call it wrong has found nothing to withdraw.
        if self._called_wrong is not None and await self._called_wrong(consulted.scope.tenant, trace.run_id):
            await self.withdraw(consulted.scope, consulted.question)

    async def withdraw(self, scope: Scope, question: str) -> None:
        """Take in that what is kept for this very question, if anything is, was called wrong."""
        kept = (await self._cache.explain(scope, question)).consulted
        if kept.answer is not None and kept.decided_by == "exact":
            await self._cache.complain(scope.tenant, kept.answer.id, question=question)

    async def passed(self, looked: Looked) -> None:
        """An answer was given again."""
        trace: _Trace = looked.trace
        await self._cache.passed(trace.consulted)


def _given(consulted: Consulted, answer: CachedAnswer) -> Given:
    return Given(
        hit=CacheHit(
            entry_id=answer.id,
            question=answer.question,
            decided_by=consulted.decided_by,
            score=round(consulted.score, 4),
            threshold=round(consulted.threshold, 4),
            age_seconds=round((now() - answer.created_at).total_seconds(), 1),
            decision=consulted.decision,
        ),
        text=answer.text,
        query=answer.query,
        sources=answer.sources,
        finish_reason=_STOP,
    )


def _missed(reason: str, consulted: Consulted, *further: str) -> CacheMissed:
    return CacheMissed(reason=reason, decision=(*consulted.decision, *further))
