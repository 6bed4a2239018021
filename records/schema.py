"""The one SQL schema. SQL is the record; the vector store is an index that can be rebuilt from it."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A time that is UTC going in and coming out; SQLite itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


collections = Table(
    "collections",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("embedder", String(256), nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("language", String(32), nullable=False),
    Column("index_name", String(256), nullable=False),
    Column("trusted", Boolean, nullable=False, default=False),
    # Goes up with every change of what is live in it, in the same transaction.
    Column("revision", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("collection", String(128), nullable=False),
    Column("uri", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("media_type", String(128), nullable=False),
    Column("version", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("acl", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("trust", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # Of the collection, when this version of the document became live.
    Column("revision", BigInteger, nullable=False, server_default="0"),
    Index("documents_by_collection", "tenant", "collection", "uri", unique=True),
)

versions = Table(
    "versions",
    metadata,
    Column("document_id", String(64), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("text", Text, nullable=False),
    # With the text all that the splitter needs to make the same chunks again.
    Column("page_starts", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("model", String(256), primary_key=True),
    Column("text_hash", String(64), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("principal", String(128), nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # The run whose turn it is, where several processes share the work.
    Column("turn", String(36)),
    Index("sessions_by_time", "tenant", "principal", "updated_at"),
)

messages = Table(
    "messages",
    metadata,
    # Counts up in the order of insertion: a UUIDv7 does not within one millisecond.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("session_id", String(64), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("messages_by_session", "session_id", "id"),
)

_QUEUED = text("lease_until IS NULL AND result IS NULL AND status <> 'waiting_approval'")

runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("principal", String(128), nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("lane", String(16), nullable=False, server_default="interactive"),
    Column("model", String(128), nullable=False),
    Column("config_version", String(64), nullable=False),
    Column("request", JSON, nullable=False),
    # Roles and groups of the principal when it asked, so that another process can go on in its name.
    Column("authority", JSON, nullable=False, server_default="{}"),
    # What the asker is known by at back ends, encrypted; gone once the run has ended.
    Column("subject_token", LargeBinary),
    Column("result", JSON),
    # Counts how often the run was taken up: who holds an older number may write nothing any more.
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("lease_owner", String(64)),
    Column("lease_until", UtcDateTime),
    # How often it was taken up since it last got any further: a run that only kills its workers is given up.
    Column("stalled", Integer, nullable=False, server_default="0"),
    # Somebody wants the run to stop; whoever holds it, or takes it up, sees to that.
    Column("cancel_reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("runs_by_session", "tenant", "session_id", "id"),
    Index("runs_by_principal", "tenant", "principal", "id"),
    Index("runs_by_end", "ended_at", "id"),
    # Only what should go on and is in nobody's hands: few rows, and none of a run that is begun where it was accepted.
    Index("runs_queued", "lane", "id", postgresql_where=_QUEUED, sqlite_where=_QUEUED),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("idempotency_key", String(128), nullable=False),
    Column("status", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("intent", JSON, nullable=False),
    Column("result", JSON),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("steps_by_end", "tenant", "kind", "ended_at"),
)

run_feedback = Table(
    "run_feedback",
    metadata,
    # What somebody said of a run's answer last.
    Column("tenant", String(128), primary_key=True),
    Column("run_id", String(36), primary_key=True),
    Column("principal", String(128), primary_key=True),
    Column("verdict", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    # When the cache heard that the answer was wrong: it does once, whatever is said after it.
    Column("told_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("principal", String(128), nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("step", Integer, nullable=False),
    Column("call_id", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("tool", String(64), nullable=False),
    Column("effect", String(16), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    # What the system of record said when the approval was asked for.
    Column("record", JSON),
    Column("reason", Text, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("approvers", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("decision", JSON),
    Column("decided_by", String(128)),
    Column("decided_at", UtcDateTime),
    # HMAC over what was decided: who can write to the database still cannot approve.
    Column("mac", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("reminded_at", UtcDateTime),
    Index("approvals_by_status", "tenant", "status", "id"),
    Index("approvals_by_run", "run_id", "step"),
)

switches = Table(
    "switches",
    metadata,
    # "*" stands for every tenant, and for every tool.
    Column("tenant", String(128), primary_key=True),
    Column("tool", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("set_by", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("name", String(128), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index("api_keys_by_tenant", "tenant", "id"),
)

event_logs = Table(
    "event_logs",
    metadata,
    Column("run_id", String(36), primary_key=True),
    # The events of a run that has ended or rests, a line of JSON each, for when Redis has let go of them.
    Column("events", LargeBinary, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("principal", String(128), primary_key=True),
    Column("route", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("run_id", String(36)),
    Column("response", JSON),
    Column("created_at", UtcDateTime, nullable=False),
    Index("idempotency_by_time", "created_at"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("url", Text, nullable=False),
    Column("event", String(32), nullable=False),
    Column("run_id", String(36), nullable=False),
    # The very bytes that are sent, each time the same.
    Column("body", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    # When it is sent next; while somebody sends it, when others may.
    Column("due_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("webhook_deliveries_by_due", "status", "due_at"),
    Index("webhook_deliveries_by_tenant", "tenant", "id"),
)

webhooks_off = Table(
    "webhooks_off",
    metadata,
    # Endpoints that said they are gone.
    Column("tenant", String(128), primary_key=True),
    Column("url", String(2000), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

cache_entries = Table(
    "cache_entries",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("id", String(36), primary_key=True),
    Column("collection", String(128), nullable=False),
    # SHA-256 of everything within which the answer may be given again, and of the question as an exact repeat has it.
    Column("scope", String(64), nullable=False),
    Column("asked", String(64), nullable=False),
    Column("question", Text, nullable=False),
    # The same for questions that were found to have the same answer.
    Column("answer", String(36), nullable=False),
    # Of the collection, when the answer was last known to be what its documents say.
    Column("revision", BigInteger, nullable=False),
    # The embedder in whose index its point is.
    Column("indexed", String(64), nullable=False, server_default=""),
    Column("times_right", Integer, nullable=False, server_default="0"),
    Column("times_wrong", Integer, nullable=False, server_default="0"),
    Column("least", Float, nullable=False, server_default="0"),
    Column("hits", BigInteger, nullable=False, server_default="0"),
    # How often and how lately it was given: the lowest make room.
    Column("worth", Float, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # What is long comes last: SQLite reads a row from its beginning.
    Column("finish_reason", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("sources", JSON, nullable=False),
    Index("cache_entries_by_question", "tenant", "scope", "asked", unique=True),
    Index("cache_entries_by_worth", "tenant", "worth"),
    Index("cache_entries_by_index", "indexed", "tenant"),
    Index("cache_entries_by_time", "created_at", "tenant"),
)

cache_sources = Table(
    "cache_sources",
    metadata,
    # The documents that an answer draws on: with one of them it goes.
    Column("tenant", String(128), primary_key=True),
    Column("document_id", String(64), primary_key=True),
    Column("entry_id", String(36), primary_key=True),
    Column("version", String(64), nullable=False),
    Index("cache_sources_by_entry", "tenant", "entry_id"),
)

cache_gone = Table(
    "cache_gone",
    metadata,
    # Entries that were deleted, until their points are.
    Column("tenant", String(128), primary_key=True),
    Column("entry_id", String(36), primary_key=True),
)

cache_experience = Table(
    "cache_experience",
    metadata,
    Column("tenant", String(128), primary_key=True),
    # Of one embedder: another one's similarities mean something else.
    Column("model", String(256), primary_key=True),
    # Goes up with each change: whoever has read an older one must read again.
    Column("version", BigInteger, nullable=False),
    Column("learnt", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

memory_clocks = Table(
    "memory_clocks",
    metadata,
    # Whoever writes memory holds this row: a tenant's versions have one order, and no gap that is filled later.
    Column("tenant", String(128), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("moment", UtcDateTime, nullable=False),
)

memory_records = Table(
    "memory_records",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("id", String(36), primary_key=True),
    # The version that stands; of a record that was forgotten there is no such row.
    Column("head", Integer, nullable=False),
    Column("subject_type", String(16), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    # The head that the index has seen.
    Column("indexed", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("forgotten_at", UtcDateTime),
    Column("forgotten_by", String(128)),
    Index("memory_records_by_subject", "tenant", "subject_type", "subject", "id"),
    Index(
        "memory_records_unindexed",
        "tenant",
        "id",
        postgresql_where=text("indexed <> head"),
        sqlite_where=text("indexed <> head"),
    ),
)

memory_versions = Table(
    "memory_versions",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("record_id", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    # Counts all versions of the tenant, in the order in which they were written.
    Column("seq", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("value", JSON, nullable=False),
    Column("slot", String(128)),
    Column("trust", String(16), nullable=False),
    Column("sources", JSON, nullable=False),
    Column("author", String(128), nullable=False),
    Column("run_id", String(36)),
    Column("message_id", String(64)),
    Column("valid_from", UtcDateTime),
    Column("valid_until", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("acl", JSON, nullable=False),
    # The same groups as one text that a statement can search.
    Column("readers", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("change", String(16), nullable=False),
    Column("changed_by", String(128), nullable=False),
    Column("changed_run", String(36)),
    Column("operation", String(36), nullable=False),
    Column("restores", Integer),
    Column("supersedes", JSON, nullable=False),
    Column("superseded_by", String(600)),
    Column("created_at", UtcDateTime, nullable=False),
    Index("memory_versions_by_seq", "tenant", "seq", unique=True),
    Index("memory_versions_by_fingerprint", "tenant", "fingerprint"),
    Index("memory_versions_by_slot", "tenant", "slot"),
)

memory_sources = Table(
    "memory_sources",
    metadata,
    # What a version owes to what, so that it can be taken back with it.
    Column("tenant", String(128), primary_key=True),
    Column("source", String(512), primary_key=True),
    Column("record_id", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Index("memory_sources_by_record", "tenant", "record_id"),
)

memory_snapshots = Table(
    "memory_snapshots",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("taken_by", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

session_summaries = Table(
    "session_summaries",
    metadata,
    # Each sums up a session from its first message to ``last_message``; the latest counts.
    Column("tenant", String(128), primary_key=True),
    Column("session_id", String(64), primary_key=True),
    Column("last_message", BigInteger, primary_key=True, autoincrement=False),
    Column("first_message", BigInteger, nullable=False),
    # A UUIDv7: a run goes by what was there before it.
    Column("id", String(36), nullable=False),
    Column("text", Text, nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

session_scratch = Table(
    "session_scratch",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("session_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    # JSON; nothing once it was deleted.
    Column("content", Text),
    # The call that wrote it last, and what it found there: the same call, made again, finds that again.
    Column("call_key", String(160), nullable=False),
    Column("before", Text),
    Column("updated_at", UtcDateTime, nullable=False),
)

session_tombstones = Table(
    "session_tombstones",
    metadata,
    # What is left of a session: that there was one, and which of its calls changed something.
    Column("tenant", String(128), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("principal", String(128), nullable=False),
    Column("acts", JSON, nullable=False),
    Column("run_count", Integer, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("deleted_by", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime, nullable=False),
    # Runs whose events are still to be erased.
    Column("unfinished", JSON, nullable=False),
    # Set once nothing of it can come back.
    Column("settled_at", UtcDateTime),
    Index(
        "session_tombstones_unsettled",
        "deleted_at",
        postgresql_where=text("settled_at IS NULL"),
        sqlite_where=text("settled_at IS NULL"),
    ),
)

erasures = Table(
    "erasures",
    metadata,
    # What was forgotten and is still to be erased elsewhere; a row goes as soon as that is done.
    Column("tenant", String(128), primary_key=True),
    Column("id", String(36), primary_key=True),
    Column("principal", String(128)),
    Column("records", JSON, nullable=False),
    Column("texts", JSON, nullable=False),
    Column("run_ids", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
