"""Equal questions at once are answered once: one run leads, the others follow what it tells.

A follower has its own record, journal and events. It reads the leader's log as it would read a model's stream. Where
the leader turns out to do more than to answer from documents, or comes to no answer, the follower asks the model
itself.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Hashable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from agent.log.log import EventLog
from models.messages import Finish, ModelItem
from retrieval.documents import Source

_REMEMBERED = 256
_PART_OF_AN_ANSWER = frozenset({"run.started", "cache.miss", "citation", "usage"})


class LeaderLost(Exception):
    """The run that was followed is not going to have an answer that others may be given."""


class Leaders:
    """Which run of this process is finding the answer to which question.

    Attributes:
        moment: Goes up as answers are found.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._leading: dict[Hashable, str] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._kept: OrderedDict[Hashable, int] = OrderedDict()
        self.moment = 0

    def lead(self, question: Hashable, run_id: str) -> str | None:
        """The run that finds the answer already; else this one does, and the answer is None."""
        leader = self._leading.setdefault(question, run_id)
        return None if leader == run_id else leader

    def keeping(self, run_id: str, task: asyncio.Task[None]) -> None:
        """The run has ended, and its answer is being kept by this task."""
        self._keeping[run_id] = task

    def done(self, run_id: str) -> None:
        """The run has ended and its answer is kept, if it is to be; or it is to be followed no more."""
        self._keeping.pop(run_id, None)
        for question in [key for key, leader in self._leading.items() if leader == run_id]:
            del self._leading[question]
            self.moment += 1
            self._kept[question] = self.moment
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)

    async def kept_since(self, question: Hashable, moment: int) -> bool:
        """Whether an answer was kept after that moment; waits for one that is just being kept."""
        keeping = self._keeping.get(self._leading.get(question, ""))
        if keeping is not None:
            await asyncio.wait([keeping])
        return keeping is not None or self._kept.get(question, 0) > moment

    async def stream(self, leader: str, sources: Sequence[Source]) -> AsyncGenerator[ModelItem, None]:
        """What the leader answers from these sources, from its beginning, as it answers it.

        Raises:
            LeaderLost: It found others, did more than to answer, or will not come to an answer here.
        """
        own = [(source.document_id, source.version, source.start, source.end) for source in sources]
        async with aclosing(self._log.follow(leader, 0)) as events:  # type: ignore[type-var]
            async for event in events:
                if event.type == "text.delta":
                    yield str(orjson.loads(event.data)["delta"])
                elif event.type == "run.completed":
                    yield Finish(reason=orjson.loads(event.data)["finish_reason"])
                    return
                elif event.type == "retrieval.completed":
                    if _places(orjson.loads(event.data)["sources"]) != own:
                        break
                elif event.type not in _PART_OF_AN_ANSWER:
                    break
        raise LeaderLost(f"run {leader} cannot be followed any further")


def _places(told: Sequence[Any]) -> list[tuple[str, str, int, int]]:
    return [(source["document_id"], source["version"], source["start"], source["end"]) for source in told]
