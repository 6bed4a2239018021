"""Long-term memory as a run reads it."""

from collections.abc import Sequence

from agent.events import RecalledMemory
from memory.memory import Memory
from models.messages import Remembered
from records.principal import Principal


class LongTermMemory:
    """What is remembered of whoever asks, as much as a prompt has room for.

    Args:
        budget: Tokens.
    """

    def __init__(self, memory: Memory, budget: int) -> None:
        self._memory = memory
        self._budget = budget

    async def recall(self, principal: Principal, question: str) -> Sequence[tuple[RecalledMemory, Remembered]]:
        """What matters for a question, best first: as it is told, and as a model sees it.

        Raises:
            RetrievalError: The index or the model cannot be reached.
        """
        if not self._budget or not await self._memory.knows_of(principal.tenant):
            return ()
        return [
            (
                RecalledMemory(
                    id=each.version.id,
                    version=each.version.version,
                    kind=each.version.kind,
                    text=each.version.content.text,
                    trust=each.version.content.trust,
                    score=round(each.score, 4),
                ),
                Remembered(
                    text=each.version.content.text,
                    kind=each.version.kind,
                    since=each.version.created_at.date().isoformat(),
                    trust=each.version.content.trust,
                ),
            )
            for each in await self._memory.recall(principal, question, self._budget)
        ]
