"""From a draft to what can be kept: checked, bounded, and told apart from what says the same."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from memory.access import default_acl
from memory.errors import MemoryRefused
from memory.records import Content, Draft, Kind, MemoryVersion, SourceRef, Subject
from memory.trust import least
from records.principal import PUBLIC, Principal

MAX_TEXT = 8_000
MAX_VALUE_BYTES = 32_000
MAX_SOURCES = 200
MAX_GROUPS = 100
_MAX_NAME = 128
_MAX_SOURCE = 500

Schemas = Mapping[Kind, type[BaseModel]]
"""What the value of a kind must look like, for the kinds whose value must look like something."""


def memory_source(record_id: str) -> str:
    """The id under which a record is the source of another."""
    return f"memory:{record_id}"


def content_of(
    draft: Draft, principal: Principal, moment: datetime, lineage: Sequence[MemoryVersion], schemas: Schemas
) -> Content:
    """What a version of this draft says.

    Args:
        lineage: The records that it is derived from: it has their sources, and no more trust than they.

    Raises:
        MemoryRefused: It is too long, its value is not what its kind asks for, it has an ACL that is not the
            principal's to give, or it would make a rule of what nobody trusts.
    """
    sources = _sources(draft.sources, lineage)
    trust = least(draft.trust, [*(source.trust for source in sources), *(each.content.trust for each in lineage)])
    if draft.kind == "rule" and trust == "untrusted":
        raise MemoryRefused("what came from an untrusted source never becomes a rule")
    acl = _acl(draft, principal)
    _require_names(draft, acl)
    return Content(
        text=_text(draft.text),
        value=_value(draft, schemas),
        slot=draft.slot,
        trust=trust,
        sources=sources,
        author=draft.author or principal.id,
        run_id=draft.run_id,
        message_id=draft.message_id,
        valid_from=_utc(draft.valid_from),
        valid_until=_utc(draft.valid_until),
        expires_at=_expiry(draft, moment),
        acl=acl,
    )


def subject_of(draft: Draft) -> Subject:
    """Whom the draft is about.

    Raises:
        MemoryRefused: A user or an entity has no id, or one that cannot be kept.
    """
    if draft.subject.type == "tenant":
        return Subject("tenant")
    require_name("the subject's id", draft.subject.id)
    return draft.subject


def fingerprint(subject: Subject, kind: Kind, content: Content) -> str:
    """Equal for two that say the same of the same subject to the same readers, however they are spelled."""
    words = " ".join(unicodedata.normalize("NFKC", content.text).casefold().split())
    said = [subject.type, subject.id, kind, content.slot, words, content.value, content.acl]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _acl(draft: Draft, principal: Principal) -> tuple[str, ...]:
    acl = default_acl(draft.subject) if draft.acl is None else tuple(sorted(set(draft.acl)))
    if not principal.reads_all and not set(acl) <= {*principal.groups, PUBLIC}:
        raise MemoryRefused("the acl names a group that is not yours")
    if not acl and draft.subject.type != "user" and not principal.reads_all:
        raise MemoryRefused("the acl names no group: nobody could read it")
    if len(acl) > MAX_GROUPS:
        raise MemoryRefused(f"the acl names more than {MAX_GROUPS} groups")
    return acl


def _sources(given: Sequence[SourceRef], lineage: Sequence[MemoryVersion]) -> tuple[SourceRef, ...]:
    found = list(given)
    for record in lineage:
        version = str(record.version)
        found.append(SourceRef(id=memory_source(record.id), version=version, trust=record.content.trust))
        found += record.content.sources
    sources = tuple(dict.fromkeys(found))
    if len(sources) > MAX_SOURCES:
        raise MemoryRefused(f"it has more than {MAX_SOURCES} sources")
    for source in sources:
        require_name("a source's id", source.id, _MAX_SOURCE)
        if source.version is not None:
            require_name("a source's version", source.version)
    return sources


def _require_names(draft: Draft, acl: Sequence[str]) -> None:
    names = {"the slot": draft.slot, "the author": draft.author, "the message's id": draft.message_id}
    for what, name in (*names.items(), *(("a group", group) for group in acl)):
        if name is not None:
            require_name(what, name, 64 if what == "the message's id" else _MAX_NAME)
    if draft.run_id is not None:
        require_name("the run's id", draft.run_id, 36)


def require_name(what: str, name: str, most: int = _MAX_NAME) -> None:
    """Check a name that somebody gives.

    Raises:
        MemoryRefused: It is empty, too long, or no printable text.
    """
    _require_unicode(name)
    if not 0 < len(name) <= most or not name.isprintable():
        raise MemoryRefused(f"{what} has 1 to {most} printable characters")


def _text(text: str) -> str:
    _require_unicode(text)
    # PostgreSQL's text holds every character but this one.
    text = text.replace("\0", "\ufffd").strip()
    if not 0 < len(text) <= MAX_TEXT:
        raise MemoryRefused(f"the text has 1 to {MAX_TEXT} characters")
    return text


def _value(draft: Draft, schemas: Schemas) -> Mapping[str, Any] | None:
    value, schema = draft.value, schemas.get(draft.kind)
    if schema is not None:
        try:
            value = schema.model_validate(value if value is not None else {}).model_dump(mode="json")
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise MemoryRefused(f"the value is none of a {draft.kind}: {wrong}") from error
    if value is None:
        return None
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise MemoryRefused(f"the value is not JSON: {error}") from error
    if len(encoded) > MAX_VALUE_BYTES:
        raise MemoryRefused(f"the value has more than {MAX_VALUE_BYTES} bytes")
    plain: dict[str, Any] = orjson.loads(encoded)
    return plain


def _expiry(draft: Draft, moment: datetime) -> datetime | None:
    begin, end = _utc(draft.valid_from), _utc(draft.valid_until)
    if begin is not None and end is not None and end <= begin:
        raise MemoryRefused("it is valid until before it is valid")
    if draft.ttl is None:
        return None
    if draft.ttl.total_seconds() <= 0:
        raise MemoryRefused("the ttl is more than nothing")
    try:
        return moment + draft.ttl
    except OverflowError as error:
        raise MemoryRefused("the ttl is too long") from error


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise MemoryRefused("a time names its zone: 2026-01-31T09:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise MemoryRefused("a time is out of range") from error


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MemoryRefused("the text holds half a surrogate pair") from error
