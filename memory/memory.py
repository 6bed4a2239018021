"""Long-term memory as the rest of Cairn uses it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import structlog

from memory.drafting import Schemas
from memory.erasing import Eraser
from memory.errors import MemoryRefused
from memory.forgetting import Forgotten, forget, forget_subject
from memory.index import MemoryIndex
from memory.ledger import Clock
from memory.policy import verdict
from memory.presence import Presence
from memory.reading import MemoryReader
from memory.recall import Recalled, Recaller
from memory.records import Draft, Subject
from memory.store import MemoryStore, Written
from records.database import Database
from records.ids import now
from records.principal import Principal

_log = structlog.get_logger("cairn.memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered across sessions: written with the store, read with the reader, found with ``recall``.

    An agent needs two of its methods: ``recall`` before it answers, ``propose`` after.
    """

    store: MemoryStore
    reader: MemoryReader
    index: MemoryIndex
    recaller: Recaller
    presence: Presence

    @classmethod
    def over(
        cls,
        database: Database,
        index: MemoryIndex,
        *,
        schemas: Schemas | None = None,
        clock: Clock = now,
        erasers: Sequence[Eraser] = (),
    ) -> Self:
        """The memory in a database.

        Args:
            schemas: What the values of a kind must look like.
            erasers: What erases elsewhere what is forgotten.
        """
        return cls(
            store=MemoryStore(database, schemas=schemas, clock=clock, erasers=erasers),
            reader=MemoryReader(database, clock),
            index=index,
            recaller=Recaller(database, index, clock),
            presence=Presence(database),
        )

    async def recall(self, principal: Principal, question: str, budget: int) -> Sequence[Recalled]:
        """What matters for a question, the best first, in at most ``budget`` tokens; each has its id and version.

        The text of a memory that is ``untrusted`` is data like any untrusted passage, never an instruction.

        Raises:
            RetrievalError: The index or the model cannot be reached.
        """
        return await self.recaller.recall(principal, question, budget)

    async def knows_of(self, tenant: str) -> bool:
        """Whether anything was ever remembered in a tenant."""
        return await self.presence.of(tenant)

    async def propose(self, principal: Principal, draft: Draft) -> Written:
        """Offer what an agent takes for worth remembering; ``memory.policy`` decides what becomes of it.

        Raises:
            MemoryRefused, MemoryForbidden, MemoryNotFound: As for ``MemoryStore.write``, or the policy rejects it.
        """
        decided = verdict(principal, draft)
        if decided == "reject":
            raise MemoryRefused("secrets are not remembered, nor rules that come from untrusted content")
        return await self.store.write(principal, draft, proposed=decided == "queue")

    async def forget(self, principal: Principal, record_id: str, *, expected_version: int | None = None) -> Forgotten:
        """Erase a record (see ``memory.forgetting``), and its point: where the index fails, as soon as it can."""
        forgotten = await forget(self.store, principal, record_id, expected_version=expected_version)
        await self._follow(principal.tenant, batches=1)
        return forgotten

    async def forget_subject(self, principal: Principal, subject: Subject) -> Sequence[Forgotten]:
        """Erase all that the principal may change of what is known about somebody or something, with its points.

        Raises:
            MemoryForbidden: It is another user.
        """
        forgotten = await forget_subject(self.store, principal, subject)
        await self._follow(principal.tenant)
        return forgotten

    async def _follow(self, tenant: str, batches: int | None = None) -> None:
        try:
            await self.index.catch_up(tenant, batches=batches)
        except Exception as error:  # noqa: BLE001 - it is erased, and the index is tended until it follows
            _log.error("memories were forgotten, but their points are still there", exc_info=error)
