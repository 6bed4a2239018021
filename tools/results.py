"""What a call of a tool gives back. A failure is a value that the model sees, never an exception."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

from pydantic import SecretStr

from records.principal import Principal
from retrieval.documents import Source
from tools.scratch import NoScratch, Scratch

Effect = Literal["read", "write", "irreversible"]

Autonomy = Literal["suggest", "confirm", "auto"]
"""How far a tool may go by itself: only propose a call, call once a person agreed, or call."""

Isolation = Literal["thread", "process"]
"""Where a tool runs: in this process, or in one of its own that can be killed."""

ToolFailure = Literal[
    "unknown_tool",
    "malformed_arguments",
    "invalid_arguments",
    "failed",
    "token_needed",
    "rate_limited",
    "timeout",
    "unserialisable",
    "unknown",
    "refused",
    "rejected",
    "expired",
    "suggested",
]
"""Why a call gave no value.

unknown_tool, malformed_arguments, invalid_arguments: it was not made; the model may correct itself.
failed: the tool failed, and nothing was done.
token_needed: nothing was done: it acts with a token of whoever asks, which is missing or not accepted any more.
rate_limited: nothing was done: the back end takes no more requests for now; the message says for how long.
timeout: a read took too long.
unserialisable: the tool ran to its end and did what it does, but what it returned cannot be shown.
unknown: whether a write was done is not known.
refused, rejected, expired, suggested: it was not made, because a check, a switch or a policy said no; because a person
said no; because nobody decided in time; because the tool may only propose.
"""


class NotDone(Enum):
    """What a ``reconcile`` hook returns when the system of record has no trace of the call."""

    NOT_DONE = "not done"


NOT_DONE: Final = NotDone.NOT_DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may know of the call it serves.

    Attributes:
        idempotency_key: The same for every attempt at this call; hand it to a back end that honours such keys.
        collection: The collection that the run searches.
        perhaps_done: An earlier attempt at this call may have acted, so that a refusal of this one proves nothing.
        subject_token: What whoever asks is known by at the back end, if the request brought it; for connectors.
        scratch: What tools have noted down in this session, and may note down.
    """

    principal: Principal
    run_id: str
    session_id: str
    idempotency_key: str
    collection: str
    perhaps_done: bool = False
    subject_token: SecretStr | None = field(default=None, repr=False)
    scratch: Scratch = field(default_factory=NoScratch, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The outcome of one call.

    Attributes:
        content: What the model reads: JSON text, or plain text.
        value: The same as JSON-compatible data; None after a failure.
        failure: None when the tool returned; else why it did not.
        sources: Passages that the tool found; they join the run's sources, numbered after those it has.
    """

    content: str
    value: Any = None
    failure: ToolFailure | None = None
    sources: tuple[Source, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
