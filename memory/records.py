"""What is remembered: a record of one subject, and each of its versions, which never change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from memory.trust import TrustClass

SubjectType = Literal["user", "tenant", "entity"]
Kind = Literal["fact", "preference", "rule", "profile", "episode"]
Status = Literal["active", "proposed", "rejected", "superseded", "retracted"]
Change = Literal["written", "edited", "merged", "accepted", "rejected", "superseded", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom or what a record is about; the tenant itself has no ``id``."""

    type: SubjectType
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRef:
    """What a record was taken from: a document, a web page, a tool's result, another record (``memory:ID``)."""

    id: str
    version: str | None = None
    trust: TrustClass = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be remembered.

    Attributes:
        value: The same in a form for programs; checked against the schema of its kind, where there is one.
        slot: What a subject has one of, as ``city``: what is written for it takes the place of what was.
        trust: What the writer claims; what it was taken from may lower it.
        derived_from: Ids of records that it was concluded from: it owes to their sources what they do.
        ttl: It is not recalled any more once so much time has passed.
        acl: Groups that may read it, besides the user that it is about; None is nobody else, or, where it is about
            no user, everybody in the tenant.
        author: Whoever said so; the principal if absent.
    """

    subject: Subject
    kind: Kind
    text: str
    value: Mapping[str, Any] | None = None
    slot: str | None = None
    trust: TrustClass = "stated"
    sources: tuple[SourceRef, ...] = ()
    derived_from: tuple[str, ...] = ()
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    ttl: timedelta | None = None
    acl: tuple[str, ...] | None = None
    author: str | None = None
    run_id: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a version says, and where that came from; a rollback takes it over as it stands."""

    text: str
    value: Mapping[str, Any] | None
    slot: str | None
    trust: TrustClass
    sources: tuple[SourceRef, ...]
    author: str
    run_id: str | None
    message_id: str | None
    valid_from: datetime | None
    valid_until: datetime | None
    expires_at: datetime | None
    acl: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryVersion:
    """A record as one write left it.

    Attributes:
        version: Counts the record's versions, from 1.
        seq: Counts all versions of the tenant.
        change: What kind of write it was.
        changed_by: Who made it; the author is whose words they are.
        changed_run: The run that it was made in.
        operation: Shared by all versions that were written at once.
        restores: The version that a rollback brought back, 0 for none.
        supersedes: The records whose place it took.
        superseded_by: What took its place: a record, or a source.
    """

    id: str
    version: int
    seq: int
    subject: Subject
    kind: Kind
    status: Status
    content: Content
    change: Change
    changed_by: str
    changed_run: str | None = None
    operation: str
    restores: int | None = None
    supersedes: tuple[str, ...] = field(default=())
    superseded_by: str | None = None
    created_at: datetime

    def is_live(self, moment: datetime) -> bool:
        """Whether it may be recalled at that moment."""
        content = self.content
        begun = content.valid_from is None or content.valid_from <= moment
        ends = [end for end in (content.valid_until, content.expires_at) if end is not None]
        return self.status == "active" and begun and all(moment < end for end in ends)

    def says_as(self, other: "MemoryVersion") -> bool:
        """Whether both leave the record in the same state."""
        return (self.status, self.content, self.superseded_by) == (other.status, other.content, other.superseded_by)
