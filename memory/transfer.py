"""Taking memory elsewhere, and taking it over from there."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from memory.errors import MemoryForbidden, MemoryNotFound, MemoryRefused
from memory.memory import Memory
from memory.reading import Filter
from memory.records import Draft, MemoryVersion
from memory.store import Outcome
from memory.trust import least
from records.principal import Principal

_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one draft of an import.

    Attributes:
        id: The record that says it now.
        reason: Why there is none.
    """

    outcome: Outcome | None
    id: str | None = None
    reason: str | None = None


async def export(memory: Memory, principal: Principal, where: Filter | None = None) -> AsyncIterator[MemoryVersion]:
    """All that the principal may read, as it stands, the newest first."""
    before: str | None = None
    while page := await memory.reader.list(principal, _PAGE, where=where, before=before):
        for version in page:
            yield version
        before = page[-1].id


async def take_over(memory: Memory, principal: Principal, drafts: Sequence[Draft]) -> Sequence[Taken]:
    """Remember what was exported elsewhere, each by itself. Nothing of it is believed more than what is imported.

    Taking over the same again changes nothing.
    """
    taken: list[Taken] = []
    for draft in drafts:
        try:
            written = await memory.store.write(principal, replace(draft, trust=least(draft.trust, ["imported"])))
        except (MemoryRefused, MemoryForbidden, MemoryNotFound) as error:
            taken.append(Taken(outcome=None, reason=str(error)))
        else:
            taken.append(Taken(outcome=written.outcome, id=written.version.id))
    return taken
