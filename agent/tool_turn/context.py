"""What the tool calls of one turn are judged and made with, and how each is named."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import SecretStr

from agent.approvals.approval import Approval, ApprovalRequest
from agent.approvals.gate import Gatekeeper
from agent.approvals.store import Asker
from agent.journal.replay import Past
from agent.observer import Observer
from agent.scratch import Scratches
from records.principal import Principal
from retrieval.documents import Source
from tools.results import ToolContext
from tools.scratch import NoScratch
from tools.toolset import Toolset


class Approvals(Protocol):
    """Where approvals are asked for and found again."""

    def rows(self, run: Asker, requests: Sequence[ApprovalRequest]) -> list[dict[str, Any]]: ...

    def genuine(self, approval: Approval) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a call stands in its run.

    Attributes:
        seq: Its place in the journal.
        call_id: What events and approvals call it; the provider's id may repeat or be missing.
        key: Its idempotency key.
    """

    seq: int
    call_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext:
    """What a turn works with.

    Attributes:
        asker: The run, as approvals name it.
        number: The turn's number in the run.
        first: The place of its first call in the journal.
        sources: What the run has read when the turn begins.
        subject_token: What the asker is known by at back ends.
        scratches: What tools have noted down.
    """

    asker: Asker
    principal: Principal
    collection: str
    toolset: Toolset
    gate: Gatekeeper
    approvals: Approvals
    observer: Observer
    past: Past
    number: int
    first: int
    sources: Sequence[Source]
    subject_token: SecretStr | None = field(default=None, repr=False)
    scratches: Scratches | None = None

    def place(self, index: int) -> Place:
        """Where a call of this turn stands."""
        return Place(
            seq=self.first + index,
            call_id=f"call_{self.number}_{index}",
            key=f"{self.asker.id}:{self.number}:{index}",
        )

    def tool_context(self, place: Place, *, perhaps_done: bool = False) -> ToolContext:
        """What the call's tool is told."""
        noted = self.scratches
        asker = self.asker
        return ToolContext(
            principal=self.principal,
            run_id=self.asker.id,
            session_id=self.asker.session_id,
            idempotency_key=place.key,
            collection=self.collection,
            perhaps_done=perhaps_done,
            subject_token=self.subject_token,
            scratch=NoScratch() if noted is None else noted.of(asker.tenant, asker.session_id, place.key),
        )
