"""Kept answers as people see to them: what would be decided about a question, and which answer was wrong."""

import orjson

from agent.journal.record import RunStore
from agent.knowledge.answers import CachedAnswers
from agent.knowledge.feedback import Feedback, OnFeedback, complaints_to
from agent.knowledge.preparing import Asked
from agent.log.log import EventLog
from agent.offer import Models
from agent.run import RunRequest
from records.principal import Principal
from retrieval.cache.answers import Explanation
from retrieval.cache.cache import AnswerCache
from retrieval.errors import CollectionNotFound
from tools.toolset import Toolset

_NOBODY_ELSES = {"conversation", "memory"}
"""Why a run asked for no earlier answer: its own is given to nobody else either."""


class AnswerDesk:
    """Puts questions to the cache as runs do, for those who look at it from beside them.

    Args:
        source_limit: Sources that the first retrieval of a run may bring.
    """

    def __init__(
        self,
        cache: AnswerCache,
        answers: CachedAnswers,
        *,
        models: Models,
        toolset: Toolset,
        source_limit: int,
        runs: RunStore,
        log: EventLog,
    ) -> None:
        self._cache = cache
        self._answers = answers
        self._models = models
        self._toolset = toolset
        self._source_limit = source_limit
        self._runs = runs
        self._log = log
        self._complain: OnFeedback = complaints_to(cache)

    async def explain(self, principal: Principal, question: str, collection: str, model: str | None) -> Explanation:
        """What would be decided if the principal asked this now, by itself and with every tool.

        Raises:
            CollectionNotFound: There is no such collection.
            ModelNotOffered: Requests may not choose the model.
        """
        name = (await self._models.get(model)).info.name
        found = await self._answers.scope(self._asked(principal, question, collection, name, None))
        if found is None:
            raise CollectionNotFound(f"there is no collection {collection!r}")
        return await self._cache.explain(found[0], question)

    async def hear(self, said: Feedback) -> None:
        """Take in that an answer was wrong: one that was given again, or one that was made, and kept for others.

        Raises:
            RunNotFound: It is not one of the principal's runs.
            RequestUnreadable: The request of the run cannot be read.
        """
        looked = [event for event in await self._log.read(said.run_id) if event.type in {"cache.hit", "cache.miss"}]
        if not looked:
            return
        found = orjson.loads(looked[-1].data)
        if looked[-1].type == "cache.hit" and found["decided_by"] != "concurrent":
            await self._complain(said)
        elif found.get("reason") not in _NOBODY_ELSES:
            await self._withdraw(said)

    async def _withdraw(self, said: Feedback) -> None:
        """Take in that an answer was wrong which was made for this run, or for one that asked the same just then."""
        record = await self._runs.get(Principal(tenant=said.tenant, id=said.principal), said.run_id)
        request = RunRequest.recorded(record.request)
        asked = self._asked(record.asker, request.message, request.collection, record.model, request.tools)
        place = await self._answers.scope(asked)
        if place is not None:
            await self._answers.withdraw(place[0], request.message)

    def _asked(
        self, principal: Principal, question: str, collection: str, model: str, tools: tuple[str, ...] | None
    ) -> Asked:
        offered = self._toolset if tools is None else self._toolset.select(tools)
        return Asked(
            principal=principal,
            question=question,
            query=question,
            collection=collection,
            model=model,
            tools=tuple(spec.name for spec in offered.specs),
            alone=True,
            cache="auto",
            sources=self._source_limit,
        )
