"""The bodies of requests and responses about long-term memory."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from memory.records import Change, Draft, Kind, MemoryVersion, SourceRef, Status, Subject, SubjectType
from memory.rollback import Reversal, Rollback
from memory.store import Outcome
from memory.trust import TrustClass
from records.principal import Principal
from service.schemas.fields import Metadata

Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
_TTL_SECONDS = 10**10


class SubjectBody(BaseModel):
    """Whom or what a record is about; of the type `tenant` it has no id."""

    model_config = ConfigDict(extra="forbid")

    type: SubjectType
    id: str = Field(default="", max_length=128)


class MemorySourceBody(BaseModel):
    """What a record was taken from; what is not said to be trusted is not."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=500, examples=["https://example.com/handbook"])
    version: str | None = Field(default=None, max_length=128)
    trust: TrustClass = "untrusted"


class MemorySaid(BaseModel):
    """What a record says."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=8000)
    value: Metadata | None = Field(default=None, description="The same for programs.")
    slot: str | None = Field(
        default=None,
        max_length=128,
        description="What the subject has one of, as `city`; the last counts.",
    )
    trust: TrustClass = Field(default="stated", description="What it came from may lower it.")
    sources: list[MemorySourceBody] = Field(default_factory=list, max_length=200)
    derived_from: list[str] = Field(
        default_factory=list, max_length=50, description="Ids of records that it was concluded from."
    )
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    ttl_seconds: float | None = Field(default=None, gt=0, le=_TTL_SECONDS, description="How long it is recalled.")
    acl: list[str] | None = Field(
        default=None, max_length=100, description="Groups that may read it, besides the user that it is about."
    )
    run_id: str | None = Field(default=None, max_length=36)
    message_id: str | None = Field(default=None, max_length=64)

    def draft(self, subject: Subject, kind: Kind) -> Draft:
        """The same as the store takes it."""
        sources = tuple(SourceRef(**source.model_dump()) for source in self.sources)
        same = self.model_dump(exclude={"sources", "derived_from", "ttl_seconds", "acl", "subject", "kind"})
        same.pop("expected_version", None)
        return Draft(
            subject=subject,
            kind=kind,
            sources=sources,
            derived_from=tuple(self.derived_from),
            ttl=None if self.ttl_seconds is None else timedelta(seconds=self.ttl_seconds),
            acl=None if self.acl is None else tuple(self.acl),
            **same,
        )


class MemoryRequest(MemorySaid):
    """Something to remember."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "preference", "text": "I like my coffee black.", "slot": "coffee"}]},
    )

    subject: SubjectBody | None = Field(default=None, description="The user who asks, if absent.")
    kind: Kind = "fact"

    def asked_by(self, principal: Principal) -> Draft:
        """What the principal wants remembered."""
        subject = Subject("user", principal.id) if self.subject is None else Subject(self.subject.type, self.subject.id)
        return self.draft(subject, self.kind)


class MemoryEdit(MemorySaid):
    """What a record says from now on: all of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": "I like my coffee with milk.", "slot": "coffee", "expected_version": 1}]
        },
    )

    expected_version: Version = Field(description="The version that you have seen.")


class MemoryDecision(BaseModel):
    """What a person says to a proposal."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"decision": "accept", "expected_version": 1}]}
    )

    decision: Literal["accept", "reject"]
    expected_version: Version


class MemoryBody(BaseModel):
    """A version of a record."""

    id: str
    version: int
    subject: SubjectBody
    kind: Kind
    status: Status = Field(description="Only what is `active` is recalled.")
    text: str
    value: dict[str, Any] | None
    slot: str | None
    trust: TrustClass
    sources: list[MemorySourceBody]
    author: str
    run_id: str | None
    message_id: str | None
    valid_from: AwareDatetime | None
    valid_until: AwareDatetime | None
    expires_at: AwareDatetime | None
    acl: list[str]
    change: Change
    changed_by: str
    changed_run: str | None
    operation: str = Field(description="Shared by all versions that were written at once; a rollback may name it.")
    restores: int | None = Field(description="The version that a rollback brought back; 0 for none.")
    supersedes: list[str]
    superseded_by: str | None
    created_at: AwareDatetime


class MemoryWritten(MemoryBody):
    """What a write came to."""

    outcome: Outcome = Field(description="`merged` or `unchanged` where a record says the same.")


class MemoryList(BaseModel):
    """A page of records, the newest first."""

    items: list[MemoryBody]
    next_cursor: str | None


class MemoryHistory(BaseModel):
    """A page of a record's versions, the newest first."""

    items: list[MemoryBody]
    next_cursor: str | None


class DifferenceBody(BaseModel):
    """What a field was and is."""

    before: Any
    after: Any


class MemoryDiff(BaseModel):
    """What differs between two versions of a record."""

    id: str
    from_version: int
    to_version: int
    changes: dict[str, DifferenceBody]


class RecordRollbackRequest(BaseModel):
    """To which of its versions a record goes back."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to_version": 1}]})

    to_version: Version
    expected_version: Version | None = None
    dry_run: bool = False


class RollbackRequest(BaseModel):
    """Which versions are taken back: those for which all that is given holds."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"source": "https://example.com/handbook", "dry_run": True}]},
    )

    source: str | None = Field(default=None, min_length=1, max_length=512)
    run: str | None = Field(default=None, min_length=1, max_length=36)
    author: str | None = Field(default=None, min_length=1, max_length=128)
    since: AwareDatetime | None = Field(default=None, description="Written then or later.")
    until: AwareDatetime | None = Field(default=None, description="Written before.")
    snapshot: str | None = Field(default=None, min_length=1, max_length=128, description="Written after it.")
    operation: str | None = Field(default=None, min_length=1, max_length=36, description="Takes back a rollback, too.")
    dry_run: bool = False


class ReversalBody(BaseModel):
    """What becomes of a record."""

    id: str
    from_version: int
    to_version: int | None = Field(description="Null: there was nothing before, and the record is retracted.")
    text: str
    becomes: str | None


class RollbackBody(BaseModel):
    """What a rollback came to, or would come to."""

    dry_run: bool
    operation: str | None = Field(description="With it the rollback can be taken back.")
    count: int
    changes: list[ReversalBody] = Field(description="The first 1000.")


class RecallRequest(BaseModel):
    """What is to be answered."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"question": "How do I like my coffee?", "budget": 500}]}
    )

    question: str = Field(min_length=1, max_length=4000)
    budget: int = Field(default=1000, ge=1, le=100_000, description="Tokens, estimated, that all may have together.")


class RecalledBody(MemoryBody):
    """A record that matters, and why: its score is `relevance` times `recency` times its trust's weight."""

    score: float
    relevance: float
    recency: float


class RecallBody(BaseModel):
    """What matters, the best first."""

    items: list[RecalledBody]


class SubjectForgotten(BaseModel):
    """How much was forgotten."""

    records: int
    sessions: int


class SnapshotRequest(BaseModel):
    """A name for what stands now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "before the import"}]})

    name: str = Field(min_length=1, max_length=128)


class SnapshotBody(BaseModel):
    """A snapshot."""

    name: str
    taken_by: str
    created_at: AwareDatetime


class SnapshotList(BaseModel):
    """The last 200 snapshots, the newest first."""

    items: list[SnapshotBody]


class ImportRequest(BaseModel):
    """What was exported: its lines, each with what it says."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": [{"kind": "fact", "text": "I live in Rome."}]}]}
    )

    items: list[MemoryRequest] = Field(min_length=1, max_length=1000)


class ImportedBody(BaseModel):
    """What became of one item."""

    outcome: Outcome | None
    id: str | None
    reason: str | None


class ImportBody(BaseModel):
    """What became of each item, in their order."""

    items: list[ImportedBody]


def memory_body(version: MemoryVersion) -> dict[str, Any]:
    """The fields of ``MemoryBody``."""
    content = version.content
    said = ("text", "value", "slot", "trust", "author", "run_id", "message_id", "valid_from", "valid_until")
    did = ("change", "changed_by", "changed_run", "operation", "restores", "superseded_by", "created_at")
    return {
        **{name: getattr(version, name) for name in ("id", "version", "kind", "status", *did)},
        **{name: getattr(content, name) for name in (*said, "expires_at")},
        "subject": SubjectBody(type=version.subject.type, id=version.subject.id),
        "sources": [MemorySourceBody(id=each.id, version=each.version, trust=each.trust) for each in content.sources],
        "acl": list(content.acl),
        "supersedes": list(version.supersedes),
    }


def export_line(version: MemoryVersion) -> dict[str, Any]:
    """A record as an import takes it. What it was derived from is among its sources."""
    names = ("text", "value", "slot", "trust", "sources", "valid_from", "valid_until", "acl", "run_id", "message_id")
    ends = [end for end in (version.content.valid_until, version.content.expires_at) if end is not None]
    body = MemoryBody(**memory_body(version) | {"valid_until": min(ends, default=None)}).model_dump(mode="json")
    return {"subject": body["subject"], "kind": body["kind"], **{name: body[name] for name in names}}


def rollback_body(done: Rollback, *, dry_run: bool) -> RollbackBody:
    """What is told of a rollback."""
    changes = [_reversal(each) for each in done.reversals]
    return RollbackBody(dry_run=dry_run, operation=done.operation, count=done.count, changes=changes)


def _reversal(reversal: Reversal) -> ReversalBody:
    head, target = reversal.head, reversal.target
    return ReversalBody(
        id=head.id,
        from_version=head.version,
        to_version=None if target is None else target.version,
        text=head.content.text,
        becomes=None if target is None else target.content.text,
    )
