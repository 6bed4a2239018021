"""What a run does before its model is asked: it recalls, asks for an answer that was given before, and searches."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import structlog

from agent.events import CacheHit, CacheMissed, RecalledMemory
from agent.knowledge.following import LeaderLost, Leaders
from models.messages import FinishReason, ModelItem, Remembered
from records.principal import Principal
from retrieval.documents import Source
from tools.search import Searcher

_log = structlog.get_logger("cairn.runs")

CacheUse = Literal["auto", "bypass"]
Search = Callable[[], Awaitable[Sequence[Source]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run asks, and of what.

    Attributes:
        query: The question as documents are searched for it.
        alone: Whether it stands on its own; a question in a conversation may mean what only the conversation tells.
        tools: Names of the tools that are offered for it.
        sources: How many a search may bring.
        run_id: The run that asks; empty for whoever only wants to know what would be answered.
    """

    principal: Principal
    question: str
    query: str
    collection: str
    model: str
    tools: tuple[str, ...]
    alone: bool
    cache: CacheUse
    sources: int
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer that was given before, with the sources that it cites in the order of their labels."""

    hit: CacheHit
    text: str
    query: str
    sources: tuple[Source, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of asking for an earlier answer.

    Attributes:
        given: The answer that may be given again.
        missed: Why there is none.
        trace: What the answers themselves need to know later: how this one turned out.
        question: The same for all who may be given the same answer; None where it has to be made for this one alone.
    """

    given: Given | None = None
    missed: CacheMissed | None = None
    trace: Any = None
    question: Hashable = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """An answer that was just given."""

    text: str
    query: str
    sources: tuple[Source, ...]
    finish_reason: FinishReason


class Answers(Protocol):
    """Answers that were given before. No method raises: an answer can always be made afresh."""

    async def look_up(self, asked: Asked, search: Search) -> Looked | None:
        """An answer that may be given again; None where there is nothing that one could rest on."""
        ...

    def keep(self, looked: Looked, fresh: Fresh) -> Coroutine[Any, Any, None]:
        """Learn from an answer that was made after all, and keep it."""
        ...

    def passed(self, looked: Looked) -> Coroutine[Any, Any, None]:
        """An answer was given again."""
        ...


class Memories(Protocol):
    """What is remembered of whoever asks."""

    async def recall(self, principal: Principal, question: str) -> Sequence[tuple[RecalledMemory, Remembered]]:
        """What matters for a question, best first: as it is told, and as a model sees it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that there is to answer from.

    Attributes:
        following: The run that is giving the same answer at this moment.
    """

    query: str
    sources: tuple[Source, ...] = ()
    memories: tuple[tuple[RecalledMemory, Remembered], ...] = ()
    given: Given | None = None
    missed: CacheMissed | None = None
    following: CacheHit | None = None


class Preparation:
    """Prepares runs. Only the search may fail: the rest makes an answer better or quicker."""

    def __init__(
        self,
        searcher: Searcher,
        answers: Answers | None = None,
        memories: Memories | None = None,
        leaders: Leaders | None = None,
    ) -> None:
        self._leaders = leaders
        self._searcher = searcher
        self._answers = answers
        self._memories = memories
        self._learning: set[asyncio.Task[None]] = set()

    async def prepare(self, asked: Asked) -> tuple[Prepared, Looked | None]:
        """What there is to answer from, and what came of asking for an earlier answer, for ``keep`` or ``passed``.

        Raises:
            RetrievalError: The documents cannot be searched.
        """
        search = _Once(lambda: self._searcher.search(asked.query, asked.principal, asked.collection, asked.sources))
        recalling = asyncio.create_task(self._recall(asked))
        try:
            looked = await self._look_up(asked, search)
            memories = await recalling
            if looked is not None and memories:
                # What was answered to somebody of whom nothing is remembered may be wrong for one of whom something is.
                reason = "something is remembered of whoever asks"
                looked = Looked(missed=CacheMissed(reason="memory", decision=(reason,)))
            if looked is not None and looked.given is not None:
                given = looked.given
                return Prepared(query=given.query, sources=given.sources, given=given), looked
            found = tuple(await search())
        finally:
            recalling.cancel()
        if looked is not None and (following := self._following(asked, looked)) is not None:
            return Prepared(query=asked.query, sources=found, following=following), None
        missed = looked.missed if looked is not None else None
        kept = looked if looked is not None and looked.trace is not None else None
        return Prepared(query=asked.query, sources=found, memories=tuple(memories), missed=missed), kept

    def follow(self, leader: str, sources: Sequence[Source]) -> AsyncGenerator[ModelItem, None]:
        """What another run is answering from these sources.

        Raises:
            LeaderLost: It cannot be followed any further.
        """
        if self._leaders is None:
            raise LeaderLost("nobody leads here")
        return self._leaders.stream(leader, sources)

    def done(self, run_id: str) -> None:
        """A run has ended, or waits: nobody is to follow it who does not yet."""
        if self._leaders is not None:
            self._leaders.done(run_id)

    def answered(self, run_id: str, looked: Looked, fresh: Fresh | None) -> None:
        """Learn from how a run ended, while nobody waits; until that is done it can be followed.

        Args:
            fresh: The answer, where it was made and may be kept.
        """
        if self._answers is None or (fresh is None and looked.given is None):
            self.done(run_id)
            return
        learning = self._answers.passed(looked) if fresh is None else self._answers.keep(looked, fresh)
        task = asyncio.create_task(learning)
        self._learning.add(task)
        if self._leaders is not None:
            self._leaders.keeping(run_id, task)
        task.add_done_callback(self._learning.discard)
        task.add_done_callback(lambda _: self.done(run_id))

    async def settled(self) -> None:
        """Wait until all is learnt."""
        while self._learning:
            await asyncio.gather(*self._learning, return_exceptions=True)

    def _following(self, asked: Asked, looked: Looked) -> CacheHit | None:
        if self._leaders is None or looked.question is None:
            return None
        leader = self._leaders.lead(looked.question, asked.run_id)
        if leader is None:
            return None
        decision = looked.missed.decision if looked.missed is not None else ()
        return CacheHit(
            entry_id=leader,
            question=asked.question,
            decided_by="concurrent",
            score=1.0,
            threshold=1.0,
            age_seconds=0.0,
            decision=(*decision, "somebody is being answered the same question"),
        )

    async def _recall(self, asked: Asked) -> Sequence[tuple[RecalledMemory, Remembered]]:
        if self._memories is None:
            return ()
        try:
            return await self._memories.recall(asked.principal, asked.question)
        except Exception as error:  # noqa: BLE001 - an answer without it is better than none
            _log.warning("nothing could be recalled", exc_info=error)
            return ()

    async def _look_up(self, asked: Asked, search: Search) -> Looked | None:
        if self._answers is None:
            return None
        if not asked.alone:
            reason = "the question stands in a conversation"
            return Looked(missed=CacheMissed(reason="conversation", decision=(reason,)))
        moment = self._leaders.moment if self._leaders is not None else 0
        looked = await self._answers.look_up(asked, search)
        if self._leaders is None or looked is None or looked.question is None:
            return looked
        if await self._leaders.kept_since(looked.question, moment):
            looked = await self._answers.look_up(asked, search)
        return looked


class _Once:
    """A search that is made when it is first asked for, and not again."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._found: Sequence[Source] | None = None

    async def __call__(self) -> Sequence[Source]:
        if self._found is None:
            self._found = await self._search()
        return self._found


def milliseconds_since(started: float) -> float:
    """Of a reading of ``time.perf_counter``."""
    return round((time.perf_counter() - started) * 1000, 1)
