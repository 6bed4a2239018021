"""What a clause says, and how it is read from the match of a pattern."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memory.records import Kind

_MAX_SLOT = 64
_VAGUE = re.compile(
    r"\b(?:very much|any ?more|a lot|at all|the|a|an|my|any|all|some|much|really|der|die|das|den|gern|sehr|mehr)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a clause says.

    Attributes:
        slot: What its writer has one of, so that the next that is said of it takes its place.
    """

    kind: Kind
    text: str
    slot: str | None


@dataclass(frozen=True, slots=True)
class Again:
    """What is said lies within: another clause, which counts as something else where it says nothing by itself."""

    clause: str
    otherwise: Said | None


Read = Callable[[re.Match[str]], Said | Again | None]
Patterns = Sequence[tuple[str, Read]]


def sentence(clause: str) -> str:
    """A clause as a sentence of its own."""
    text = " ".join(clause.split()).strip(" ,;:-–—")
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "…")) else ".")


def slot_of(name: str | None) -> str | None:
    """A name as a slot's."""
    return None if name is None else " ".join(name.casefold().replace("’", "'").split())[:_MAX_SLOT] or None


def bare(what: str, most: int = 5) -> str:
    """What something is about, without what only says how much of it or since when."""
    return " ".join(_VAGUE.sub(" ", what).split()[:most])


def kept(kind: Kind, slot: str | None = None) -> Read:
    """The clause as it is. Its slot is the one given, or the words that the pattern calls ``slot``."""

    def read(match: re.Match[str]) -> Said:
        return Said(kind, sentence(match.string), slot_of(slot or match.groupdict().get("slot")))

    return read


def about(kind: Kind, prefix: str) -> Read:
    """The clause as it is, over what the pattern calls ``what``: one has one opinion of tea, one allergy to nuts."""

    def read(match: re.Match[str]) -> Said:
        return Said(kind, sentence(match.string), slot_of(f"{prefix} {bare(match['what'])}"))

    return read


def told(match: re.Match[str]) -> Again | None:
    """What is to be remembered in so many words: as it would be read by itself, else as a fact."""
    what = match["what"].strip()
    return Again(what, Said("fact", sentence(what), None)) if " " in what else None


def rule(match: re.Match[str]) -> Said:
    """An order for the time to come that is more than a manner of being talked to: policy keeps it back."""
    return Said("rule", sentence(match["what"]), None)


def manner(match: re.Match[str]) -> Said:
    """How one is to be talked to: there is one language of answers, and one way of each of the others."""
    what = match["what"]
    language = re.search(
        r"\b(?:in|auf) (?:english|german|french|spanish|italian|dutch|polish|[a-zäöü]+isch)\b", what, re.IGNORECASE
    )
    return Said("preference", sentence(what), "language of answers" if language else slot_of(f"to {match['verb']}"))
