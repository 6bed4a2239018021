"""What happens in a run, as it is told to the outside. docs/sse.md is the same table in prose.

An event's body is one of the classes below; ``RunEvent`` puts it in its place in the run's log. Spans are code points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from retrieval.documents import Source
from tools.results import Effect, ToolFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The run was taken up."""

    session_id: str
    model: str
    config_version: str
    created_at: str
    type: Literal["run.started"] = "run.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedSource:
    """A source under the label by which the answer cites it: ``[label]``."""

    label: int
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalCompleted:
    """Retrieval ended. ``sources`` are new ones, best first; their labels go on from those the run has."""

    query: str
    collection: str
    sources: tuple[CitedSource, ...]
    duration_ms: float
    type: Literal["retrieval.completed"] = "retrieval.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledMemory:
    """What was remembered that the model was shown: which version of which record."""

    id: str
    version: int
    kind: str
    text: str
    trust: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecalled:
    """What is remembered that matters for the question, best first; whatever the answer owes to it has its version."""

    memories: tuple[RecalledMemory, ...]
    duration_ms: float
    type: Literal["memory.recalled"] = "memory.recalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit:
    """An answer that was given before is given again.

    Attributes:
        question: The one that it was first given to.
        age_seconds: Since then.
        decision: Each step of the decision, in words.
    """

    entry_id: str
    question: str
    decided_by: Literal["exact", "near", "concurrent"]
    score: float
    threshold: float
    age_seconds: float
    decision: tuple[str, ...]
    type: Literal["cache.hit"] = "cache.hit"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMissed:
    """No answer that was given before is given again; ``reason`` is a stable word, ``decision`` says how it came."""

    reason: str
    decision: tuple[str, ...]
    type: Literal["cache.miss"] = "cache.miss"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer. All deltas, joined, are the answer."""

    delta: str
    type: Literal["text.delta"] = "text.delta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """The answer's text from ``start`` to ``end`` is backed by the source with this label."""

    label: int
    start: int
    end: int
    document_id: str
    version: str
    type: Literal["citation"] = "citation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled:
    """A tool is about to be called. ``arguments`` are validated, or the model's raw text when they cannot be."""

    call_id: str
    name: str
    arguments: Mapping[str, Any] | str
    effect: Effect | None
    type: Literal["tool.call"] = "tool.call"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturned:
    """A tool's outcome, as the model sees it."""

    call_id: str
    name: str
    ok: bool
    content: str
    failure: ToolFailure | None
    duration_ms: float
    type: Literal["tool.result"] = "tool.result"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """A call must not be made, or made again, before a person agrees; or a person is to reply: ``kind`` says which."""

    approval_id: str
    call_id: str
    name: str
    arguments: Mapping[str, Any]
    effect: Effect
    kind: Literal["call", "outcome_unknown", "hand_over"]
    reason: str
    approvers: tuple[str, ...]
    expires_at: str | None
    type: Literal["approval.requested"] = "approval.requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaiting:
    """The run waits for these approvals, for days if need be. The response ends here, the run does not."""

    approvals: tuple[str, ...]
    type: Literal["run.waiting"] = "run.waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """What came of an approval; ``arguments`` are those that the call is made with."""

    approval_id: str
    call_id: str
    decision: Literal["approved", "edited", "rejected", "expired"]
    arguments: Mapping[str, Any]
    decided_by: str | None
    reason: str
    type: Literal["approval.decided"] = "approval.decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """All of the approvals are decided: the run goes on."""

    approvals: tuple[str, ...]
    type: Literal["run.resumed"] = "run.resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRestarted:
    """The answer begins anew: text and citations told from ``supersedes_seq`` on no longer count.

    A model call was cut off, and its repetition said something else.
    """

    supersedes_seq: int
    type: Literal["answer.restarted"] = "answer.restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecorded:
    """What the whole run used."""

    input_tokens: int
    output_tokens: int
    model_calls: int
    tool_calls: int
    type: Literal["usage"] = "usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted:
    """The run ended with an answer; ``cached`` if it was given before."""

    finish_reason: str
    answer: str
    duration_ms: float
    cached: bool = False
    type: Literal["run.completed"] = "run.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """The run ended without an answer. ``code`` is stable; ``detail`` says what happened and the way out."""

    code: str
    detail: str
    retryable: bool = False
    type: Literal["run.failed"] = "run.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled:
    """The run was stopped on request. ``effects`` lists the calls with effects that were made before."""

    reason: str
    effects: tuple[str, ...] = field(default=())
    type: Literal["run.cancelled"] = "run.cancelled"


EventBody = (
    RunStarted
    | RetrievalCompleted
    | MemoryRecalled
    | CacheHit
    | CacheMissed
    | TextDelta
    | Citation
    | ToolCalled
    | ToolReturned
    | ApprovalRequested
    | RunWaiting
    | ApprovalDecided
    | RunResumed
    | AnswerRestarted
    | UsageRecorded
    | RunCompleted
    | RunFailed
    | RunCancelled
)

TERMINAL: frozenset[str] = frozenset({"run.completed", "run.failed", "run.cancelled"})
"""Every run's log ends with exactly one event of these types, and has none before."""
