"""Corrections: `No, not Berlin, Potsdam.` changes what was said shortly before in the same conversation."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from memory.errors import MemoryStoreError
from memory.heard import runs_of
from memory.memory import Memory
from memory.own_words import own_clauses
from memory.policy import accepted_at_once
from memory.reading import Filter
from memory.records import Draft, MemoryVersion, Subject
from memory.store import Written
from records.principal import Principal
from retrieval.documents import Source

_BACK = 3
"""Runs of the session before this one that may be corrected."""

_LOOKED_AT = 200
_WHAT = r"[^\W_][^,.;:!?]{0,39}?"
_IT_IS = r"(?:it['’]s|it is|that['’]s|it should be|I (?:said|meant|mean)|make that|sorry|es ist|ich mein(?:t)?e)"
_NOT_THIS = (
    rf"^(?:{_IT_IS} )?(?:not|nicht) (?P<old>{_WHAT})(?:,? but|,? sondern|,|;| [–—-])\s*(?:{_IT_IS} )?(?P<new>{_WHAT})$"
)
_BUT_THAT = rf"^{_IT_IS} (?P<new>{_WHAT}),? (?:and )?(?:not|instead of|rather than|nicht) (?P<old>{_WHAT})$"
_CORRECTIONS = (re.compile(_NOT_THIS, re.IGNORECASE), re.compile(_BUT_THAT, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class Correction:
    """What was said, and what is to stand there."""

    old: str
    new: str


def corrections(message: str, read: Iterable[str] = ()) -> Sequence[Correction]:
    """What a message takes back, each with what it says instead."""
    matches = (pattern.match(clause) for clause in own_clauses(message, read) for pattern in _CORRECTIONS)
    return [Correction(found["old"].strip(), found["new"].strip()) for found in matches if found is not None]


async def correct(
    memory: Memory, principal: Principal, message: str, run_id: str, session_id: str, sources: Sequence[Source] = ()
) -> Sequence[Written]:
    """Edit what the principal has said of himself in the last runs of the session and takes back in this one.

    What fits more than one record, or none, changes nothing; nor does a message that has been heeded before.
    """
    wanted = (
        corrections(message, (source.text for source in sources))
        if re.search(r"\bn(?:ot|icht)\b", message, re.I)
        else []
    )
    if not wanted:
        return []
    runs = await runs_of(memory.store.database, principal, session_id, before=run_id, limit=_BACK)
    where = Filter(subject=Subject("user", principal.id), status="active", live_at=memory.store.clock())
    known = await memory.reader.list(principal, _LOOKED_AT, where=where)
    recent = [each for each in known if each.content.run_id in runs]
    edited = [await _corrected(memory, principal, each, recent, run_id) for each in wanted]
    return [each for each in edited if each is not None]


async def _corrected(
    memory: Memory, principal: Principal, correction: Correction, recent: Sequence[MemoryVersion], run_id: str
) -> Written | None:
    old = re.compile(rf"(?<!\w){re.escape(correction.old)}(?!\w)", re.IGNORECASE)
    meant = [each for each in recent if old.search(each.content.text)]
    if len(meant) != 1:
        return None
    head, content = meant[0], meant[0].content
    draft = Draft(
        subject=head.subject,
        kind=head.kind,
        text=old.sub(lambda _: correction.new, content.text),
        value=_replaced(content.value, old, correction.new),
        slot=content.slot,
        valid_from=content.valid_from,
        valid_until=content.valid_until,
        acl=content.acl,
        run_id=run_id,
    )
    if not accepted_at_once(principal, draft):
        return None
    try:
        version = await memory.store.edit(principal, head.id, draft, expected_version=head.version)
    except MemoryStoreError:
        return None
    return Written(version=version, outcome="merged")


def _replaced(value: Any, old: re.Pattern[str], new: str) -> Any:
    match value:
        case dict():
            return {name: _replaced(each, old, new) for name, each in value.items()}
        case list():
            return [_replaced(each, old, new) for each in value]
        case str():
            return old.sub(lambda _: new, value)
    return value
