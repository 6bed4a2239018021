"""Authoritative data wins: what a system of record says of whoever asks supersedes a memory that says otherwise."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory.errors import MemoryStoreError
from memory.memory import Memory
from memory.reading import Filter
from memory.records import MemoryVersion, SourceRef, Subject
from records.principal import Principal

Authorities = Mapping[str, Mapping[str, str]]
"""Of each tool that asks a system of record for whoever asks: the slots that it knows, and where in its result each
stands, as ``{"get_customer": {"city": "address.city"}}``."""

_LOOKED_AT = 500
_NEGATED = re.compile(r"\b(?:not|no longer|never|don['’]t|isn['’]t|nicht|kein\w*)\b", re.IGNORECASE)


async def reconcile(
    memory: Memory, principal: Principal, tool: str, value: Any, run_id: str, authorities: Authorities
) -> Sequence[MemoryVersion]:
    """Supersede what the principal's memories say otherwise than a result; gives the versions that this wrote.

    A slot on which the result says nothing is left alone. Called again it writes nothing more. Rolling back the source
    ``tool:NAME`` brings the memories back.

    Args:
        tool: The name of the tool.
        value: Its result, as JSON data.

    Raises:
        DatabaseError: The database cannot be reached.
    """
    said = {slot: _at(value, path) for slot, path in authorities.get(tool, {}).items()}
    known = {slot: each for slot, each in said.items() if each is not None}
    if not known:
        return []
    where = Filter(subject=Subject("user", principal.id), status="active", live_at=memory.store.clock())
    found = await memory.reader.list(principal, _LOOKED_AT, where=where)
    source = SourceRef(id=f"tool:{tool}", version=run_id, trust="imported")
    written = []
    for head in found:
        slot = head.content.slot
        if slot is not None and slot in known and not _agrees(head, known[slot]):
            try:
                version = await memory.store.overrule(
                    principal, head.id, source, expected_version=head.version, run_id=run_id
                )
            except MemoryStoreError:
                continue  # somebody has just changed or forgotten it
            written.append(version)
    return written


def _at(value: Any, path: str) -> str | None:
    """What stands there, as text; None where nothing does, or no single thing."""
    for name in path.split("."):
        match value:
            case dict():
                value = value.get(name)
            case list() if name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            case _:
                return None
    return str(value).strip() or None if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _agrees(head: MemoryVersion, said: str) -> bool:
    """Whether the memory says the same: in its value where it has one that says it, else in its words."""
    wanted = _folded(said)
    if any(_folded(leaf) == wanted for leaf in _leaves(head.content.value)):
        return True
    names_it = f" {wanted} " in f" {_folded(head.content.text)} "
    return names_it != (_NEGATED.search(head.content.text) is not None)


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for each in value.values():
                yield from _leaves(each)
        case list():
            for each in value:
                yield from _leaves(each)
        case str() | int() | float():
            yield str(value)


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
