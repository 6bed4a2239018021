"""Versions as rows."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, and_, select

from memory.access import readers
from memory.drafting import fingerprint
from memory.records import Content, MemoryVersion, SourceRef, Subject
from records.schema import memory_records as records
from records.schema import memory_versions as versions

_CONTENT = ("text", "value", "slot", "trust", "author", "run_id", "message_id", "valid_from", "valid_until")
_CHANGE = ("change", "changed_by", "changed_run", "operation", "restores", "superseded_by", "created_at")


def every(tenant: str) -> Select[Any]:
    """All versions of the tenant's records, each with what the record says for all of them."""
    whose = and_(records.c.tenant == versions.c.tenant, records.c.id == versions.c.record_id)
    columns = (records.c.subject_type, records.c.subject, records.c.kind, versions)
    return select(*columns).join_from(records, versions, whose).where(records.c.tenant == tenant)


def heads(tenant: str) -> Select[Any]:
    """The versions that stand."""
    return every(tenant).where(versions.c.version == records.c.head)


def read_version(row: Row[Any]) -> MemoryVersion:
    """A version from its row."""
    given = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    content = Content(
        **{name: given[name] for name in _CONTENT},
        expires_at=given["expires_at"],
        sources=tuple(SourceRef(**source) for source in given["sources"]),
        acl=tuple(given["acl"]),
    )
    return MemoryVersion(
        id=given["record_id"],
        version=given["version"],
        seq=given["seq"],
        subject=Subject(given["subject_type"], given["subject"]),
        kind=given["kind"],
        status=given["status"],
        content=content,
        supersedes=tuple(given["supersedes"]),
        **{name: given[name] for name in _CHANGE},
    )


def version_row(tenant: str, version: MemoryVersion) -> Mapping[str, Any]:
    """The row of a version."""
    content = version.content
    return {
        "tenant": tenant,
        "record_id": version.id,
        "version": version.version,
        "seq": version.seq,
        "status": version.status,
        **{name: getattr(content, name) for name in _CONTENT},
        "expires_at": content.expires_at,
        "sources": [asdict(source) for source in content.sources],
        "acl": list(content.acl),
        "readers": readers(content.acl),
        "fingerprint": fingerprint(version.subject, version.kind, content),
        "supersedes": list(version.supersedes),
        **{name: getattr(version, name) for name in _CHANGE},
    }
