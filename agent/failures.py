"""The one table from what went wrong to what is said about it, in ``run.failed`` and in HTTP alike."""

from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agent import idempotency
from agent.approvals import approval
from agent.erasing.sessions import SessionBusy
from agent.errors import (
    AgentRunError,
    ModelNotOffered,
    RequestUnreadable,
    RunAbandoned,
    RunHasActed,
    RunNotOver,
    RunStalled,
    RunTakenOver,
    ServiceStopping,
    ToolsUnsettled,
    UsageLimitExceeded,
)
from agent.events import RunFailed
from agent.journal.record import RunNotFound
from agent.log.log import EventLogUnavailable
from agent.queue.lanes import LaneFull
from memory import errors as memory
from memory.sessions import SessionNotFound
from models import errors as model
from records.disk import DISK_FULL as NO_ROOM
from records.disk import disk_full
from retrieval import errors as retrieval
from retrieval.catalog import InvalidCursor
from retrieval.changes import ChangeConflict
from tools.errors import UnknownToolError


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure.

    Attributes:
        code: Stable; programs may depend on it.
        status: The HTTP status when the request can still be answered with one.
        retryable: Whether the same request may succeed later without anybody mending anything.
    """

    code: str
    status: int
    retryable: bool = False


DEAD = ("dead_letter", "run_abandoned")
"""The codes of runs that were given up because whoever took them up died of it, or failed."""

INTERNAL = Failure("internal", 500)
DISK_FULL = Failure("disk_full", 507)

FAILURES: dict[type[Exception], Failure] = {
    model.ModelError: Failure("model_error", 502),
    model.InvalidRequest: Failure("model_invalid_request", 502),
    model.Authentication: Failure("model_authentication", 502),
    model.RateLimited: Failure("model_rate_limited", 503, retryable=True),
    model.Transient: Failure("model_unavailable", 503, retryable=True),
    model.ModelTimeout: Failure("model_timeout", 504, retryable=True),
    model.MalformedResponse: Failure("model_malformed_response", 502, retryable=True),
    model.OutputRejected: Failure("model_output_rejected", 502),
    model.Permanent: Failure("model_permanent", 502),
    model.ModelNotFound: Failure("model_not_found", 502),
    retrieval.RetrievalError: Failure("retrieval_error", 500),
    retrieval.CollectionNotFound: Failure("collection_not_found", 404),
    retrieval.EmbedderUnavailable: Failure("embedder_unavailable", 503),
    retrieval.RerankerUnavailable: Failure("reranker_unavailable", 503),
    retrieval.EmbedderMismatch: Failure("embedder_mismatch", 409),
    retrieval.InvalidVector: Failure("invalid_vector", 500),
    retrieval.StoreLocked: Failure("store_locked", 503),
    retrieval.StoreUnavailable: Failure("store_unavailable", 503, retryable=True),
    retrieval.DocumentNotFound: Failure("document_not_found", 404),
    ChangeConflict: Failure("change_conflict", 409, retryable=True),
    InvalidCursor: Failure("invalid_cursor", 400),
    UnknownToolError: Failure("unknown_tool", 422),
    AgentRunError: Failure("run_failed", 500),
    ModelNotOffered: Failure("model_not_offered", 422),
    UsageLimitExceeded: Failure("usage_limit_exceeded", 422),
    ToolsUnsettled: Failure("tools_unsettled", 502),
    ServiceStopping: Failure("service_stopping", 503, retryable=True),
    RunTakenOver: Failure("run_taken_over", 503, retryable=True),
    RunAbandoned: Failure("run_abandoned", 500),
    RunStalled: Failure("dead_letter", 500),
    LaneFull: Failure("queue_full", 503, retryable=True),
    idempotency.KeyReused: Failure("idempotency_key_reused", 422),
    idempotency.KeyInProgress: Failure("idempotency_in_progress", 409, retryable=True),
    SessionNotFound: Failure("session_not_found", 404),
    SessionBusy: Failure("session_busy", 409, retryable=True),
    memory.MemoryStoreError: Failure("memory_error", 500),
    memory.MemoryNotFound: Failure("memory_not_found", 404),
    memory.MemoryForgotten: Failure("memory_forgotten", 410),
    memory.MemoryForbidden: Failure("memory_forbidden", 403),
    memory.MemoryRefused: Failure("memory_refused", 422),
    memory.MemoryConflict: Failure("memory_conflict", 409),
    memory.SnapshotNotFound: Failure("snapshot_not_found", 404),
    memory.SnapshotExists: Failure("snapshot_exists", 409),
    EventLogUnavailable: Failure("event_log_unavailable", 503, retryable=True),
    RunNotFound: Failure("run_not_found", 404),
    RequestUnreadable: Failure("request_unreadable", 422),
    RunNotOver: Failure("run_not_over", 409),
    RunHasActed: Failure("run_has_acted", 409),
    approval.ApprovalNotFound: Failure("approval_not_found", 404),
    approval.ApprovalForbidden: Failure("approval_forbidden", 403),
    approval.ApprovalDecided: Failure("approval_decided", 409),
    approval.ApprovalNotGenuine: Failure("approval_not_genuine", 409),
    approval.DecisionImpossible: Failure("decision_impossible", 422),
}


def status_of(code: str) -> int:
    """The HTTP status that belongs to a failure's code."""
    kinds = (*FAILURES.values(), DISK_FULL)
    return next((failure.status for failure in kinds if failure.code == code), INTERNAL.status)


def classify(error: BaseException) -> Failure:
    """The kind of failure that an exception is: its class's own row, or its nearest ancestor's.

    Of a group, as concurrent tasks raise it, the first exception counts.
    """
    error = _first(error)
    if disk_full(error):
        return DISK_FULL
    for ancestor in type(error).__mro__:
        if ancestor in FAILURES:
            return FAILURES[ancestor]
    return INTERNAL


def passes(error: BaseException) -> bool:
    """Whether it may be gone without anybody mending anything: the disk, the network or the database is to blame."""
    error = _first(error)
    return isinstance(error, OSError | DBAPIError | PoolTimeout) or classify(error).retryable


def run_failed(error: BaseException) -> RunFailed:
    """The terminal event for an exception. An unforeseen one's message stays in the log: it may hold secrets."""
    error = _first(error)
    failure = classify(error)
    details = {
        INTERNAL: "the service met an error it did not foresee; its log says more",
        DISK_FULL: NO_ROOM,
    }
    return RunFailed(
        code=failure.code, detail=details.get(failure, str(error) or failure.code), retryable=failure.retryable
    )


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
