"""What long-term memory takes from runs: what users say of themselves, and what systems of record know better."""

import asyncio
import json
from collections.abc import Sequence
from typing import Literal

import structlog

from agent.events import ToolReturned
from agent.journal.record import RunRecord
from memory.extraction import Extractor, Extracts
from memory.learning import remember
from memory.memory import Memory
from memory.model_extraction import ModelExtractor
from memory.reconciling import Authorities, reconcile
from models.port import ChatModel
from retrieval.documents import Source

Learn = Literal["patterns", "model", "off"]

_log = structlog.get_logger("cairn.runs")


class Learner:
    """Proposes what is worth remembering. Whatever goes wrong in it is logged, and costs no answer.

    A run that brings a token is for somebody else than its asker, whom only a back end knows: nothing is learnt of it.
    Everything here may happen twice, as a run that is taken up again does; nothing is written twice.

    Args:
        learn: What reads the messages: ``patterns``, a ``model`` besides, or nothing.
        authorities: The slots that tools know better than any memory.
    """

    def __init__(self, memory: Memory, learn: Learn, authorities: Authorities) -> None:
        self._memory = memory
        self._learn = learn
        self._authorities = authorities
        self._patterns = Extractor()
        self._reading: set[asyncio.Task[None]] = set()

    async def returned(self, run: RunRecord, body: ToolReturned) -> None:
        """A tool of the run has given a result: a memory that says otherwise is superseded."""
        if not body.ok or body.name not in self._authorities or run.sealed_token is not None:
            return
        try:
            value = json.loads(body.content)
            await reconcile(self._memory, run.asker, body.name, value, run.id, self._authorities)
        except Exception as error:  # noqa: BLE001 - the answer does not wait for it
            _log.warning("a memory could not be set right", exc_info=error, tool=body.name)

    async def answered(self, run: RunRecord, message: str, answer: str, sources: Sequence[Source]) -> None:
        """The run has its answer, which is not recorded yet: what is found in the message is written before that."""
        if self._learn != "off":
            await self._remember(self._patterns, run, message, answer, sources)

    def ended(self, run: RunRecord, message: str, answer: str, sources: Sequence[Source], model: ChatModel) -> None:
        """The run has ended: have a model read the message, too, while nobody waits. A crash loses that."""
        if self._learn == "model":
            reading = self._remember(ModelExtractor(model), run, message, answer, sources)
            task = asyncio.create_task(reading)
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def settled(self) -> None:
        """Wait until all is learnt."""
        while self._reading:
            await asyncio.gather(*self._reading, return_exceptions=True)

    async def _remember(
        self, extractor: Extracts, run: RunRecord, message: str, answer: str, sources: Sequence[Source]
    ) -> None:
        if run.sealed_token is not None:
            return
        try:
            await remember(
                self._memory,
                extractor,
                run.asker,
                message=message,
                answer=answer,
                run_id=run.id,
                session_id=run.session_id,
                sources=sources,
            )
        except Exception as error:  # noqa: BLE001 - an answer is worth more than what is learnt from its question
            _log.warning("nothing could be learnt", exc_info=error)
