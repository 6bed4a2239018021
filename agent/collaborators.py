"""What a run works with: what stays the same through it, and what every run is handed."""

from dataclasses import dataclass, field

from pydantic import SecretStr

from agent.approvals.gate import Gatekeeper
from agent.journal.journal import Journal
from agent.journal.record import RunRecord
from agent.journal.replay import Past
from agent.knowledge.preparing import CacheUse, Preparation
from agent.observer import Observer
from agent.scratch import Scratches
from agent.state import Limits
from agent.subject_token import TokenSealer
from agent.tool_turn.context import Approvals
from models.port import ChatModel
from records.principal import Principal
from tools.selection import ToolSelector
from tools.toolset import Toolset


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What stays the same through a run.

    Attributes:
        record: The run as it was taken up.
        past: What was recorded of it before.
        source_limit: Sources that the first retrieval may bring.
        cache: Whether an answer that was given before may be given again.
        subject_token: What the asker is known by at back ends.
    """

    record: RunRecord
    past: Past
    principal: Principal
    collection: str
    model: ChatModel
    toolset: Toolset
    limits: Limits
    source_limit: int
    cache: CacheUse = "auto"
    subject_token: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What every run works with."""

    preparation: Preparation
    selector: ToolSelector
    journal: Journal
    gate: Gatekeeper
    approvals: Approvals
    observer: Observer
    sealer: TokenSealer
    scratches: Scratches | None = None
