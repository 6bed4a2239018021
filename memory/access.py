"""Who may read a record, and who may change it."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, FromClause, and_, or_, true

from memory.records import Kind, Subject
from records.principal import PUBLIC, Principal
from records.schema import memory_records, memory_versions


def default_acl(subject: Subject) -> tuple[str, ...]:
    """Who may read a record that does not say."""
    return () if subject.type == "user" else (PUBLIC,)


def may_read(principal: Principal, subject: Subject, acl: Iterable[str]) -> bool:
    """Whether it may read a record of its tenant: its own, one of its groups', or any as an administrator."""
    return _own(principal, subject) or principal.may_read(acl)


def may_change(principal: Principal, subject: Subject, kind: Kind, acl: Iterable[str]) -> bool:
    """Whether it may change it. A user's records are the user's; rules for others are the administrators'."""
    if principal.reads_all or subject.type == "user":
        return principal.reads_all or _own(principal, subject)
    return kind != "rule" and principal.may_read(acl)


def readable(principal: Principal, head: FromClause = memory_versions) -> ColumnElement[bool]:
    """``may_read`` for a statement over records and the versions of them that stand, called ``head`` there."""
    if principal.reads_all:
        return true()
    mine = and_(memory_records.c.subject_type == "user", memory_records.c.subject == principal.id)
    return or_(mine, *(head.c.readers.contains(_marked(group)) for group in principal.readable))


def readers(acl: Iterable[str]) -> str:
    """The groups as a text in which each can be searched for, whatever is in its name, in its very letters."""
    return "".join(sorted({_marked(group) for group in acl}))


def _own(principal: Principal, subject: Subject) -> bool:
    return subject.type == "user" and subject.id == principal.id


def _marked(group: str) -> str:
    return f"|{group.encode().hex()}|"
